"""The kernel of LODA. Importing this loads numba.

`edges` (cuts, most) holds the bins' edges that PyOD compares with, padded with infinity, `logs` (cuts, most) minus the
logarithm of each bin's share, divided by the cuts. A projection uses about sqrt(d) of the columns: cut `c` those at
`starts[c]:starts[c + 1]` of `columns` and `weights`.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Floats
from millstream.scaling_kernels import scaled

_FEW = 24  # edges up to which comparing with all of them beats a search

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)
_ints = nb.types.Array(nb.int64, 1, "C", readonly=True)


@nb.njit(nb.float64(_ints, _ints, _vector, nb.int64, nb.float64[::1]), cache=True, nogil=True)
def project(starts: NDArray[np.int64], columns: NDArray[np.int64], weights: Floats, cut: int, row: Floats) -> float:
    """The projection of a row."""
    total = 0.0
    for at in range(starts[cut], starts[cut + 1]):
        total += weights[at] * row[columns[at]]
    return total


@nb.njit(nb.float64[:, ::1](_ints, _ints, _vector, _matrix), cache=True, nogil=True)
def project_rows(starts: NDArray[np.int64], columns: NDArray[np.int64], weights: Floats, rows: Floats) -> Floats:
    """The projections (cuts, n) of `rows`: the sums scoring forms, so that the outermost row lies on the first edge."""
    projected = np.empty((len(starts) - 1, len(rows)))
    row = np.empty(rows.shape[1])
    for i in range(len(rows)):
        row[:] = rows[i]
        for cut in range(len(projected)):
            projected[cut, i] = project(starts, columns, weights, cut, row)
    return projected


@nb.njit(nb.boolean(_ints, _ints, _vector, _matrix, _matrix, _matrix, _matrix, nb.float64[::1]), cache=True, nogil=True)
def score_rows(
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: Floats,
    edges: Floats,
    logs: Floats,
    scaling: Floats,
    values: Floats,
    scores: Floats,
) -> bool:
    """The mean over the cuts of the score of the bin a row's projection falls into. See `Backend.scorer`."""
    n, d = values.shape
    cuts, most = logs.shape
    if scaling.shape[1] != d:
        return False
    row = np.empty(d)
    finite = True
    for i in range(n):
        for j in range(d):
            finite &= not np.isinf(values[i, j])
            row[j] = scaled(values[i, j], scaling[0, j], scaling[1, j])
        total = 0.0
        for cut in range(cuts):
            projected: float = project(starts, columns, weights, cut, row)
            found = 0
            if most <= _FEW:
                for k in range(most):
                    found += projected > edges[cut, k]
            else:
                found = int(np.searchsorted(edges[cut], projected))
            total += logs[cut, found]
        scores[i] = total / cuts
    return finite
