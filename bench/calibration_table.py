"""Whether streams keep their promise on noise: the share of alarms, and whether what stands out is seen.

    nice python bench/calibration_table.py                    # every backend, the whole table
    python bench/calibration_table.py ecod knn --rows 2000    # some backends, a short look
    python bench/calibration_table.py suod --interval 1000    # 20,000 rows of a backend that fits for half a second
    python bench/calibration_table.py --markdown > table.md

For each backend, noise, number of columns and contamination one stream is replayed with `background=False`. `share` is
the share of rows above 0.5 divided by the contamination, counted from row 500: 0.5 to 1.5 is kept, and at most 1.5 for
counts, whose ties may silence a stream. `planted` is the lowest score of 8-sigma values planted from row 150 on. A
longer `--interval` counts from row 1,800 on, where the window is full; before, every stream retrains each 100 rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import millstream as ms
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, int]], Floats]

NOISE: dict[str, Noise] = {
    "gaussian": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.random(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape),
    "counts": lambda rng, shape: rng.poisson(20.0, shape).astype(np.float64),
}
SPREAD = {"gaussian": 1.0, "uniform": 12**-0.5, "t3": 3**0.5, "counts": 20**0.5}
COLUMNS = (1, 3, 8)
CONTAMINATION = (0.01, 0.05, 0.1)
FIRST_COUNTED = 500
PLANTED_AT = (150, 300, 450, 700, 1200, 1800)


@dataclass(frozen=True)
class Line:
    """One stream: the share of alarms over the contamination, the lowest planted score, CPU us a row."""

    backend: str
    noise: str
    columns: int
    contamination: float
    share: float
    planted: float
    microseconds: float

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        least = 0.0 if self.noise == "counts" else 0.5
        return least <= self.share <= 1.5 and self.planted > 0.8


def measure(backend: str, noise: str, columns: int, contamination: float, rows: int, interval: int) -> Line:
    """Replay noise through one stream; at some rows a copy of it gets a planted value instead."""
    data = NOISE[noise](np.random.default_rng(7), (FIRST_COUNTED + rows, columns))
    stream = ms.Stream(
        backend=backend, contamination=contamination, background=False, retrain_interval=min(100, interval)
    )
    lowest, begun, scores, microseconds = 1.0, 0, [], 0.0
    for at in (*PLANTED_AT, len(data)):
        start = time.process_time()
        scores.append(stream.update_many(data[begun:at]).score)
        microseconds += 1e6 * (time.process_time() - start) / len(data)
        begun = at
        if at in PLANTED_AT:
            lowest = min(lowest, _planted(stream, data[: at + 1].copy(), SPREAD[noise]))
        if at == PLANTED_AT[-1]:
            stream.configure(retrain_interval=interval)
    share = float((np.concatenate(scores)[FIRST_COUNTED:] > 0.5).mean() / contamination)
    return Line(backend, noise, columns, contamination, share, lowest, microseconds)


def _planted(stream: ms.Stream, rows: Floats, spread: float) -> float:
    """The score a copy of `stream` gives the last row with 8 sigma in a column; 1 where noise was as far out before."""
    middle = rows[-1001:, rows.shape[1] // 2]
    middle[-1] = rows[:-1, rows.shape[1] // 2].mean() + 8 * spread
    if middle[-1] <= middle[:-1].max():
        return 1.0
    copy = ms.Stream.from_bytes(stream.to_bytes())
    return float(copy.update_many(rows[-1:]).score[0])


def table(backends: list[str], rows: int, interval: int) -> Iterator[Line]:
    """Every line of the table."""
    for backend in backends:
        for noise in NOISE:
            for columns in COLUMNS:
                for contamination in CONTAMINATION:
                    yield measure(backend, noise, columns, contamination, rows, interval)


def main() -> int:
    """Print the table; 1 when a promise is broken."""
    known = [info.backend for info in ms.backends()]
    parser = argparse.ArgumentParser(description="The share of alarms of streams on noise.")
    parser.add_argument("backends", nargs="*", help="default: all")
    parser.add_argument("--rows", type=int, default=20_000, help="rows counted, from row 500")
    parser.add_argument("--interval", type=int, default=100, help="rows between retrains, from row 1,800 on")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    between = " | " if options.markdown else "  "
    broken = 0
    for line in table(options.backends or known, options.rows, options.interval):
        broken += not line.kept
        cells = (
            f"{line.backend:<20}",
            f"{line.noise:<8}",
            f"{line.columns}",
            f"{line.contamination:<4}",
            f"share {line.share:4.2f}",
            f"planted {line.planted:.3f}",
            f"{line.microseconds:7.2f} us",
            "" if line.kept else "BROKEN",
        )
        print(between.join(cells).rstrip(), flush=True)
    print(f"{broken} broken", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
