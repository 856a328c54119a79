"""Per-column scaling: (x - median) / IQR, and the medians that stand in for missing values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millstream.percentiles import percentiles

Floats = NDArray[np.float64]
LARGEST = float(np.finfo(np.float64).max)
SQUARABLE = 1e150  # beyond, squares or sums of them overflow


@dataclass(frozen=True)
class Scaling:
    """Centers and widths of the columns, each (d)."""

    centers: Floats
    widths: Floats

    def apply(self, rows: Floats) -> Floats:
        """`rows` (n, d) scaled; a value that overflows becomes the largest finite number."""
        with np.errstate(over="ignore"):
            scaled = (rows - self.centers) / self.widths
        if not np.isfinite(scaled).all():
            np.clip(scaled, -LARGEST, LARGEST, out=scaled)
        return np.ascontiguousarray(scaled)

    @classmethod
    def identity(cls, width: int) -> Scaling:
        """What leaves rows as they are."""
        return cls(np.zeros(width), np.ones(width))

    def packed(self) -> Floats:
        """Centers and widths in one array (2, d): each array a kernel is given costs it 0.1 us."""
        return np.stack([self.centers, self.widths])

    def impute(self, rows: Floats) -> tuple[Floats, NDArray[np.bool_] | None]:
        """`rows` with medians for missing values, and where they were (None: nowhere)."""
        missing = np.isnan(rows)
        if not missing.any():
            return rows, None
        return np.where(missing, self.centers, rows), missing


def learn(rows: Floats) -> Scaling:
    """Medians and interquartile ranges of `rows` (n, d), missing values left out; an IQR of 0 counts as 1."""
    missing = bool(np.isnan(rows).any())
    unit = 0.25 if np.nanmax(np.abs(rows), initial=0.0) > LARGEST / 4 else 1.0  # differences overflow
    centers, widths = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    for j in range(rows.shape[1]):
        column = rows[:, j] * unit  # a copy: contiguous values part four times as fast
        if missing:
            column = column[~np.isnan(column)]
        if len(column):  # without a value there is no median, and 0 stands in
            low, middle, high = percentiles(column, (25, 50, 75))
            centers[j], widths[j] = middle / unit, min(high - low, LARGEST * unit) / unit or 1.0
    return Scaling(centers, widths)
