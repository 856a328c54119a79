"""LOF: how much sparser it is around a row than around its neighbours (Breunig, Kriegel, Ng and Sander 2000).

The density at a row is one over the mean reachability distance to its `n_neighbors` nearest training rows, where the
reachability distance to a neighbour is the distance, but at least the neighbour's own distance to its k-th neighbour.
A row's score is the mean density of its neighbours over its own: about 1 inside a cluster. Training scores leave the
row itself out. As in scikit-learn 1e-10 is added to mean distances, so that duplicates have a density.

Where several rows tie at the k-th distance, the paper counts them all (its definition 4) and so do we. scikit-learn
keeps as many as fit, chosen by the order of the rows; without ties the scores are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, BackendInfo, Floats, Parameter, checked_array
from millstream.backend.neighbors import Neighbors, Places, checked_rows

_PARAMETERS = {
    "n_neighbors": Parameter("int", 20, "neighbours, at most one less than the training rows", 1, 10_000),
}


class LocalOutlierFactor(Backend):
    """Local densities. Keeps all training rows; a score costs a search among them."""

    info = BackendInfo(
        backend="local_outlier_factor",
        name="Local Outlier Factor",
        description="Local density: how much sparser it is around a row than around its neighbours.",
        category="legacy",
        speed="medium",
        memory="high",
        best_for="clusters of different density in up to some ten columns",
        parameter_info=_PARAMETERS,
        is_legacy=True,
    )
    fit_in = "process"
    _rows: Floats
    _neighbors: Neighbors

    @property
    def width(self) -> int:
        """All columns of the training rows."""
        return int(self._rows.shape[1])

    def fit(self, rows: Floats) -> Floats:
        """Build the tree and find the density at every row; rows that are equal are searched once."""
        unique, first, same = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        self._keep(rows, np.zeros(len(rows)), np.zeros(len(rows)))
        skips = self._neighbors.place_of[first]
        lists = self._neighbors.search(unique, min(self._k + 1, len(rows) - 1), skips)
        self._known[0] = self._neighbors.by_place(np.sqrt(lists[0][:, self._k - 1])[same])
        reach, _ = self._averages(unique, skips, lists)
        self._known[1] = self._neighbors.by_place((1 / reach)[same])
        return _factors(*self._averages(unique, skips, lists))[same]

    def score(self, rows: Floats) -> Floats:
        """Factors of rows among the training rows."""
        scores = np.empty(len(rows))
        SharedSearch([self]).score(rows, scores[None])
        return scores

    def _averages(self, rows: Floats, skips: Places, lists: tuple[Floats, Places]) -> tuple[Floats, Floats]:
        """Mean reachability distance from `rows` to their neighbours, and the mean density at these."""
        from millstream.backend.neighbors_kernels import average_neighborhoods

        means = np.empty(len(rows)), np.empty(len(rows))
        average_neighborhoods(*self._neighbors.tree, rows, skips, *lists, self._k, self._known, *means)
        return means[0] + 1e-10, means[1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The training rows (n, d), their distances to their k-th neighbour (n), and the densities at them (n)."""
        at = self._neighbors.place_of
        return {"rows": self._rows, "reaches": self._known[0][at], "densities": self._known[1][at]}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The training rows and what is known of them; the tree is built anew."""
        rows = checked_rows(arrays, self.least_rows)
        reaches, densities = (checked_array(arrays, name, np.float64, 1) for name in ("reaches", "densities"))
        if reaches.shape != (len(rows),) or densities.shape != (len(rows),):
            raise ValueError("a training row has no density")
        self._keep(rows, reaches, densities)

    def _keep(self, rows: Floats, reaches: Floats, densities: Floats) -> None:
        self._rows = rows
        self._k = min(self.params["n_neighbors"], len(rows) - 1)
        self._neighbors = Neighbors(rows)
        self._known = np.array([self._neighbors.by_place(reaches), self._neighbors.by_place(densities)])

    def share(self, other: LocalOutlierFactor) -> None:
        """Keep the tree of `other`, which was fitted on the same rows and so has the same."""
        self._rows, self._neighbors = other._rows, other._neighbors


class SharedSearch:
    """Several factors that share a tree, scored with one search for the one that wants the most neighbours."""

    def __init__(self, factors: Sequence[LocalOutlierFactor]) -> None:
        from millstream.backend.neighbors_kernels import score_factors

        self._factors, self._neighbors = factors, factors[0]._neighbors
        self._counts = np.array([factor._k for factor in factors])
        known = factors[0]._known[None] if len(factors) == 1 else np.array([factor._known for factor in factors])
        self._score = partial(score_factors, *self._neighbors.tree, self._counts, known)

    def score(self, rows: Floats, scores: Floats) -> None:
        """Write the scores of `rows` (n, d) by every factor (factors, n)."""
        if not self._neighbors.by_product(rows):
            self._score(rows, scores)
            return
        most = int(self._counts.max()) + 1
        for block in self._neighbors.blocks(rows, most):
            some = rows[block]
            skips = np.full(len(some), -1)
            nearest = self._neighbors.search(some, most, skips)
            for factor, into in zip(self._factors, scores, strict=True):
                into[block] = _factors(*factor._averages(some, skips, nearest))


def _factors(reach: Floats, density: Floats) -> Floats:
    """Densities over the row's own; distances beyond float64 make it infinite or nothing."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(density * reach)
