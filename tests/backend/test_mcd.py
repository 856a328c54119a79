"""mcd against PyOD's MCD, and where PyOD has no answer."""

import millstream as ms
import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.mcd import Mcd

CHANCE = np.random.default_rng(1)
CLOUD = CHANCE.normal(size=(300, 3)) @ CHANCE.normal(size=(3, 3)) + [1.0, 2.0, 3.0]
ROWS = 4 * CHANCE.normal(size=(50, 3))


@pytest.mark.filterwarnings("ignore:The covariance matrix:UserWarning:sklearn")
@pytest.mark.filterwarnings("ignore:Determinant has increased:RuntimeWarning:sklearn")
@pytest.mark.parametrize(
    ("training", "params"),
    [
        (CLOUD, {}),
        (CLOUD, {"support_fraction": 0.9}),
        (CLOUD, {"assume_centered": True}),
        (CLOUD, {"store_precision": False}),
        (CLOUD[:3], {}),
        (CLOUD * [1, 1, 0], {}),
        (np.repeat(CLOUD[:5], 40, axis=0), {}),
        (np.vstack([CLOUD, 1e9 * CLOUD[:9]]), {}),
    ],
    ids=["cloud", "fraction", "centred", "not stored", "3 rows", "constant column", "duplicates", "far outliers"],
)
def test_scores_are_pyods(training, params):
    from pyod.models.mcd import MCD

    ours = Mcd(params, FitContext(seed=7))
    scores = ours.fit(training)
    oracle = MCD(random_state=7, **params).fit(training)
    tolerance = 1e-9 * np.median(oracle.decision_scores_)
    assert np.allclose(scores, oracle.decision_scores_, rtol=1e-9, atol=tolerance)
    alone = [oracle.decision_function(row[None])[0] for row in ROWS]
    assert np.allclose(ours.score(ROWS), alone, rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize(
    "training", [np.ones((50, 2)), np.vstack([np.ones((40, 2)), CLOUD[:10, :2]])], ids=["constant", "mostly constant"]
)
def test_where_most_rows_are_equal_a_score_is_the_squared_distance_from_the_median(training):
    detector = ms.Detector("mcd").fit(training)
    assert np.allclose(detector.raw_score([[1.0, 1.0], [4.0, 5.0]]), [0.0, 25.0])
