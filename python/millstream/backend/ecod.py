"""ECOD: how far out in the tails of the training data a row lies, column by column (Li et al. 2022, arXiv 2201.00382).

The score of a column is -log of the share of rows at least as far out on the row's side, by the empirical distribution
of the training rows and the row itself; the score of a row is the sum. PyOD joins the training set to every batch it
scores, so its scores depend on the other rows; ours is what PyOD gives the row alone, to the last bit: the logarithms
come from NumPy's table and the columns are added in NumPy's pairwise order. PyOD adds both tails in columns whose
skewness is exactly 0, which depends on the order of rows; here the larger tail counts always.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, BackendInfo, Floats


class Ecod(Backend):
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

    def fit(self, rows: Floats) -> Floats:
        """Sort every column."""
        self._sorted = np.ascontiguousarray(np.sort(rows, axis=0).T)
        self._alone = _log_table(len(rows) + 1)
        from millstream.backend.ecod_kernels import score_rows

        # The training rows themselves are in the distribution already: the table of n, and no row joined.
        return np.asarray(score_rows(np.ascontiguousarray(rows), self._sorted, _log_table(len(rows)), 0))

    def score(self, rows: Floats) -> Floats:
        """The score PyOD gives each row alone."""
        from millstream.backend.ecod_kernels import score_rows

        return np.asarray(score_rows(rows, self._sorted, self._alone, 1))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The sorted columns (d, n)."""
        return {"sorted": self._sorted}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The sorted columns; the table of logarithms follows from their length."""
        self._sorted = np.ascontiguousarray(arrays["sorted"], dtype=np.float64)
        if self._sorted.ndim != 2 or not self._sorted.size:
            raise ValueError("the sorted columns are not a matrix")
        self._alone = _log_table(self._sorted.shape[1] + 1)


def _log_table(n: int) -> Floats:
    """-log of the shares 1/n .. 1, with PyOD's rounding: its shares come from linspace, not from k/n."""
    return np.asarray(-np.log(np.linspace(1 / n, 1, n)))
