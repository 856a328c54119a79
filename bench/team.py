"""SUOD by its definition on PyOD's members, without its approximations: what ours is compared with.

PyOD's own class needs packages that nobody maintains. With them, and with approx_flag_global and rp_flag_global off, it
gives what `Team` gives, to the last bit (measured with suod 0.1.4 and combo 0.1.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Team:
    """PyOD's eight default members; a score is the mean, or the maximum, of their standardized scores."""

    def __init__(self, combination: str = "average", seed: int = 0) -> None:
        from pyod.models.copod import COPOD
        from pyod.models.hbos import HBOS
        from pyod.models.iforest import IForest
        from pyod.models.lof import LOF

        forests = [IForest(n_estimators=n, random_state=seed + 5 + at) for at, n in enumerate((50, 100, 150))]
        self.members = [LOF(n_neighbors=15), LOF(n_neighbors=20), HBOS(n_bins=10), HBOS(n_bins=20), COPOD(), *forests]
        self._combine: Any = {"average": np.mean, "maximization": np.max}[combination]

    def fit(self, rows: Floats) -> Team:
        """Fit the members, and mean and spread of their scores."""
        from pyod.utils.utility import standardizer

        scores = np.stack([member.fit(rows).decision_scores_ for member in self.members], axis=1)
        standardized, self._scaler = standardizer(scores, keep_scalar=True)
        self.decision_scores_ = np.asarray(self._combine(standardized, axis=1))
        return self

    def decision_function(self, rows: Floats) -> Floats:
        """The members' scores of `rows`, as one."""
        scores = np.stack([member.decision_function(rows) for member in self.members], axis=1)
        return np.asarray(self._combine(self._scaler.transform(scores), axis=1))
