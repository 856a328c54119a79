"""ecod against PyOD, to the last bit."""

import millstream as ms
import numpy as np
import pytest

from bench.peers import scaled


@pytest.mark.parametrize("columns", [1, 3, 8, 20, 130, 300])
def test_scores_are_pyods_of_the_row_alone_to_the_last_bit(columns):
    from pyod.models.ecod import ECOD

    chance = np.random.default_rng(columns)
    training, rows = chance.lognormal(size=(200, columns)), 1.5 * chance.lognormal(size=(20, columns))
    rows[0], rows[1] = training[3], training.max(axis=0)
    detector = ms.Detector("ecod").fit(training)
    oracle = ECOD().fit(scaled(training, training))
    assert np.array_equal(detector.training_raw_scores, oracle.decision_scores_)
    alone = [oracle.decision_function(row[None])[0] for row in scaled(rows, training)]
    assert np.array_equal(detector.raw_score(rows), alone)
