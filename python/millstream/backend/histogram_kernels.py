"""The kernel that counts into histograms, for HBOS and LODA. Importing this loads numba."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Floats

_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)


@nb.njit(nb.void(_vector, _vector, nb.int64[::1]), cache=True, nogil=True)
def find_bins(values: Floats, edges: Floats, found: NDArray[np.int64]) -> None:
    """Write the bin of each of finite `values` (n): from an edge up to the next; the ends take the rest.

    The bins are equal, so a multiplication guesses well; the compares make any guess right (measured: 2 ns a value
    instead of 15 by a search). Halves, as the whole width may be more than float64 holds.
    """
    last = len(edges) - 2
    first, half = edges[0] / 2, edges[last + 1] / 2 - edges[0] / 2
    per_half = (last + 1) / half if half > 0.0 else np.inf
    if per_half == np.inf:  # the narrowest numbers: no guess
        for i in range(len(values)):
            found[i] = np.searchsorted(edges[1 : last + 1], values[i], side="right")
        return
    for i in range(len(values)):
        value = values[i]
        at = np.int64(min(max((value / 2 - first) * per_half, 0.0), float(last)))
        while at > 0 and value < edges[at]:
            at -= 1
        while at < last and value >= edges[at + 1]:
            at += 1
        found[i] = at
