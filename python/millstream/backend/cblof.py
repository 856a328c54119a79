"""CBLOF: distance to the nearest large cluster (He, Xu and Deng 2003).

scikit-learn finds the clusters; their centres are then arrays. Clusters count as large from the largest down to where
`alpha` of the rows are in them or the next is `beta` times smaller. Where neither ever holds, and PyOD fails, all
clusters are large. Fewer rows than clusters make as many clusters as rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import WIDEST, Backend, BackendInfo, Floats, Parameter
from millstream.backend.threads import one_thread

_PARAMETERS = {
    "n_clusters": Parameter("int", 8, "number of clusters, at most the rows given", 1, 1_000),
    "clustering_estimator": Parameter(
        "str", None, "how clusters are found; null: KMeans", choices=("KMeans", "MiniBatchKMeans")
    ),
    "alpha": Parameter("float", 0.9, "share of the rows in large clusters", 0.001, 0.999),
    "beta": Parameter("float", 5.0, "how many times smaller the next cluster is where small ones begin", 1.001, 1e6),
    "use_weights": Parameter("bool", False, "multiply scores by the size of the row's cluster"),
}


class Cblof(Backend):
    """Cluster centres; a score costs one distance each."""

    info = BackendInfo(
        backend="cblof",
        name="CBLOF",
        description="Clusters: rows far from every large cluster are anomalous.",
        category="clustering",
        speed="medium",
        memory="low",
        best_for="data that falls into clusters, some of them small",
        parameter_info=_PARAMETERS,
    )
    fit_in = "process"

    @property
    def width(self) -> int:
        """The columns of the centres."""
        return int(self._centers.shape[1])

    def fit(self, rows: Floats) -> Floats:
        """Find clusters with scikit-learn, and which are large."""
        clusters = self._clusters(np.clip(rows, -WIDEST, WIDEST))
        sizes = np.bincount(clusters.labels_)
        order = np.argsort(-sizes)  # as PyOD sorts: equal sizes fall in the same order
        large = _count_large(sizes[order], self.params["alpha"], self.params["beta"])
        weights = sizes[order].astype(np.float64) if self.params["use_weights"] else np.ones(len(order))
        self.take({"centers": clusters.cluster_centers_[order], "weights": weights, "large": np.array([large])})
        return self.score(rows)

    def _clusters(self, rows: Floats) -> Any:
        from sklearn import cluster
        from sklearn.exceptions import ConvergenceWarning

        estimator = getattr(cluster, self.params["clustering_estimator"] or "KMeans")
        wanted = min(self.params["n_clusters"], len(rows))
        # One thread: with more, centres are added up in the order in which threads end, and differ from fit to fit.
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
            return estimator(n_clusters=wanted, random_state=self.context.seed).fit(rows)

    def score(self, rows: Floats) -> Floats:
        """Distances to the nearest large centre."""
        from millstream.backend.cblof_kernels import score_rows

        return np.asarray(score_rows(rows, self._centers, self._weights, self._large))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Centres (k, d) from the largest cluster to the smallest, their weights (k), and how many are large."""
        return {"centers": self._centers, "weights": self._weights, "large": np.array([self._large])}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The centres, their weights, and how many are large."""
        self._centers = np.ascontiguousarray(arrays["centers"], dtype=np.float64)
        self._weights = np.ascontiguousarray(arrays["weights"], dtype=np.float64)
        if self._centers.ndim != 2 or self._weights.shape != (len(self._centers),):
            raise ValueError("centres and weights do not fit together")
        [large] = arrays["large"].tolist()
        self._large = int(large)
        if not 1 <= self._large <= len(self._centers):
            raise ValueError("there are not that many clusters")


def _count_large(sizes: NDArray[Any], alpha: float, beta: float) -> int:
    """How many of the clusters, sizes falling, are large; equation 2 of the paper, in PyOD's order of preference."""
    counts = np.arange(1, len(sizes))
    with np.errstate(divide="ignore", invalid="ignore"):
        steep = sizes[:-1] / sizes[1:] >= beta
    enough = np.cumsum(sizes)[:-1] >= alpha * sizes.sum()
    for fits in (enough & steep, enough, steep):
        if fits.any():
            return int(counts[fits][0])
    return len(sizes)
