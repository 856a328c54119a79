"""cblof against PyOD's CBLOF, and where PyOD has no answer."""

import millstream as ms
import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.cblof import Cblof

CHANCE = np.random.default_rng(1)
CLUSTERS = np.vstack(
    [CHANCE.normal(at, 0.5, size=(n, 3)) for at, n in ((0.0, 200), (6.0, 150), (-7.0, 30), (20.0, 8), (-20.0, 2))]
)
ROWS = 12 * CHANCE.normal(size=(200, 3))


@pytest.mark.parametrize(
    ("training", "params"),
    [
        (CLUSTERS, {}),
        (CLUSTERS, {"n_clusters": 3}),
        (CLUSTERS, {"n_clusters": 20, "alpha": 0.5}),
        (CLUSTERS, {"n_clusters": 5, "alpha": 0.99, "beta": 2}),
        (CLUSTERS, {"use_weights": True}),
        (np.repeat(CLUSTERS[::10], 30, axis=0), {}),
        (CLUSTERS * [1, 0, 1], {}),
    ],
    ids=["default", "few", "many", "limits", "weights", "duplicates", "constant column"],
)
def test_scores_are_pyods(training, params):
    from pyod.models.cblof import CBLOF

    ours = Cblof(params, FitContext(seed=7))
    scores = ours.fit(training)
    oracle = CBLOF(random_state=7, **params).fit(training)
    tolerance = 1e-9 * np.median(oracle.decision_scores_)
    assert np.allclose(scores, oracle.decision_scores_, rtol=1e-9, atol=tolerance)
    alone = [oracle.decision_function(row[None])[0] for row in ROWS]
    assert np.allclose(ours.score(ROWS), alone, rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("estimator", ["KMeans", "MiniBatchKMeans"])
def test_clusters_are_those_of_the_estimator_asked_for(estimator):
    from sklearn import cluster

    ours = Cblof({"clustering_estimator": estimator}, FitContext(seed=3))
    ours.fit(CLUSTERS)
    oracle = getattr(cluster, estimator)(n_clusters=8, random_state=3).fit(CLUSTERS)
    assert np.allclose(np.sort(ours.arrays()["centers"], axis=0), np.sort(oracle.cluster_centers_, axis=0))


@pytest.mark.parametrize(
    ("training", "score"),
    [
        (np.full((50, 2), 3.0), 5.0),
        (np.array([[3.0, 3.0], [900.0, 900.0]]), None),
        (np.repeat(np.arange(8.0)[:, None] * 1000, 2, axis=1).repeat(9, axis=0), None),
    ],
    ids=["constant", "fewer rows than clusters", "equal clusters"],
)
def test_without_a_separation_all_clusters_are_large(training, score):
    detector = ms.Detector("cblof").fit(training)
    assert np.allclose(detector.training_raw_scores, 0.0)
    away = detector.raw_score([[6.0, 7.0]])[0]
    assert away == pytest.approx(score) if score else away > 0
