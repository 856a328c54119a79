"""The kernel of MCD. Importing this loads numba."""

from __future__ import annotations

import numba as nb
import numpy as np

from millstream.backend.base import WIDEST, Floats

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)


@nb.njit(nb.float64[::1](_matrix, _vector, _matrix), cache=True, nogil=True)
def score_rows(rows: Floats, location: Floats, precision: Floats) -> Floats:
    """Squared Mahalanobis distances of `rows` (n, d). Products are added column by column: d sums in SIMD lanes."""
    d = len(location)
    scores, away, product = np.empty(len(rows)), np.empty(d), np.empty(d)
    for i in range(len(rows)):
        for j in range(d):
            away[j] = max(-WIDEST, min(WIDEST, rows[i, j])) - location[j]
            product[j] = 0.0
        for j in range(d):
            for k in range(d):
                product[k] += away[j] * precision[j, k]
        total = 0.0
        for k in range(d):
            total += product[k] * away[k]
        scores[i] = max(total, 0.0)
    return scores
