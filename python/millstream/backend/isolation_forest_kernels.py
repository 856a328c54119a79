"""The kernel of Isolation Forest. Importing this loads numba."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Floats

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_links = nb.types.Array(nb.int32, 2, "C", readonly=True)
_roots = nb.types.Array(nb.int64, 1, "C", readonly=True)


@nb.njit(nb.float64[::1](_matrix, _links, _matrix, _roots, nb.float64, nb.boolean), cache=True, nogil=True)
def score_rows(
    rows: Floats,
    links: NDArray[np.int32],
    splits: Floats,
    roots: NDArray[np.int64],
    normal: float,
    penalty: bool,
) -> Floats:
    """Scores of `rows` (n, d). Comparisons are made on float32 values, as scikit-learn makes them."""
    scores = np.empty(len(rows))
    for i in range(len(rows)):
        depth = 0.0
        for tree in range(len(roots)):
            node = roots[tree]
            while links[node, 0] >= 0:
                value = rows[i, links[node, 0]]
                if not penalty or (splits[node, 1] <= value <= splits[node, 2]):
                    depth += 1.0
                node = links[node, 1] if np.float32(value) <= splits[node, 0] else links[node, 2]
            depth += splits[node, 3]
        scores[i] = 2.0 ** (-depth / normal) if normal > 0.0 else 0.5
    return scores
