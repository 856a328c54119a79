"""COPOD: tails by the empirical copula, on the side to which a column is skewed (Li et al. 2020, arXiv 2009.09463).

A column's score is -log of the share of rows at or beyond the value, counted on the side of the column's skewness, or
the mean of both sides where that is more; a row's score is the sum over the columns. PyOD joins the training set to
every batch it scores, skewness included, so its scores depend on the other rows; ours is what PyOD gives the row alone,
to the last bit. One row moves the skewness of n others by a polynomial of its distance from their mean, of which only
the sign matters: `_skewness`. A column with the row may have a skewness of exactly 0; PyOD's sign is then that of
rounding errors, which depend on the order of rows, and here both tails are added, as its formula says for a true 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend import tails
from millstream.backend.base import BackendInfo, Floats, FusedBackend, Scorer, checked_array
from millstream.scaling import Scaling


class Copod(FusedBackend):
    """Empirical copula. No parameters; d * n numbers of memory; a score costs d binary searches."""

    info = BackendInfo(
        backend="copod",
        name="COPOD",
        description="Empirical copula: how far out a row lies in the tail to which each column is skewed.",
        category="fast",
        speed="very fast",
        memory="low",
        best_for="skewed columns, where one side is the unusual one; no parameters",
    )
    fit_in = "thread"

    @property
    def width(self) -> int:
        """One sorted column for each."""
        return len(self._sorted)

    def fit(self, rows: Floats) -> Floats:
        """Sort every column and learn its skewness."""
        from millstream.backend.tail_kernels import score_by_skewness

        self._sorted = tails.sort_columns(rows)
        self._joined = _skewness_joined(rows)
        among = np.zeros((3, rows.shape[1]))
        sign = _skewness_sign(rows)
        among[2] = np.where(sign == 0, np.nan, np.copysign(np.inf, sign))  # outweighs any distance from the mean
        identity = Scaling.identity(rows.shape[1])
        scores = np.empty(len(rows))
        score_by_skewness(tails.pack(identity, self._sorted, tails.table_among(len(rows)), among), rows, scores)
        return scores

    def scorer(self, scaling: Scaling) -> Scorer:
        """What gives each row the score that PyOD gives it alone."""
        from millstream.backend.tail_kernels import score_by_skewness

        table = tails.table_joined(self._sorted.shape[1])
        return partial(score_by_skewness, tails.pack(scaling, self._sorted, table, self._joined))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The sorted columns (d, n) and the polynomial of the skewness (3, d)."""
        return {"sorted": self._sorted, "skewness": self._joined}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The sorted columns and the skewness; the table of logarithms follows from their length."""
        self._sorted = tails.checked_columns(arrays["sorted"])
        self._joined = checked_array(arrays, "skewness", np.float64, 2)
        if self._joined.shape != (3, len(self._sorted)):
            raise ValueError("the skewness does not fit the columns")


def _skewness_joined(rows: Floats) -> Floats:
    """What tells the sign of the skewness of the rows and one value more: (3, d).

    With x at a distance t from the mean of n values whose central sums of squares and cubes are S and C, the central
    sum of cubes of all n + 1 is C + t^3 n (n - 1) / (n + 1)^2 - 3 t S / (n + 1) (Terriberry's update). The rows are
    the mean, and the coefficients of t and 1 once that of t^3 is divided away.
    """
    n = len(rows)
    mean, squares, cubes = _central_sums(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        linear, constant = 3 * squares * (n + 1) / (n * (n - 1)), cubes * (n + 1) ** 2 / (n * (n - 1))
    return np.nan_to_num(np.stack([mean, linear, constant]))


def _skewness_sign(rows: Floats) -> Floats:
    """The sign of each column's skewness, with the rounding of scipy.stats.skew: 0 where it is 0 or undefined."""
    n = len(rows)
    mean, squares, cubes = _central_sums(rows)
    with np.errstate(all="ignore"):
        skewness = (cubes / n) / (squares / n) ** 1.5
        skewness[squares / n <= (np.finfo(np.float64).eps * mean) ** 2] = 0.0
    return np.sign(np.nan_to_num(skewness))


def _central_sums(rows: Floats) -> tuple[Floats, Floats, Floats]:
    with np.errstate(over="ignore", invalid="ignore"):  # of values near the end of float64 the sums are infinite
        mean = rows.mean(axis=0)
        mean = np.where(np.isfinite(mean), mean, (rows / len(rows)).sum(axis=0))
        away = rows - mean
        squares = away**2
        return mean, squares.sum(axis=0), (squares * away).sum(axis=0)
