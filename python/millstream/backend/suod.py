"""SUOD: eight detectors that vote (Zhao et al. 2021), with PyOD's default members.

The members are ours. Their scores are standardized by mean and standard deviation over the training rows, and averaged.
PyOD's SUOD also approximates its members, by random projections and by forests that imitate them, to save time; ours
take microseconds a row and need neither. So scores are those of PyOD with approx_flag_global and rp_flag_global off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, BackendInfo, FitContext, Floats, FusedBackend, Parameter, Scorer
from millstream.backend.local_outlier_factor import LocalOutlierFactor, SharedSearch
from millstream.backend.registry import backend_class
from millstream.scaling import SQUARABLE, Scaling

_NEIGHBORS = (15, 20)  # of the two local outlier factors, the first members
_OTHERS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("hbos", {"n_bins": 10}),
    ("hbos", {"n_bins": 20}),
    ("copod", {}),
    ("isolation_forest", {"n_estimators": 50, "range_penalty": False}),
    ("isolation_forest", {"n_estimators": 100, "range_penalty": False}),
    ("isolation_forest", {"n_estimators": 150, "range_penalty": False}),
)
_PARAMETERS = {
    "combination": Parameter(
        "str", "average", "how the members' scores become one", choices=("average", "maximization")
    ),
}
_CHUNK = 8_192  # rows scored at a time: what the members say of them takes half a megabyte


class Suod(FusedBackend):
    """Eight members, and mean and spread of the scores of each; a score costs the sum of theirs."""

    info = BackendInfo(
        backend="suod",
        name="SUOD",
        description="An ensemble: two local outlier factors, two histograms, COPOD and three isolation forests vote.",
        category="ensemble",
        speed="medium",
        memory="medium",
        best_for="steady results where it is not known which algorithm suits the data",
        parameter_info=_PARAMETERS,
    )
    fit_in = "process"

    def __init__(self, params: Mapping[str, Any], context: FitContext) -> None:
        super().__init__(params, context)
        self._greatest = self.params["combination"] == "maximization"
        contexts = (
            replace(context, seed=(context.seed + at) % 2**32) for at in count()
        )  # no forest is part of another
        self._factors = [LocalOutlierFactor({"n_neighbors": k}, next(contexts)) for k in _NEIGHBORS]
        self._others = [backend_class(name)(told, next(contexts)) for name, told in _OTHERS]
        self._members: list[Backend] = [*self._factors, *self._others]

    @property
    def width(self) -> int:
        """That of the widest member."""
        return max(member.width for member in self._members)

    def fit(self, rows: Floats) -> Floats:
        """Fit the members, and learn mean and spread of what each says of the training rows."""
        from millstream.backend.suod_kernels import combine
        from millstream.scaling_kernels import make_finite

        parts = np.stack([member.fit(rows) for member in self._members])
        for part in parts:  # one score beyond float64 would leave a member without mean and spread
            make_finite(part)
        self._factors[0].share(self._factors[1])
        self._statistics = _statistics(np.clip(parts, -SQUARABLE, SQUARABLE))
        scores = np.empty(len(rows))
        combine(parts, self._statistics, self._greatest, scores)
        return scores

    def scorer(self, scaling: Scaling) -> Scorer:
        """The members' scores combined. One search among the training rows serves both local outlier factors."""
        from millstream.backend.suod_kernels import combine
        from millstream.scaling_kernels import make_finite, scale_rows

        packed, others = scaling.packed(), [member.scorer(scaling) for member in self._others]
        factors, first = SharedSearch(self._factors), len(self._factors)
        statistics, greatest = self._statistics, self._greatest

        def score_some(values: Floats, scores: Floats) -> bool:
            rows, parts = np.empty(values.shape), np.empty((first + len(others), len(values)))
            if not scale_rows(packed, values, rows):
                return False
            factors.score(rows, parts[:first])
            for at, other in enumerate(others, first):
                if not other(values, parts[at]):
                    return False
            combine(parts, statistics, greatest, scores)
            make_finite(scores)
            return True

        def score_values(values: Floats, scores: Floats) -> bool:
            if len(values) <= _CHUNK:
                return score_some(values, scores)
            for start in range(0, len(values), _CHUNK):
                if not score_some(values[start : start + _CHUNK], scores[start : start + _CHUNK]):
                    return False
            return True

        return score_values

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of member k as `k.name`, training rows once, and mean and spread (2, members)."""
        members = {
            f"{at}.{name}": array for at, member in enumerate(self._members) for name, array in member.arrays().items()
        }
        del members["0.rows"]
        return members | {"statistics": self._statistics}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The members, each checked as if it were alone, and mean and spread."""
        complete = {**arrays, "0.rows": arrays["1.rows"]}
        for at, member in enumerate(self._members):
            head = f"{at}."
            member.take({name.removeprefix(head): array for name, array in complete.items() if name.startswith(head)})
        if {member.width for member in self._members if member.reads_every_column} != {self.width}:
            raise ValueError("the members are for rows of different widths")
        self._factors[0].share(self._factors[1])
        self._statistics = np.ascontiguousarray(arrays["statistics"], dtype=np.float64)
        if self._statistics.shape != (2, len(self._members)) or not (self._statistics[1] > 0).all():
            raise ValueError("there are not a mean and a spread for each member")


def _statistics(parts: Floats) -> Floats:
    """Mean and standard deviation of each member's scores. One that is rounding alone counts as 1, as in PyOD."""
    mean, variance = parts.mean(axis=1), parts.var(axis=1)
    n, rounding = parts.shape[1], np.finfo(np.float64).eps
    constant = variance <= n * rounding * variance + (n * mean * rounding) ** 2
    return np.stack([mean, np.where(constant, 1.0, np.sqrt(variance))])
