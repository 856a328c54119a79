"""The pipeline around a backend: imputation, normalizations, thresholds, encodings, files."""

import math

import millstream as ms
import numpy as np
import pytest
from millstream import normalization
from millstream.errors import InvalidRequestError, ModelFileError, NotFittedError, NotFoundError

TRAINING = np.random.default_rng(5).lognormal(size=(200, 2))


@pytest.fixture(scope="module")
def detector():
    return ms.Detector("ecod", contamination=0.05).fit(TRAINING)


def test_the_three_normalizations_are_their_formulas(detector):
    raw, rows = detector.training_raw_scores, TRAINING[:9]
    scores = detector.raw_score(rows)
    low, median, high = np.percentile(raw, [25, 50, 75])
    assert np.allclose(detector.score(rows), 1 / (1 + np.exp(-(scores - median) / (2 * (high - low)))))
    assert np.allclose(detector.score(rows, "zscore"), (scores - raw.mean()) / raw.std())
    assert np.array_equal(detector.score(rows, "raw"), scores)
    assert detector.threshold("raw") == pytest.approx(np.percentile(raw, 95))


def test_a_threshold_of_0_stays_0(detector):
    found = detector.detect(TRAINING[:5], threshold=0, normalization="raw")
    assert found.threshold == 0
    assert found.is_anomaly.all()


def test_a_missing_value_counts_as_the_training_median(detector):
    found = detector.detect([[None, 1.0]])
    assert found.raw_score == detector.raw_score([[np.median(TRAINING[:, 0]), 1.0]])
    assert found.imputed.tolist() == [[True, False]]


def test_an_unfitted_detector_says_so():
    with pytest.raises(NotFittedError):
        ms.Detector("ecod").raw_score([[1.0]])


@pytest.mark.parametrize("ask", ["score", "raw_score", "detect"])
def test_an_unfitted_detector_says_so_whatever_is_asked(ask):
    with pytest.raises(NotFittedError):
        getattr(ms.Detector("ecod"), ask)([[1.0]])


@pytest.mark.parametrize("refused", [np.zeros((0, 5)), np.zeros((1, 5)), [["x"]], [[1.0, None], [2.0, 3.0]]])
def test_a_refused_refit_leaves_the_earlier_model_whole(refused):
    fitted = ms.Detector("ecod").fit(TRAINING)
    before = fitted.to_bytes()
    with pytest.raises(InvalidRequestError):
        fitted.fit(refused)
    assert fitted.to_bytes() == before
    assert fitted.score(TRAINING[:3].tolist()).tolist() == fitted.score(TRAINING[:3]).tolist()


def test_named_rows_are_matched_by_name_where_the_model_has_none(detector):
    rows = [{"column_1": 1.0, "column_0": 9.0}, {"column_0": 2.0, "column_1": None}]
    found = detector.detect(rows)
    assert found.raw_score.tolist() == detector.raw_score([[9.0, 1.0], [2.0, None]]).tolist()
    assert found.named
    with pytest.raises(InvalidRequestError, match="lists of 2 numbers, or the names column_0, column_1"):
        detector.score([{"a": 1.0, "b": 9.0}])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"seed": -1}, "'seed' is -1; allowed is an integer from 0 to 4,294,967,295"),
        ({"seed": 2**32}, "'seed' is"),
        ({"seed": "a"}, "'seed' is 'a'"),
        ({"seed": None}, "'seed' is None"),
        ({"epochs": 0}, "'epochs' is 0"),
        ({"batch_size": 0.5}, "'batch_size' is 0.5"),
        ({"contamination": "a"}, "'contamination' is 'a'"),
        ({"contamination": True}, "'contamination' is True"),
        ({"params": [1]}, "'params' is"),
        ({"schema": "numeric"}, "'schema' is"),
        ({"schema": {"a": []}}, "'schema' has"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_at_once(given, word):
    with pytest.raises(InvalidRequestError) as refused:
        ms.Detector("ecod", **given)
    assert word in str(refused.value)


def test_numbers_of_numpy_and_whole_floats_are_settings_too():
    given = ms.Detector("hbos", contamination=np.float32(0.25), seed=np.int64(3), epochs=7.0, params={"n_bins": 8.0})
    assert (given.settings.contamination, given.settings.seed, given.settings.epochs) == (0.25, 3, 7)
    assert ms.Detector("hbos", params={"n_bins": np.int64(8), "tol": np.float64(0.25)}).params["n_bins"] == 8
    assert ms.Detector.from_bytes(given.fit(TRAINING).to_bytes()).settings == given.settings
    plain = ms.Detector("hbos", contamination=0.25, seed=3, epochs=7, params={"n_bins": 8})
    assert plain.fit(TRAINING).to_bytes() == given.to_bytes()


def test_training_scores_cannot_be_written(detector):
    for fitted in (detector, ms.Detector.from_bytes(detector.to_bytes())):
        with pytest.raises(ValueError, match="read-only"):
            fitted.training_raw_scores[0] = 1.0


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.safetensors"):
        ms.Detector.load(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="is a directory"):
        ms.Detector.load(tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1, 2], [3], [4, 5]], r"^Row 1: The row has fewer than 2 values"),
        ([[1, 2], [3, 4], [5, "abc"]], r"^Row 2: The column 'column_1' does not hold numbers"),
        ([[1, 2], [3, 4], [math.nan, 5]], r"^Row 2 has no value in column 'column_0'"),
        ([{"a": 1, "b": 2}, {"a": 1, "b": math.inf}], r"^Row 1: An infinite number in column 'b'"),
        ([[True, 2], [False, 3]], r"^Row 0: The column 'column_0' does not hold numbers"),
    ],
)
def test_the_error_alone_says_which_row_is_refused(rows, says):
    with pytest.raises(InvalidRequestError, match=says):
        ms.Detector("ecod").fit(rows)


