"""isolation_forest against scikit-learn, and what the range penalty adds."""

import millstream as ms
import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.isolation_forest import IsolationForest

from bench.peers import scaled


@pytest.mark.parametrize(
    "params",
    [{}, {"n_estimators": 20, "max_features": 0.5}, {"bootstrap": True, "max_samples": 50}, {"max_samples": "auto"}],
)
def test_without_the_range_penalty_scores_are_scikit_learns(params):
    from sklearn.ensemble import IsolationForest as Reference

    chance = np.random.default_rng(1)
    training, rows = chance.normal(size=(500, 4)), 3 * chance.normal(size=(200, 4))
    detector = ms.Detector("isolation_forest", params={"range_penalty": False} | params).fit(training)
    oracle = Reference(random_state=0, **params).fit(scaled(training, training))
    assert np.abs(detector.raw_score(rows) + oracle.score_samples(scaled(rows, training))).max() < 1e-12


def test_with_it_values_far_outside_score_near_1_and_training_rows_as_before():
    training = np.random.default_rng(2).normal(size=(500, 2))
    with_penalty, without = (
        ms.Detector("isolation_forest", params={"range_penalty": on}).fit(training) for on in (True, False)
    )
    assert np.array_equal(with_penalty.training_raw_scores, without.training_raw_scores)
    assert with_penalty.raw_score([[1e6, -1e6]])[0] > 0.9


def test_a_file_with_a_tree_deeper_than_any_fit_grows_is_refused():
    count = 100_001
    left = np.minimum(np.arange(count) + 1, count - 2).astype(np.int32)
    left[-1] = count - 1
    leaf = left == np.arange(count)
    arrays = {
        "threshold": np.where(leaf, np.inf, 0.0).astype(np.float32),
        "width": np.full(count, np.inf, np.float32),
        "feature": np.zeros(count, np.int32),
        "left": left,
        "length": np.ones(count),
        "roots": np.zeros(1, np.int64),
        "normal": np.ones(1),
    }
    with pytest.raises(ValueError, match="deeper"):
        IsolationForest({}, FitContext()).take(arrays)
