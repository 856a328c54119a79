"""suod against its definition on PyOD's detectors."""

import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.suod import Suod

from bench.team import Team

CHANCE = np.random.default_rng(1)
SEED = 11
TRAINING, ROWS = CHANCE.gamma(2.0, size=(300, 3)) - 1.0, 3 * CHANCE.normal(size=(50, 3))


@pytest.mark.parametrize("combination", ["average", "maximization"])
def test_scores_are_pyods_without_its_approximations(combination):
    ours = Suod({"combination": combination}, FitContext(seed=SEED))
    scores = ours.fit(TRAINING)
    oracle = Team(combination, SEED).fit(TRAINING)
    tolerance = 1e-9 * np.median(np.abs(oracle.decision_scores_))
    assert np.allclose(scores, oracle.decision_scores_, rtol=1e-9, atol=tolerance)
    alone = [oracle.decision_function(row[None])[0] for row in ROWS]
    assert np.allclose(ours.score(ROWS), alone, rtol=1e-9, atol=tolerance)


def test_a_batch_of_any_size_is_scored_in_pieces():
    ours = Suod({}, FitContext())
    ours.fit(TRAINING)
    many = np.tile(ROWS, (200, 1))
    assert np.array_equal(ours.score(many), np.tile(ours.score(ROWS), 200))


def test_a_forest_that_reads_more_columns_than_the_other_members_is_refused():
    ours = Suod({}, FitContext())
    ours.fit(TRAINING)
    features = ours.arrays()["5.feature"] + TRAINING.shape[1]
    with pytest.raises(ValueError, match="different widths"):
        Suod({}, FitContext()).take(ours.arrays() | {"5.feature": features})
