"""LODA: histograms of random projections (Pevny 2016, doi 10.1007/s10994-015-5521-0).

Each of `n_random_cuts` projections uses about the square root of the columns, with normal weights; a row's score is the
mean of minus the logarithm of the shares of the bins its projections fall into. Projections, bins and scores are those
of PyOD with the same seed, its quirks included: weights of 1 / n_random_cuts are applied twice, and of the edges all
but the last two are compared with, so that a bin's score is found one bin higher up. Sums are rounded as they come, and
not as the linear algebra library of the day rounds them, so a projection within a rounding error of an edge may fall to
its other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import BackendInfo, Floats, FusedBackend, Parameter, Scorer, checked_array
from millstream.backend.histogram import count_bins, equal_edges, optimal_bins
from millstream.scaling import Scaling

_PARAMETERS = {
    "n_bins": Parameter("int", 10, 'bins of every projection; "auto": the best number for each', 2, 10_000, ("auto",)),
    "n_random_cuts": Parameter("int", 100, "random projections", 1, 10_000),
}


class Loda(FusedBackend):
    """Histograms of projections. Memory for the bins alone; a score costs a few products for each cut."""

    info = BackendInfo(
        backend="loda",
        name="LODA",
        description="Lightweight on-line detector: histograms of random projections.",
        category="streaming",
        speed="very fast",
        memory="very low",
        best_for="many columns that depend on each other, and fits that must be quick",
        parameter_info=_PARAMETERS,
    )
    fit_in = "thread"

    @property
    def width(self) -> int:
        """The columns of the projections."""
        return int(self._projections.shape[1])

    def fit(self, rows: Floats) -> Floats:
        """Draw the projections and count every one into its bins."""
        from millstream.backend.loda_kernels import add_scores, project_columns

        cuts, d = self.params["n_random_cuts"], rows.shape[1]
        chance = np.random.RandomState(self.context.seed)  # PyOD's generator
        self._projections = chance.randn(cuts, d)
        for projection in self._projections:
            projection[chance.permutation(d)[: d - int(np.sqrt(d))]] = 0.0
        parts, scores = [], np.zeros(len(rows))
        sparse, columns, projected = self._sparse(), np.ascontiguousarray(rows.T), np.empty(len(rows))
        for cut in range(cuts):
            project_columns(*sparse, cut, columns, projected)
            edges, logs = self._histogram(projected)
            add_scores(edges, logs, projected, scores)
            parts.append((edges, logs))
        self._bins = np.array([len(logs) for _, logs in parts])
        most = int(self._bins.max())
        self._edges, self._logs = np.full((cuts, most), np.inf), np.zeros((cuts, most))
        for cut, (edges, logs) in enumerate(parts):
            self._edges[cut, : len(edges)], self._logs[cut, : len(logs)] = edges, logs
        return np.asarray(scores / cuts)

    def _histogram(self, projected: Floats) -> tuple[Floats, Floats]:
        """The edges that are compared with, and the score of each bin."""
        bins = optimal_bins(projected) if self.params["n_bins"] == "auto" else self.params["n_bins"]
        edges = equal_edges(projected.min(keepdims=True), projected.max(keepdims=True), bins)[0]
        share = count_bins(projected, edges) + 1e-12
        share /= np.sum(share)
        return edges[: bins - 1], -(1 / self.params["n_random_cuts"]) * np.log(share)

    def scorer(self, scaling: Scaling) -> Scorer:
        """The projections without their zeros, and the histograms: see loda_kernels."""
        from millstream.backend.loda_kernels import score_rows

        return partial(score_rows, *self._sparse(), self._edges, self._logs, scaling.packed())

    def _sparse(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Where the weights of each cut start (cuts + 1), their columns, and the weights."""
        cut, columns = (np.ascontiguousarray(at) for at in np.nonzero(self._projections))
        starts = np.searchsorted(cut, np.arange(len(self._projections) + 1))
        return starts, columns, self._projections[cut, columns]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Projections (cuts, d), bins (cuts), the edges compared with and the scores (cuts, most), padded."""
        return {"projections": self._projections, "bins": self._bins, "edges": self._edges, "logs": self._logs}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The projections and histograms; every bin that can be found has a score."""
        self._bins = checked_array(arrays, "bins", np.int64, 1)
        names = ("projections", "edges", "logs")
        self._projections, self._edges, self._logs = (checked_array(arrays, name, np.float64, 2) for name in names)
        cuts, most = self._logs.shape
        if self._edges.shape != (cuts, most) or len(self._projections) != cuts or self._bins.shape != (cuts,):
            raise ValueError("projections and histograms do not fit together")
        if not cuts or self._bins.min() < 1 or self._bins.max() > most:
            raise ValueError("a projection's bins are not all there")
        if any(not np.isposinf(edges[bins - 1 :]).all() for edges, bins in zip(self._edges, self._bins, strict=True)):
            raise ValueError("a projection has more edges than bins")
        if not np.isfinite(self._projections).all() or not np.isfinite(self._logs).all():
            raise ValueError("a projection or a score is no number")
