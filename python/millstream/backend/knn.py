"""KNN: how far the nearest training rows are (Ramaswamy, Rastogi and Shim 2000; Angiulli and Pizzuti 2002).

A row's score is its Euclidean distance to the `n_neighbors`-th nearest training row, or the mean or median of those
distances. Training scores leave the row itself out; a row scored later that equals a training row finds it at distance
0, as in PyOD. Neighbours are exact, whatever the columns: PyOD's brute force above 15 columns takes distances as
differences of large products, which is off by some 1e-8 for rows that nearly coincide; ours is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, BackendInfo, Floats, Parameter
from millstream.backend.neighbors import Neighbors, checked_rows

_METHODS = ("largest", "mean", "median")
_PARAMETERS = {
    "n_neighbors": Parameter("int", 5, "neighbours, at most one less than the training rows", 1, 10_000),
    "method": Parameter("str", "largest", "which distance to them counts", choices=_METHODS),
}


class Knn(Backend):
    """Distances to the nearest rows. Keeps all training rows; a score costs a search among them."""

    info = BackendInfo(
        backend="knn",
        name="k-Nearest Neighbors",
        description="Distance to the nearest training rows.",
        category="distance",
        speed="medium",
        memory="high",
        best_for="clusters of any shape in up to some ten columns",
        parameter_info=_PARAMETERS,
    )
    fit_in = "process"

    @property
    def width(self) -> int:
        """All columns of the training rows."""
        return int(self._rows.shape[1])

    def fit(self, rows: Floats) -> Floats:
        """Build the tree and search the neighbours of every row."""
        self._keep(rows)
        return self._scores(rows, self._neighbors.place_of)

    def score(self, rows: Floats) -> Floats:
        """Distances to the training rows."""
        return self._scores(rows, None)

    def _scores(self, rows: Floats, skips: NDArray[np.int64] | None) -> Floats:
        from millstream.backend.neighbors_kernels import reduce_distances

        method, scores = _METHODS.index(self.params["method"]), np.empty(len(rows))
        for block in self._neighbors.blocks(rows, self._k):
            distances, _ = self._neighbors.search(rows[block], self._k, None if skips is None else skips[block])
            reduce_distances(distances, method, scores[block])
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The training rows (n, d); the tree follows from them."""
        return {"rows": self._rows}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The training rows, from which the tree is built anew."""
        self._keep(checked_rows(arrays, self.least_rows))

    def _keep(self, rows: Floats) -> None:
        self._rows = rows
        self._k = min(self.params["n_neighbors"], len(rows) - 1)
        self._neighbors = Neighbors(rows)
