"""Kernels that fill in and scale values. Importing this loads numba."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.scaling import LARGEST

Floats = NDArray[np.float64]

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)


@nb.njit(nb.float64(nb.float64, nb.float64, nb.float64), cache=True, nogil=True)
def scaled(value: float, center: float, width: float) -> float:
    """`value` scaled; a missing one (NaN) is the center and so 0, one that overflows the largest finite number."""
    if np.isnan(value):
        return 0.0
    return min(max((value - center) / width, -LARGEST), LARGEST)


@nb.njit(nb.boolean(_matrix, _matrix, nb.float64[:, ::1]), cache=True, nogil=True)
def scale_rows(scaling: Floats, values: Floats, rows: Floats) -> bool:
    """Write `values` (n, d) scaled into `rows`; `scaling` (2, d): centers, widths. False: a value is infinite."""
    if values.shape[1] != scaling.shape[1]:
        return False
    finite = True
    for i in range(len(values)):
        for j in range(values.shape[1]):
            finite &= not np.isinf(values[i, j])
            rows[i, j] = scaled(values[i, j], scaling[0, j], scaling[1, j])
    return finite


@nb.njit(nb.void(nb.float64[::1]), cache=True, nogil=True)
def make_finite(scores: Floats) -> None:
    """Put the largest finite number where a score overflowed."""
    for i in range(len(scores)):
        if not np.isfinite(scores[i]):
            scores[i] = -LARGEST if scores[i] < 0.0 else LARGEST


@nb.njit(
    nb.boolean(nb.float64, nb.float64, _matrix, nb.int64, nb.int64, nb.int64, nb.float64[::1]), cache=True, nogil=True
)
def scale_block(center: float, width: float, values: Floats, start: int, lanes: int, j: int, block: Floats) -> bool:
    """Write `lanes` values of column `j` from row `start` on, scaled, into `block`; False: one is infinite."""
    for lane in range(lanes):  # a loop of its own: loads that skip cannot be vectors, what follows can
        block[lane] = values[start + lane, j]
    infinite = np.int64(0)
    for lane in range(lanes):
        infinite |= np.int64(np.isinf(block[lane]))
        block[lane] = scaled(block[lane], center, width)
    return bool(infinite == 0)
