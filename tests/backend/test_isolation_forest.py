"""isolation_forest against scikit-learn, and what the range penalty adds."""

import millstream as ms
import numpy as np
import pytest

from bench.peers import scaled


@pytest.mark.parametrize(
    "params",
    [{}, {"n_estimators": 20, "max_features": 0.5}, {"bootstrap": True, "max_samples": 50}, {"max_samples": "auto"}],
)
def test_without_the_range_penalty_scores_are_scikit_learns(params):
    from sklearn.ensemble import IsolationForest

    chance = np.random.default_rng(1)
    training, rows = chance.normal(size=(500, 4)), 3 * chance.normal(size=(200, 4))
    detector = ms.Detector("isolation_forest", params={"range_penalty": False} | params).fit(training)
    oracle = IsolationForest(random_state=0, **params).fit(scaled(training, training))
    assert np.abs(detector.raw_score(rows) + oracle.score_samples(scaled(rows, training))).max() < 1e-12


def test_with_it_values_far_outside_score_near_1_and_training_rows_as_before():
    training = np.random.default_rng(2).normal(size=(500, 2))
    with_penalty, without = (
        ms.Detector("isolation_forest", params={"range_penalty": on}).fit(training) for on in (True, False)
    )
    assert np.array_equal(with_penalty.training_raw_scores, without.training_raw_scores)
    assert with_penalty.raw_score([[1e6, -1e6]])[0] > 0.9
