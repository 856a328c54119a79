"""HBOS: how empty the histogram of each column is at a row's value (Goldstein and Dengel 2012).

A column's score is -log2(density + alpha) of the value's bin, a row's score the sum over the columns. Values up to
`tol` bin widths outside count as the outermost bin, those beyond as the emptiest one: the score is bounded. `alpha` is
added to a density, whose size depends on the unit, so the scaling of the columns before matters. Scores are PyOD's to
the last bit: its edges, its rounding, and its rule that a bin holds its upper edge in scoring, its lower in counting.
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
    "n_bins": Parameter("int", 10, 'bins of every column; "auto": the best number for each', 2, 10_000, ("auto",)),
    "alpha": Parameter("float", 0.1, "added to every density, so that an empty bin has a score", 1e-9, 1.0),
    "tol": Parameter("float", 0.5, "bin widths outside that still count as the outermost bin", 0.0, 1.0),
}


class Hbos(FusedBackend):
    """Histograms. A few numbers of memory for each bin, whatever the rows; a score costs a few compares a column."""

    info = BackendInfo(
        backend="hbos",
        name="HBOS",
        description="Histograms: how rare a row's values are, column by column.",
        category="fast",
        speed="very fast",
        memory="very low",
        best_for="many rows and independent columns; the smallest models",
        parameter_info=_PARAMETERS,
    )
    fit_in = "thread"

    @property
    def width(self) -> int:
        """One histogram for each."""
        return len(self._bins)

    def fit(self, rows: Floats) -> Floats:
        """Count every column into its bins."""
        if self.params["n_bins"] == "auto":
            self._fit_each(rows)
        else:
            self._edges, self._logs = self._histograms(rows, self.params["n_bins"])
            self._bins = np.full(rows.shape[1], self.params["n_bins"])
        return self.score(rows)

    def _fit_each(self, rows: Floats) -> None:
        self._bins = np.array([optimal_bins(column) for column in rows.T], dtype=np.int64)
        most = int(self._bins.max())
        self._edges, self._logs = np.full((len(self._bins), most + 1), np.inf), np.zeros((len(self._bins), most))
        for j, bins in enumerate(self._bins):
            edges, logs = self._histograms(rows[:, j : j + 1], int(bins))
            self._edges[j, : bins + 1], self._logs[j, :bins] = edges[0], logs[0]

    def _histograms(self, rows: Floats, bins: int) -> tuple[Floats, Floats]:
        """Edges (d, bins + 1) and log2 of the densities (d, bins)."""
        from millstream.backend.hbos_kernels import log2

        columns = np.ascontiguousarray(rows.T)  # the least of a strided column takes 10 times as long
        edges = equal_edges(columns.min(axis=1), columns.max(axis=1), bins)
        counts = np.array([count_bins(*of_column) for of_column in zip(columns, edges, strict=True)])
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            density = counts / np.diff(edges, axis=1) / len(rows)
        smoothed = np.nan_to_num(density) + self.params["alpha"]
        return edges, np.log2(smoothed) if self.params["n_bins"] == "auto" else log2(smoothed)

    def scorer(self, scaling: Scaling) -> Scorer:
        """The columns, each packed into one row of a model: see hbos_kernels."""
        from millstream.backend.hbos_kernels import HEAD, score_rows

        d, most = self._logs.shape
        model = np.full((d, HEAD + 2 * (most + 2)), np.inf)
        model[:, 0], model[:, 1] = scaling.centers, scaling.widths
        tol = self.params["tol"]
        for j, bins in enumerate(self._bins):
            row, edges, scores = model[j], self._edges[j, : bins + 1], -self._logs[j, :bins]
            below, above = (edges[1] - edges[0]) * tol, (edges[-1] - edges[-2]) * tol
            row[2:HEAD] = edges[0], _bins_per_unit(edges), below, edges[-1], above, bins, scores.max()
            row[HEAD : HEAD + bins + 1] = edges
            row[HEAD + most + 2 :][: bins + 2] = np.concatenate([scores[:1], scores, scores[-1:]])
        return partial(score_rows, model)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Bins (d), their edges (d, most + 1) and logarithms (d, most); what a column has not is padding."""
        return {"bins": self._bins, "edges": self._edges, "logs": self._logs}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The histograms; bins must be there for every column."""
        self._bins = checked_array(arrays, "bins", np.int64, 1)
        self._edges, self._logs = (checked_array(arrays, name, np.float64, 2) for name in ("edges", "logs"))
        d, most = self._logs.shape
        if self._bins.shape != (d,) or self._edges.shape != (d, most + 1):
            raise ValueError("the histograms do not fit together")
        if not d or self._bins.min() < 1 or self._bins.max() > most:
            raise ValueError("a column's bins are not all there")
        if not np.isfinite(self._edges[np.arange(most + 1) <= self._bins[:, None]]).all():
            raise ValueError("an edge is no number")
        if not np.isfinite(self._logs).all():
            raise ValueError("a score is no number")


def _bins_per_unit(edges: Floats) -> float:
    """What guesses a bin from the distance to the first edge, at most one off; 0 where rounding would spoil it."""
    bins = len(edges) - 1
    with np.errstate(all="ignore"):
        per_unit = bins / (edges[-1] - edges[0])
        at, behind = ((values - edges[0]) * per_unit for values in (edges, np.nextafter(edges, np.inf)))
    steps = np.arange(bins + 1)
    exact = np.isfinite(per_unit) and (np.trunc(at) <= steps).all() and (np.trunc(behind) >= steps - 1).all()
    return float(per_unit) if exact else 0.0
