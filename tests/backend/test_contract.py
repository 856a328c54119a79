"""What holds for every backend."""

from concurrent.futures import ThreadPoolExecutor

import millstream as ms
import numpy as np
import pytest
from millstream.backend import registry
from millstream.backend.registry import NAMES
from millstream.errors import InvalidRequestError

CUBIC_IN_COLUMNS = ("mcd",)
CHANCE = np.random.default_rng(3)
TRAINING = CHANCE.normal(size=(120, 3)) * [1, 1e9, 1e-9]
ROWS = CHANCE.normal(size=(60, 3)) * [3, 3e9, 3e-9]
TIES = CHANCE.integers(0, 4, size=(300, 3)).astype(np.float64)
backends = pytest.mark.parametrize("backend", NAMES)


@backends
@pytest.mark.parametrize(
    ("training", "rows"),
    [
        (TRAINING, np.vstack([ROWS, TRAINING[:9], [[np.nan, 0.0, 0.0]]])),
        (CHANCE.normal(size=(200, 1)), 2 * CHANCE.normal(size=(70, 1))),
        (CHANCE.normal(size=(150, 18)), 2 * CHANCE.normal(size=(70, 18))),
        (TIES, np.vstack([TIES[:40], TIES[:40] + 0.5])),
    ],
    ids=["three columns", "one column", "many columns", "ties"],
)
def test_a_row_scores_the_same_alone_in_any_batch_in_any_order_and_from_eight_threads(backend, training, rows):
    detector = ms.Detector(backend, epochs=2).fit(training)
    whole = detector.raw_score(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(whole, np.concatenate([detector.raw_score(row[None]) for row in rows]))
    assert np.array_equal(whole[order], detector.raw_score(rows[order]))
    assert np.array_equal(whole[5:24], detector.raw_score(rows[5:24]))
    assert np.array_equal(whole, detector.raw_score(np.asfortranarray(rows)))
    with ThreadPoolExecutor(8) as threads:
        for scores in threads.map(detector.raw_score, [rows] * 16):
            assert np.array_equal(whole, scores)


@backends
def test_the_same_fit_gives_the_same_bytes_and_they_the_same_scores(backend):
    first, second = (ms.Detector(backend).fit(TRAINING) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    again = ms.Detector.from_bytes(first.to_bytes())
    assert np.array_equal(again.raw_score(ROWS), first.raw_score(ROWS))
    assert again.threshold("zscore") == first.threshold("zscore")


@backends
def test_a_model_of_some_of_the_widest_numbers_can_be_stored(backend):
    widest = np.where(np.arange(4) % 2, 1e308, -1e308)[:, None] * np.ones((1, 3))
    fitted = ms.Detector(backend, epochs=2).fit(np.vstack([ROWS, widest]))
    again = ms.Detector.from_bytes(fitted.to_bytes())
    assert np.array_equal(again.raw_score(ROWS), fitted.raw_score(ROWS))


@backends
@pytest.mark.parametrize(
    "training",
    [
        np.zeros((20, 2)),
        np.repeat([[1.0, 2.0], [1.0, 3.0]], 10, axis=0),
        np.tile([1e308, -1e308], (20, 1)) * np.linspace(-1, 1, 20)[:, None],
        np.arange(2.0)[:, None],
        np.array([[0.0], [1e308], [-1e308], [1.0], [2.0], [3.0], [4.0], [5.0]]),
        1.0 + 1e-15 * np.arange(30.0)[:, None],
    ],
    ids=["constant", "duplicates", "as wide as float64", "two rows", "far outliers", "a few ulps"],
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
        (np.ones((3, 10_000)), {}),
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


@backends
def test_an_unknown_parameter_is_refused_with_those_there_are(backend):
    with pytest.raises(InvalidRequestError, match=", ".join(registry.backend_class(backend).info.parameters) or "none"):
        ms.Detector(backend, params={"nonesuch": 1})


@pytest.mark.parametrize("backend", [name for name in NAMES if name not in CUBIC_IN_COLUMNS])
def test_as_many_columns_as_a_table_may_have_get_a_result(backend):
    training = np.random.default_rng(0).normal(size=(30, 2_000))
    detector = ms.Detector(backend, epochs=1).fit(training)
    assert np.isfinite(detector.raw_score(training[:2])).all()
