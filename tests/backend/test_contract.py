"""What holds for every backend."""

from concurrent.futures import ThreadPoolExecutor

import millstream as ms
import numpy as np
import pytest
from millstream.backend.registry import NAMES
from millstream.errors import InvalidRequestError

TRAINING = np.random.default_rng(3).normal(size=(120, 3)) * [1, 1e9, 1e-9]
ROWS = np.random.default_rng(4).normal(size=(60, 3)) * [3, 3e9, 3e-9]
backends = pytest.mark.parametrize("backend", NAMES)


@backends
def test_a_row_scores_the_same_alone_in_any_batch_and_from_many_threads(backend):
    detector = ms.Detector(backend).fit(TRAINING)
    whole = detector.raw_score(ROWS)
    assert np.array_equal(whole, [detector.raw_score(row[None])[0] for row in ROWS])
    assert np.array_equal(whole[::-1], detector.raw_score(ROWS[::-1]))
    with ThreadPoolExecutor(8) as threads:
        for scores in threads.map(detector.raw_score, [ROWS] * 16):
            assert np.array_equal(whole, scores)


@backends
def test_the_same_fit_gives_the_same_bytes_and_they_the_same_scores(backend):
    first, second = (ms.Detector(backend).fit(TRAINING) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    again = ms.Detector.from_bytes(first.to_bytes())
    assert np.array_equal(again.raw_score(ROWS), first.raw_score(ROWS))
    assert again.threshold("zscore") == first.threshold("zscore")


@backends
@pytest.mark.parametrize(
    "training",
    [
        np.zeros((20, 2)),
        np.repeat([[1.0, 2.0], [1.0, 3.0]], 10, axis=0),
        np.tile([1e308, -1e308], (20, 1)) * np.linspace(-1, 1, 20)[:, None],
        np.arange(2.0)[:, None],
    ],
    ids=["constant", "duplicates", "as wide as float64", "two rows"],
)
def test_odd_training_rows_have_a_finite_result(backend, training):
    detector = ms.Detector(backend).fit(training)
    scores = detector.detect(np.vstack([training, np.full((1, training.shape[1]), 1e300)]))
    assert np.isfinite(scores.score).all()
    assert np.isfinite(scores.raw_score).all()
    assert np.isfinite(detector.threshold())


@backends
@pytest.mark.parametrize(
    ("data", "changes"),
    [
        ([[1.0, 2.0]], {}),
        ([[1.0], [float("nan")], [3.0]], {}),
        ([[1.0], ["x"], [3.0]], {}),
        ([[1.0], [2.0, 3.0]], {}),
        ([], {}),
        ([[1.0], [2.0]], {"params": {"nonesuch": 1}}),
        ([[1.0], [2.0]], {"contamination": 0.6}),
        ([[1.0], [2.0]], {"normalization": "minmax"}),
        ([{"a": 1.0}, {"a": 2.0}], {"schema": {"a": "magic"}}),
    ],
)
def test_what_is_not_allowed_is_refused(backend, data, changes):
    with pytest.raises(InvalidRequestError):
        ms.Detector(backend, **changes).fit(data)
