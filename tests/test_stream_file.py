"""A stream as a file: it goes on to the last bit, in a fresh process too, and no file but a sound one is taken."""

import subprocess
import sys

import millstream as ms
import numpy as np
import pytest
from millstream import model_file
from millstream.backend.registry import backend_class

BACKENDS = [info.backend for info in ms.backends()]
DERIVED = {"rolling_windows": [5, 60], "lag_periods": [1, 7]}


def noise(rows, columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def small(**changes):
    given = {"min_samples": 20, "retrain_interval": 30, "window_size": 60, "background": False, "quiet_rows": 7}
    return ms.Stream(**given | changes)


def summary(results):
    return [(r.score, r.raw_score, r.is_anomaly, r.is_alert, r.samples_until_ready, r.imputed) for r in results]


STATE = (
    "status model_version total_processed samples_collected samples_since_retrain columns settings retrain_failures"
    " last_error"
)


def state(stream):
    return [getattr(stream, name) for name in STATE.split()]


def goes_on(stream, restored, rows):
    assert state(restored) == state(stream)
    assert summary(restored.update_many(rows)) == summary(stream.update_many(rows))
    assert summary([restored.update(rows[0])]) == summary([stream.update(rows[0])])
    assert state(restored) == state(stream)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("derived", [{}, DERIVED], ids=["plain", "with windows and lags"])
def test_a_restored_stream_goes_on_with_the_same_scores(backend, derived):
    interval = 60 if backend_class(backend).fit_in == "process" else 30  # such a fit takes long
    stream = small(backend=backend, retrain_interval=interval, **derived)
    stream.update_many(noise(67))
    goes_on(stream, ms.Stream.from_bytes(stream.to_bytes()), noise(75, seed=1))


@pytest.mark.parametrize("rows", [0, 1, 19, 20, 59, 60, 61, 250])
def test_a_stream_may_be_saved_at_any_row(rows):
    stream = small(**DERIVED)
    stream.update_many(noise(rows))
    goes_on(stream, ms.Stream.from_bytes(stream.to_bytes()), noise(70, seed=1))


def test_missing_values_and_names_are_restored():
    rows = noise(80)
    rows[::3, 1] = np.nan
    stream = small(columns=["a", "b"])
    stream.update_many(rows)
    restored = ms.Stream.from_bytes(stream.to_bytes())
    assert restored.update({"b": 1.0}).imputed == ("a",)


def test_a_restored_stream_knows_that_an_alert_is_open():
    stream = small(retrain_interval=1000)
    stream.update_many(np.ones((40, 2)))
    assert stream.update([100.0, 100.0]).is_alert
    stream.update([100.0, 100.0])
    restored = ms.Stream.from_bytes(stream.to_bytes())
    alerts = [restored.update([100.0, 100.0]).is_alert for _ in range(8)]
    assert alerts == [False] * 6 + [True, False]


def test_a_stream_saved_after_a_reset_and_a_change_of_settings_goes_on():
    stream = small()
    stream.update_many(noise(77))
    stream.reset()
    stream.update_many(noise(55, 3))
    stream.configure(contamination=0.02, threshold=0.7)
    goes_on(stream, ms.Stream.from_bytes(stream.to_bytes()), noise(70, 3, seed=1))


def test_saving_waits_for_a_retrain_under_way():
    stream = small(background=True)
    stream.update_many(noise(150))
    restored = ms.Stream.from_bytes(stream.to_bytes())
    assert (restored.status, restored.model_version) == ("ready", stream.model_version)


CONTINUE = """
import sys, numpy as np, millstream as ms
from pathlib import Path
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.stream")):
    results = ms.Stream.load(path).update_many(np.load(folder / "rows.npy")[:int(sys.argv[2])])
    np.savez(path.with_suffix(".npz"), score=results.score, raw=results.raw_score, alert=results.is_alert)
assert (sys.argv[3] == "fits") or not {"sklearn", "pyod", "torch"} & set(sys.modules)
"""


@pytest.mark.parametrize(("rows", "may_fit"), [(12, "scores"), (90, "fits")])
def test_a_fresh_process_goes_on_with_the_same_scores(tmp_path, rows, may_fit):
    """With every backend: in the middle of an interval, and (where it may fit) while collecting and into a retrain."""
    np.save(tmp_path / "rows.npy", noise(90, seed=1))
    streams = {}
    for backend in BACKENDS:
        for before in (67, 12) if may_fit == "fits" else (67,):
            stream = streams[f"{backend}-{before}"] = small(backend=backend, retrain_interval=60, **DERIVED)
            stream.update_many(noise(before))
            stream.save(tmp_path / f"{backend}-{before}.stream")
    subprocess.run([sys.executable, "-c", CONTINUE, str(tmp_path), str(rows), may_fit], check=True, timeout=200)
    for name, stream in streams.items():
        expected, got = stream.update_many(noise(90, seed=1)[:rows]), np.load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(got["score"], expected.score, name)
        np.testing.assert_array_equal(got["raw"], expected.raw_score, name)
        np.testing.assert_array_equal(got["alert"], expected.is_alert, name)


def test_a_stream_file_is_no_detector_and_a_detector_file_no_stream(tmp_path):
    stream = small()
    stream.update_many(noise(50))
    with pytest.raises(ms.ModelFileError, match=r"holds a stream, not a detector; load it with Stream\.load\.$"):
        ms.Detector.from_bytes(stream.to_bytes())
    with pytest.raises(ms.ModelFileError, match=r"holds a detector, not a stream; load it with Detector\.load\.$"):
        ms.Stream.from_bytes(ms.Detector("ecod").fit(noise(50)).to_bytes())


def test_a_damaged_file_is_refused():
    stream = small(**DERIVED)
    stream.update_many(noise(50))
    data = stream.to_bytes()
    for at in range(0, len(data), 97):
        with pytest.raises(ms.ModelFileError):
            ms.Stream.from_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        with pytest.raises(ms.ModelFileError):
            ms.Stream.from_bytes(data[:at])


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(meta, arrays):
        for key in path:
            meta = meta[key]
        meta[last] = value

    return change


def array(name, change):
    def apply(meta, arrays):
        arrays[name] = change(arrays[name].copy())

    return apply


def without(name):
    return lambda meta, arrays: arrays.pop(name)


def at(place, value):
    def change(array):
        array[place] = value
        return array

    return change


FORGED = {
    "settings beyond their limits": put("settings", "window_size", 3),
    "a setting there is none of": put("settings", "magic", 1),
    "another backend": put("settings", "backend", "isolation_forest"),
    "other windows": put("settings", "rolling_windows", [5]),
    "more features than may be": put("settings", "lag_periods", list(range(1, 61))),
    "no columns": put("columns", []),
    "one column less": put("columns", ["0"]),
    "a column twice": put("columns", ["0", "0"]),
    "columns that are no names": put("columns", [0, 1]),
    "columns forgotten": put("columns", None),
    "a negative counter": put("counters", "sequence", -1),
    "a counter beyond float64": put("counters", "sequence", 1 << 60),
    "counters in another order": put("counters", "fit_at", 10_000),
    "a counter that is text": put("counters", "sequence", "1"),
    "a window that starts nowhere": put("first", -1),
    "a window cut short": array("window", lambda a: a[:-1]),
    "a window longer than it may be": array("window", lambda a: np.repeat(a, 3, axis=1)),
    "infinite rows": array("window", at((0, 0), np.inf)),
    "no window": without("window"),
    "no model": without("model.training_scores"),
    "no scores": array("model.training_scores", lambda a: a[:0]),
    "other scores than rows": array("model.training_scores", lambda a: a[1:]),
    "scores in another order": array("model.training_scores", lambda a: a[::-1].copy()),
    "a width of zero": array("model.widths", at(0, 0.0)),
    "a center that is none": array("model.centers", at(0, np.nan)),
    "bounds of other columns": array("model.bounds", lambda a: a[:, :1]),
    "columns of the backend unsorted": array("model.backend.sorted", lambda a: a[:, ::-1].copy()),
    "fewer columns of the backend": array("model.backend.sorted", lambda a: a[:1]),
    "a level below its floor": array("calibration", at(0, -5.0)),
    "a calibration cut short": array("calibration", lambda a: a[:3]),
    "a calibration that is text": array("calibration", lambda a: a.astype("<i8").view("|u1")),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_sound_checksum_over_parts_that_do_not_fit_is_refused(forged):
    stream = small(**DERIVED)
    stream.update_many(noise(75))
    meta, arrays = model_file.decode(stream.to_bytes())
    FORGED[forged](meta, arrays)
    with pytest.raises(ms.ModelFileError):
        ms.Stream.from_bytes(model_file.encode(meta, arrays))


@pytest.mark.parametrize(
    ("backend", "columns"),
    [("knn", 1), ("knn", 100), ("local_outlier_factor", 1), ("local_outlier_factor", 100), ("isolation_forest", 100)],
)
def test_a_backend_that_was_fitted_on_other_columns_is_refused(backend, columns):
    stream = small(backend=backend, **DERIVED)
    stream.update_many(noise(75))
    meta, arrays = model_file.decode(stream.to_bytes())
    other = ms.Detector(backend).fit(np.repeat(noise(75)[:, :1], columns, axis=1) + np.arange(columns))
    named = {f"model.backend.{name}": part for name, part in other.fitted_backend.arrays().items()}
    with pytest.raises(ms.ModelFileError):
        ms.Stream.from_bytes(model_file.encode(meta, arrays | named))
