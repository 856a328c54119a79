"""`unsafe` stands in few files, each for a reason that is written down here."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNSAFE = re.compile(r"\bunsafe\s*(\{|fn\b|impl\b|extern\b)")
SAFETY = re.compile(r"SAFETY:|# Safety")

REASONS = {
    "rust/core/src/ring/cells.rs": "rows are written while those before them are read: no lock, no copy, no atomics",
    "rust/core/src/ring/writer.rs": "writes to cells: the one writer is `&mut self`, the rows are not published",
    "rust/core/src/ring/snapshot.rs": "reads of cells: a snapshot names published rows only",
    "rust/core/src/pages.rs": "memory on huge pages from the system: a quarter of the page faults' cost, then none",
    "rust/core/src/matrix.rs": "the turn compiled again, called where the machine has AVX2",
    "rust/core/src/rolling/dispatch.rs": "the kernels compiled again, called where the machine has AVX2 or AVX-512",
    "rust/core/src/simd/turn.rs": "8 by 8 numbers turned in registers, which the compiler does not find",
    "rust/bindings/src/arrow.rs": "structures of the Arrow C interface taken out of capsules",
    "rust/bindings/src/arrow_export.rs": "structures of the Arrow C interface over the ring's own memory",
    "rust/bindings/src/claim.rs": "a claim under the interpreter's lock: without a swap, a row in 4 % less time",
    "rust/bindings/src/numpy.rs": "an array's numbers where they stand, and two calls of its C interface",
    "rust/bindings/src/one_row.rs": "a method and a walk over a dictionary below PyO3: a row in two thirds of the time",
    "rust/bindings/src/table.rs": "the buffer protocol: columns lent to NumPy where they stand",
}


def files_with_unsafe() -> dict[str, str]:
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "rust").rglob("*.rs")}
    return {name: text for name, text in sources.items() if UNSAFE.search(text)}


def test_unsafe_stands_where_it_has_a_reason_and_nowhere_else() -> None:
    assert set(files_with_unsafe()) == set(REASONS)


def test_every_unsafe_file_says_what_makes_it_sound() -> None:
    for name, text in files_with_unsafe().items():
        assert SAFETY.search(text), name
