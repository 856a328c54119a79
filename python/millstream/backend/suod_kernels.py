"""The kernel of SUOD. Importing this loads numba."""

from __future__ import annotations

import numba as nb
import numpy as np

from millstream.backend.base import Floats

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)


@nb.njit(nb.void(nb.float64[:, ::1], _matrix, nb.boolean, nb.float64[::1]), cache=True, nogil=True)
def combine(parts: Floats, statistics: Floats, greatest: bool, scores: Floats) -> None:
    """Write the mean, or the greatest, of the members' `parts` (members, n), standardized by `statistics` (2, members).

    Those are mean and spread of each. Members are added in their order, whatever n is.
    """
    members, n = parts.shape
    for i in range(n):
        total, most = 0.0, -np.inf
        for m in range(members):
            part = (parts[m, i] - statistics[0, m]) / statistics[1, m]
            total += part
            most = max(most, part)
        scores[i] = most if greatest else total / members
