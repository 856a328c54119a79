"""The pipeline around a backend: imputation, normalizations, thresholds, encodings, files."""

import millstream as ms
import numpy as np
import pytest
from millstream.errors import InvalidRequestError, ModelFileError, NotFittedError

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


def test_another_width_is_refused_with_the_columns(detector):
    with pytest.raises(InvalidRequestError, match="column_0, column_1"):
        detector.raw_score([[1.0]])


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
