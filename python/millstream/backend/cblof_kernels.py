"""The kernel of CBLOF. Importing this loads numba."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from millstream.backend.base import WIDEST, Floats

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)


@nb.njit(nb.float64[::1](_matrix, _matrix, _vector, nb.int64), cache=True, nogil=True)
def score_rows(rows: Floats, centers: Floats, weights: Floats, large: int) -> Floats:
    """Distances of `rows` (n, d) to the nearest large centre, times the weight of the nearest centre of all.

    The first `large` of the `centers` (k, d) are those of large clusters. A row of a large cluster is nearest to its
    own centre, so the distance to the nearest large one is CBLOF's for rows of small and large clusters alike.
    """
    k, d = centers.shape
    scores = np.empty(len(rows))
    for i in range(len(rows)):
        nearest, nearest_large, weight = math.inf, math.inf, 0.0
        for c in range(k):
            distance = 0.0
            for j in range(d):
                away = max(-WIDEST, min(WIDEST, rows[i, j])) - centers[c, j]
                distance += away * away
            if distance < nearest:
                nearest, weight = distance, weights[c]
            if c < large:
                nearest_large = min(nearest_large, distance)
        scores[i] = math.sqrt(nearest_large) * weight
    return scores
