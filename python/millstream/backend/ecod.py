"""ECOD: how far out in the tails of the training data a row lies, column by column (Li et al. 2022, arXiv 2201.00382).

The score of a column is -log of the share of rows at least as far out on the row's side, by the empirical distribution
of the training rows and the row itself; the score of a row is the sum. PyOD joins the training set to every batch it
scores, so its scores depend on the other rows; ours is what PyOD gives the row alone, to the last bit: the logarithms
come from NumPy's table and the columns are added in NumPy's pairwise order. PyOD adds both tails in columns whose
skewness is exactly 0, which depends on the order of rows; here the larger tail counts always.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend import tails
from millstream.backend.base import BackendInfo, Floats, FusedBackend, Scorer, StreamKernels
from millstream.scaling import Scaling


class Ecod(FusedBackend):
    """Empirical cumulative distributions. No parameters; d * n numbers of memory; a score costs d binary searches."""

    info = BackendInfo(
        backend="ecod",
        name="ECOD",
        description="Empirical cumulative distributions: how far out in the tails a row lies, column by column.",
        category="fast",
        speed="very fast",
        memory="low",
        best_for="a first choice for numbers and for streams: no parameters, exact, quick to fit",
    )
    fit_in = "thread"

    @property
    def width(self) -> int:
        """One sorted column for each."""
        return len(self._sorted)

    def fit(self, rows: Floats) -> Floats:
        """Sort every column."""
        from millstream.backend.tail_kernels import score_by_larger_tail

        self._sorted = tails.sort_columns(rows)
        model = tails.pack(Scaling.identity(rows.shape[1]), self._sorted, tails.table_among(len(rows)))
        scores = np.empty(len(rows))
        score_by_larger_tail(model, rows, scores)
        return scores

    def scorer(self, scaling: Scaling) -> Scorer:
        """What gives each row the score that PyOD gives it alone."""
        from millstream.backend.tail_kernels import score_by_larger_tail

        table = tails.table_joined(self._sorted.shape[1])
        return partial(score_by_larger_tail, tails.pack(scaling, self._sorted, table))

    @classmethod
    def stream_kernels(cls) -> StreamKernels:
        """One kernel a row, and a fit from sorted columns."""
        from millstream.backend import ecod_stream_kernels

        return ecod_stream_kernels

    def stream_part(self, rows: int, features: int) -> Floats:
        """The sorted columns, then the table of logarithms."""
        if self._sorted.shape != (features, rows):
            raise ValueError("the sorted columns are those of other rows")
        return np.concatenate([self._sorted.ravel(), tails.table_joined(self._sorted.shape[1])])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The sorted columns (d, n)."""
        return {"sorted": self._sorted}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The sorted columns; the table of logarithms follows from their length."""
        self._sorted = tails.checked_columns(arrays["sorted"])
