"""What a run of the benchmarks found: the rows, what each is asked to reach, and the page that shows them."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from chart import Bars, draw
from ratio import Ratio

PEERS = ("numpy", "numba", "polars", "pyod", "scikit-learn", "blacksheep", "uvicorn")
HEAD = """\
# Measured against peers

{when}, commit {commit}. {machine}
{versions}

`make bench` writes this page: every row asserts our answer first, then times ours and the peer in its strongest form
turn by turn in one run. Times are CPU time per call, medians of neighbouring slices (HTTP rows: CPU of the server
process per request, its threads and children included; the peer is an empty BlackSheep echo of a body of the same
size). Absolute times belong to this machine, the ratios hold elsewhere, save where a row tells of the machine itself.
*Asked* is what the row was built to reach.

To rerun it, in about ten minutes: `git clone` this repository, `make bench`. One table alone:
`make setup-dev && .venv/bin/python -m pytest bench/test_http.py`.
"""


@dataclass(frozen=True)
class Reach:
    """What a row is asked to reach: everything that is given.

    Parameters
    ----------
    times : float
        Ours is to be at least so many times faster (or smaller) than the peer.
    share : float
        Ours is to be at most so many times the peer.
    ours : float
        Ours is to be at most this, in the unit of the row.
    peer : float
        What ours is compared with is ours too, and to be at most this.
    """

    times: float | None = None
    share: float | None = None
    ours: float | None = None
    peer: float | None = None

    def met(self, ratio: Ratio) -> bool:
        return (
            (self.times is None or ratio.times >= self.times)
            and (self.share is None or 1 / ratio.times <= self.share)
            and (self.ours is None or ratio.ours_ns <= self.ours)
            and (self.peer is None or ratio.peer_ns <= self.peer)
        )

    def told(self, unit: str) -> str:
        parts = [f"{self.times:g}x faster"] if self.times is not None else []
        parts += [f"<= {self.share:g}x peer"] if self.share is not None else []
        parts += [f"<= {shown(self.ours, unit)}"] if self.ours is not None else []
        parts += [f"alone <= {shown(self.peer, unit)}"] if self.peer is not None else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Row:
    """One benchmark: `topic` is the file it stands in, `unit` is ns or B (bytes)."""

    topic: str
    name: str
    against: str
    ratio: Ratio
    reach: Reach | None = None
    unit: str = "ns"

    @property
    def verdict(self) -> str:
        """What was asked, and whether it was reached."""
        if self.reach is None:
            return ""
        return f"{self.reach.told(self.unit)}: {'yes' if self.reach.met(self.ratio) else '**no**'}"

    @property
    def compared(self) -> str:
        """The ratio in words that cannot be read the wrong way round."""
        times = self.ratio.times
        word = "smaller" if self.unit == "B" else "faster"
        return f"{times:.3g}x {word}" if times >= 1 else f"{1 / times:.2f}x the peer"


def shown(value: float, unit: str) -> str:
    """`value` for people."""
    steps = (("MB", 1e6), ("kB", 1e3), ("B", 1)) if unit == "B" else (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1))
    for name, size in steps:
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.2g} {unit}"


def write(page: Path, rows: Iterable[Row], titles: dict[str, str], asked: Sequence[str] = ("bench",)) -> None:
    """Write the page, and beside it a folder of the same name in small letters with one plot per topic.

    A run that was `asked` for less than the whole folder says so on the page.
    """
    plots = page.parent / page.stem.lower()
    plots.mkdir(parents=True, exist_ok=True)
    by_topic: dict[str, list[Row]] = {}
    for row in rows:
        by_topic.setdefault(row.topic, []).append(row)
    for old in plots.glob("*.svg"):
        old.unlink()
    parts = [HEAD.format(when=time.strftime("%Y-%m-%d"), commit=commit(), machine=machine(), versions=versions_told())]
    if list(asked) != ["bench"]:
        parts.append(f"This run was asked for {', '.join(asked)} alone; `make bench` runs the others too.\n")
    for topic, found in sorted(by_topic.items()):
        parts.append(f"## {titles[topic]}\n")
        for unit in sorted({row.unit for row in found}, reverse=True):
            plot = plots / (f"{topic}.svg" if unit == "ns" else f"{topic}_memory.svg")
            plot.write_text(draw([_bars(row) for row in found if row.unit == unit], titles[topic], unit))
            parts.append(f"![{titles[topic]}]({plots.name}/{plot.name})\n")
        parts.append(_table(found))
    page.write_text("\n".join(parts))


def _bars(row: Row) -> Bars:
    r = row.ratio
    return Bars(
        row.name,
        ours=(r.ours_ns, shown(r.ours_ns, row.unit)),
        peer=(r.peer_ns, f"{shown(r.peer_ns, row.unit)}  {row.against}"),
    )


def _table(rows: list[Row]) -> str:
    lines = ["| work | ours | peer | | asked |", "|---|---:|---:|---|---|"]
    for row in rows:
        ours, peer = shown(row.ratio.ours_ns, row.unit), shown(row.ratio.peer_ns, row.unit)
        lines.append(f"| {row.name} | {ours} | {peer} {row.against} | {row.compared} | {row.verdict} |")
    return "\n".join(lines) + "\n"


def versions() -> dict[str, str]:
    """A ratio without the versions it was measured with is an anecdote."""
    return {"python": platform.python_version(), **{peer: version(peer) for peer in PEERS}}


def versions_told() -> str:
    return ", ".join(f"{name} {number}" for name, number in versions().items()) + "."


def machine() -> str:
    """Processor, cores, vector instructions and system, in a sentence."""
    lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{fields.get('model name', platform.machine())}, {os.cpu_count()} cores, {vectors}, {platform.system()}."


def commit() -> str:
    """The commit that was measured; `+` when the tree had changes."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
