"""one_class_svm against PyOD's OCSVM."""

import millstream as ms
import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.one_class_svm import OneClassSvm
from millstream.errors import InvalidRequestError

CHANCE = np.random.default_rng(1)
TRAINING, ROWS = CHANCE.gamma(2.0, size=(700, 5)) - 1.0, 3 * CHANCE.normal(size=(100, 5))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"nu": 0.3, "gamma": 2.5},
        {"gamma": "scale", "shrinking": False, "tol": 1e-6},
        {"kernel": "linear"},
        {"kernel": "poly", "degree": 4, "coef0": 1.0},
        {"kernel": "sigmoid", "gamma": 0.05, "coef0": -0.5},
    ],
)
def test_scores_are_pyods(params):
    from pyod.models.ocsvm import OCSVM

    ours = OneClassSvm(params, FitContext(contamination=0.2))
    training = ours.fit(TRAINING)
    oracle = OCSVM(**({"nu": 0.2} | params)).fit(TRAINING)
    tolerance = 1e-9 * np.median(np.abs(oracle.decision_scores_))
    assert np.abs(training - oracle.decision_scores_).max() < tolerance
    alone = np.array([oracle.decision_function(row[None])[0] for row in ROWS])
    assert (np.abs(ours.score(ROWS) - alone) <= np.maximum(tolerance, 1e-9 * np.abs(alone))).all()


def test_the_exponential_is_at_most_1_ulp_off_and_never_overflows():
    from millstream.backend.one_class_svm_kernels import exp_negative

    x = -np.concatenate([np.geomspace(1e-20, 700, 10_000), np.linspace(0, 700, 10_000), [1.0, 0.5, np.log(2)]])
    assert np.abs(np.array([exp_negative(value) for value in x]) / np.exp(x) - 1).max() <= 2.3e-16
    assert all(0 <= exp_negative(value) < 1e-300 for value in (-709.0, -1e308, -np.inf))


@pytest.mark.parametrize("params", [{}, {"kernel": "linear"}, {"kernel": "poly", "degree": 10}, {"kernel": "sigmoid"}])
def test_values_as_wide_as_float64_have_a_finite_result(params):
    rows = np.vstack([TRAINING, np.full((3, 5), 1e300), np.full((3, 5), -1e250)])
    detector = ms.Detector("one_class_svm", params=params).fit(rows)
    assert np.isfinite(detector.detect(rows).score).all()
    assert np.array_equal(detector.raw_score(rows), detector.training_raw_scores)


def test_a_kernel_that_overflows_is_refused_with_the_way_out():
    rows = TRAINING * 1e9
    rows[:, 1] = 1e-300
    with pytest.raises(InvalidRequestError, match="use a smaller gamma"):
        ms.Detector("one_class_svm", params={"kernel": "poly", "degree": 10, "gamma": 1e9, "coef0": 1e6}).fit(rows)