@pytest.mark.parametrize("threshold", [math.nan, np.float64("nan"), "high", "0.5", [1.0, 2.0], 10**400])
def test_a_threshold_that_is_no_number_is_refused(detector, threshold):
    with pytest.raises(InvalidRequestError, match=r"'threshold' is .*; allowed is a number") as refused:
        detector.detect(TRAINING, threshold=threshold)
    assert refused.value.refusals[0].loc == ("threshold",)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 7e-5, 1e300])
def test_equal_training_scores_have_no_width(value):
    statistics = normalization.learn(np.full(1000, value), 0.1)
    assert (statistics.iqr, statistics.std) == (1.0, 1.0)
    assert statistics.normalize(np.array([value]), "zscore").tolist() == [0.0]
    assert statistics.normalize(np.array([value]), "standardization").tolist() == [0.5]


def test_another_width_is_refused_with_the_columns(detector):
    with pytest.raises(InvalidRequestError, match=r"have 1 column; .* \(column_0, column_1\)"):
        detector.raw_score([[1.0]])


def test_named_rows_without_any_of_the_columns_are_refused_with_their_names():
    fitted = ms.Detector("ecod").fit([{"load": x, "heat": y} for x, y in TRAINING[:, :2].tolist()])
    for strange in ([{"speed": 1.0}], [{}], [{"speed": 1.0}, {"Load": 2.0}]):
        with pytest.raises(InvalidRequestError, match="load, heat"):
            fitted.score(strange)
    assert len(fitted.score([{"speed": 1.0}, {"load": None}])) == 2
    assert len(fitted.score([])) == 0


LOGS = [{"ms": 100.0 + n, "verb": ("GET", "PUT")[n % 2], "ok": n % 3 > 0, "who": f"w{n % 5}"} for n in range(40)]


def test_a_schema_is_inferred_and_travels_in_the_file():
    fitted = ms.Detector("ecod").fit(LOGS)
    assert fitted.encoder.schema == {"ms": "numeric", "verb": "label", "ok": "binary", "who": "label"}
    again = ms.Detector.from_bytes(fitted.to_bytes())
    assert again.encoder == fitted.encoder
    assert np.array_equal(again.raw_score(LOGS), fitted.raw_score(LOGS))


def test_a_damaged_or_foreign_file_is_refused(detector):
    data = bytearray(detector.to_bytes())
    for at in range(0, len(data), 97):
        flipped = bytes(data[:at]) + bytes([data[at] ^ 1]) + bytes(data[at + 1 :])
        try:
            other = ms.Detector.from_bytes(flipped)
        except (ModelFileError, InvalidRequestError):
            continue
        assert np.array_equal(other.raw_score(TRAINING), detector.raw_score(TRAINING))
    for foreign in (b"", b"\x80\x04pickle", b"\xff" * 100, bytes(data[:50])):
        with pytest.raises(ModelFileError):
            ms.Detector.from_bytes(foreign)


def test_it_shows_what_it_is() -> None:
    detector = ms.Detector("ecod", contamination=0.05)
    assert repr(detector) == "<Detector: ecod, contamination 0.05, not fitted>"
    detector.fit(np.random.default_rng(0).normal(size=(50, 2)))
    assert repr(detector) == "<Detector: ecod, contamination 0.05, fitted on 50 rows>"
