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

WIDEST = 1e300  # of projections: a histogram needs a width that float64 can hold
_FEW = 24  # edges up to which comparing with all of them beats a search

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)
_ints = nb.types.Array(nb.int64, 1, "C", readonly=True)


@nb.njit(nb.float64(_ints, _ints, _vector, nb.int64, nb.float64[::1]), cache=True, nogil=True)
def project(starts: NDArray[np.int64], columns: NDArray[np.int64], weights: Floats, cut: int, row: Floats) -> float:
    """The projection of a row; 0 where infinities cancel: a search for NaN would leave the bins."""
    total = 0.0
    for at in range(starts[cut], starts[cut + 1]):
        total += weights[at] * row[columns[at]]
    return 0.0 if np.isnan(total) else total


@nb.njit(nb.void(_ints, _ints, _vector, nb.int64, _matrix, nb.float64[::1]), cache=True, nogil=True)
def project_columns(
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: Floats,
    cut: int,
    values: Floats,
    projected: Floats,
) -> None:
    """Write the projections (n) of all rows of `values` (d, n) for a histogram.

    The sums are those scoring forms, in the same order, so that the outermost row lies on the first edge.
    """
    projected[:] = 0.0
    for at in range(starts[cut], starts[cut + 1]):
        weight, column = weights[at], values[columns[at]]
        for i in range(len(projected)):
            projected[i] += weight * column[i]
    for i in range(len(projected)):
        projected[i] = 0.0 if np.isnan(projected[i]) else min(max(projected[i], -WIDEST), WIDEST)


@nb.njit(nb.int64(_vector, nb.float64), cache=True, nogil=True)
def count_below(edges: Floats, value: float) -> int:
    """How many edges, in ascending order, lie below `value`."""
    if len(edges) > _FEW:
        return int(np.searchsorted(edges, value))
    below = 0
    for k in range(len(edges)):
        below += value > edges[k]
    return below


@nb.njit(nb.void(_vector, _vector, _vector, nb.float64[::1]), cache=True, nogil=True)
def add_scores(edges: Floats, logs: Floats, projected: Floats, totals: Floats) -> None:
    """Add to the `totals` (n) the score of the bin that each projection (n) falls into."""
    for i in range(len(projected)):
        totals[i] += logs[count_below(edges, projected[i])]


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
    cuts = len(logs)
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
            total += logs[cut, count_below(edges[cut], projected)]
        scores[i] = total / cuts
    return finite
