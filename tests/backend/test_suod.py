"""suod against its definition on PyOD's detectors.

PyOD's own class needs packages that nobody maintains. With them, and with approx_flag_global and rp_flag_global off, it
gives what `Oracle` gives, to the last bit (measured with suod 0.1.4 and combo 0.1.3).
"""

import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.suod import Suod

CHANCE = np.random.default_rng(1)
SEED = 11
TRAINING, ROWS = CHANCE.gamma(2.0, size=(300, 3)) - 1.0, 3 * CHANCE.normal(size=(50, 3))


class Oracle:
    """PyOD's SUOD without its approximations."""

    def __init__(self, rows, combination):
        from pyod.models.copod import COPOD
        from pyod.models.hbos import HBOS
        from pyod.models.iforest import IForest
        from pyod.models.lof import LOF
        from pyod.utils.utility import standardizer

        self.combine = {"average": np.mean, "maximization": np.max}[combination]
        forests = [IForest(n_estimators=n, random_state=SEED + 5 + at) for at, n in enumerate((50, 100, 150))]
        members = [LOF(n_neighbors=15), LOF(n_neighbors=20), HBOS(n_bins=10), HBOS(n_bins=20), COPOD(), *forests]
        self.members = [member.fit(rows) for member in members]
        scores = np.stack([member.decision_scores_ for member in self.members], axis=1)
        standardized, self.scaler = standardizer(scores, keep_scalar=True)
        self.decision_scores_ = self.combine(standardized, axis=1)

    def decision_function(self, rows):
        scores = np.stack([member.decision_function(rows) for member in self.members], axis=1)
        return self.combine(self.scaler.transform(scores), axis=1)


@pytest.mark.parametrize("combination", ["average", "maximization"])
def test_scores_are_pyods_without_its_approximations(combination):
    ours = Suod({"combination": combination}, FitContext(seed=SEED))
    scores = ours.fit(TRAINING)
    oracle = Oracle(TRAINING, combination)
    tolerance = 1e-9 * np.median(np.abs(oracle.decision_scores_))
    assert np.allclose(scores, oracle.decision_scores_, rtol=1e-9, atol=tolerance)
    alone = [oracle.decision_function(row[None])[0] for row in ROWS]
    assert np.allclose(ours.score(ROWS), alone, rtol=1e-9, atol=tolerance)


def test_a_batch_of_any_size_is_scored_in_pieces():
    ours = Suod({}, FitContext())
    ours.fit(TRAINING)
    many = np.tile(ROWS, (200, 1))
    assert np.array_equal(ours.score(many), np.tile(ours.score(ROWS), 200))
