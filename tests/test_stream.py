"""`ms.Stream`: the rules of streaming, one test each."""

import threading
from concurrent.futures import ThreadPoolExecutor

import millstream as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millstream import stream_state
from millstream.backend.registry import backend_class

BACKENDS = [info.backend for info in ms.backends()]


def noise(rows, columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def small(**changes):
    return ms.Stream(**{"min_samples": 20, "retrain_interval": 30, "window_size": 60, "background": False, **changes})


def of(backend, **changes):
    """A small stream of any backend; those that fit in a process take long over a fit and get one or two."""
    slow = backend_class(backend).fit_in == "process"
    return small(**{"backend": backend, "retrain_interval": 100 if slow else 30, **changes})


def ready(**changes):
    stream = small(**changes)
    stream.update_many(noise(40))
    return stream


def summary(results):
    return [(r.score, r.raw_score, r.is_anomaly, r.is_alert, r.samples_until_ready, r.imputed) for r in results]


# --- cold start


def test_rows_before_min_samples_have_no_score_and_count_down():
    stream = small()
    results = [stream.update(row) for row in noise(19)]
    assert [r.samples_until_ready for r in results] == list(range(19, 0, -1))
    assert {(r.score, r.is_anomaly, r.raw_score, r.is_alert) for r in results} == {(None, None, None, False)}
    assert (stream.status, stream.model_version) == ("collecting", 0)


def test_the_row_that_completes_min_samples_trains_version_1_and_the_next_is_scored():
    stream = small()
    last = [stream.update(row) for row in noise(20)][-1]
    assert (last.score, last.samples_until_ready) == (None, 0)
    assert (stream.status, stream.model_version) == ("ready", 1)
    assert 0 < stream.update([0.0, 0.0]).score < 1


@pytest.mark.parametrize("background", [True, False])
def test_a_batch_may_straddle_the_cold_start(background):
    stream = small(background=background)
    results = stream.update_many(noise(25))
    assert np.isnan(results.score).tolist() == [True] * 20 + [False] * 5
    assert results.samples_until_ready.tolist() == [*range(19, -1, -1), 0, 0, 0, 0, 0]
    assert [r.index for r in results] == list(range(25))


def test_min_samples_lowered_below_the_rows_held_trains_with_the_next_row():
    stream = small()
    stream.update_many(noise(15))
    stream.configure(min_samples=10)
    assert stream.update([0.0, 0.0]).samples_until_ready == 0
    assert stream.model_version == 1


# --- order, replay, batches


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=5), st.sampled_from([0.0, 0.1]))
def test_batches_give_what_rows_give(cuts, missing):
    rows = noise(200)
    rows[np.random.default_rng(1).random(rows.shape) < missing] = np.nan
    one, many = small(), small()
    expected = summary([one.update(row) for row in rows])
    got = [result for part in np.split(rows, sorted(cuts)) for result in many.update_many(part)]
    assert summary(got) == expected
    assert many.model_version == one.model_version == 1 + 180 // 30


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_replay_gives_the_same_scores(backend):
    rows = noise(150)
    first, second = (of(backend).update_many(rows) for _ in range(2))
    assert summary(first) == summary(second)


def test_a_score_rests_on_earlier_rows_only():
    rows = noise(150)
    changed = rows.copy()
    changed[100:] += 50
    before, after = (small().update_many(r) for r in (rows, changed))
    assert summary(before)[:100] == summary(after)[:100]


def test_the_window_slides():
    stream = ready()
    stream.update_many(noise(500))
    assert (stream.samples_collected, stream.total_processed) == (60, 540)


# --- columns


def test_a_missing_key_counts_as_the_median_and_is_marked():
    stream = small()
    rows = noise(20)
    stream.update_many([{"a": a, "b": b} for a, b in rows])
    twin = small(columns=("a", "b"))
    twin.update_many(rows)
    missing, filled = stream.update({"a": 0.5}), twin.update([0.5, float(np.median(rows[:, 1]))])
    assert missing.imputed == ("b",)
    assert missing.raw_score == filled.raw_score


@pytest.mark.parametrize("row", [{"a": 1.0, "b": None}, {"a": 1.0, "b": float("nan")}, [1.0, None]])
def test_null_and_nan_are_missing(row):
    stream = small()
    stream.update_many([{"a": a, "b": b} for a, b in noise(20)])
    assert stream.update(row).imputed == ("b",)


def test_the_first_row_fixes_the_columns_and_other_keys_are_ignored_with_one_warning():
    stream = small()
    with pytest.warns(UserWarning, match="no column 'b'; it was ignored"):
        stream.update_many([{"a": 1.0}, {"a": 2.0, "b": 3.0}])
    assert stream.columns == ("a",)
    stream.update({"b": 1.0, "a": 2.0})  # a second warning would be an error


@pytest.mark.parametrize("value", ["web-1", True, None])
def test_what_an_ignored_key_holds_does_not_matter(value):
    stream = small()
    with pytest.warns(UserWarning, match="'host'"):
        stream.update_many([{"a": 1.0}, {"a": 2.0, "host": "web-1"}, {"a": None, "host": value}])
    assert (stream.columns, stream.total_processed) == (("a",), 3)
    with pytest.raises(ms.InvalidRequestError):
        stream.update({"a": "x", "host": value})
    assert stream.total_processed == 3


def test_lists_after_mappings_are_taken_by_position():
    stream, twin = small(), small()
    stream.update_many([{"a": a, "b": b} for a, b in noise(20)])
    twin.update_many(noise(20))
    assert stream.update([0.1, 0.2]).score == twin.update([0.1, 0.2]).score


def test_mappings_may_follow_arrays_whose_columns_have_names():
    stream = small(columns=["x", "y"])
    stream.update_many(noise(30))
    assert stream.update({"y": 1.0, "x": 2.0}).imputed == ()


def test_a_column_missing_in_all_training_rows_counts_as_0():
    stream = small()
    stream.update_many([{"a": v, "b": None} for v in noise(20, 1)[:, 0]])
    assert stream.update({"a": 0.0}).score < 0.9


@pytest.mark.parametrize(
    ("first", "bad"),
    [
        ({"a": 1.0}, [1.0, 2.0]),
        ({"a": 1.0}, {"a": "1"}),
        ({"a": 1.0}, {"a": True}),
        ({"a": 1.0}, {"a": float("inf")}),
        ([1.0, 2.0], [1.0]),
        ([1.0, 2.0], {"a": 1.0}),
        (None, {}),
        (None, []),
        (None, {"a": "text"}),
    ],
)
def test_a_refused_batch_changes_nothing(first, bad):
    stream = small()
    if first is not None:
        stream.update(first)
    before = (stream.total_processed, stream.columns, stream.samples_collected)
    for batch in ([bad], [bad, bad], [*([first] if first else []), bad]):
        with pytest.raises(ms.InvalidRequestError):
            stream.update_many(batch)
    assert (stream.total_processed, stream.columns, stream.samples_collected) == before
    stream.update_many([first or {"a": 1.0}] * 25)
    assert stream.status == "ready"


def test_an_empty_batch_has_no_results():
    assert len(small().update_many([])) == 0
    stream = ready()
    assert list(stream.update_many([])) == []
    assert stream.total_processed == 40


# --- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_samples": 9},
        {"min_samples": 61},
        {"retrain_interval": 9},
        {"window_size": 49},
        {"window_size": 10_000_001},
        {"threshold": 1.1},
        {"threshold": -0.1},
        {"threshold": "high"},
        {"contamination": "low"},
        {"min_samples": "20"},
        {"window_size": float("inf")},
        {"threshold": float("nan")},
        {"contamination": 0.0},
        {"contamination": 0.51},
        {"contamination": float("nan")},
        {"quiet_rows": -1},
        {"min_samples": 10.5},
        {"min_samples": True},
        {"rolling_windows": (0,)},
        {"rolling_windows": (61,)},
        {"rolling_windows": (5, 5)},
        {"lag_periods": (-1,)},
        {"backend": "nonesuch"},
        {"normalization": "nonesuch"},
    ],
)
def test_a_setting_beyond_its_limits_is_refused_by_name(wrong):
    with pytest.raises(ms.InvalidRequestError) as caught:
        small(**wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_whole_floats_and_numbers_of_numpy_are_integers_too():
    given = small(min_samples=20.0, window_size=np.int64(60), seed=np.float64(3.0), lag_periods=[1.0, np.int32(2)])
    assert given.settings == small(min_samples=20, window_size=60, seed=3, lag_periods=[1, 2]).settings


@pytest.mark.parametrize(
    "change",
    [{"threshold": 0.9}, {"contamination": 0.01}, {"retrain_interval": 50}, {"quiet_rows": 3}, {"min_samples": 20}],
)
def test_settings_that_may_change_on_a_running_stream(change):
    stream = ready()
    stream.configure(**change)
    assert getattr(stream.settings, next(iter(change))) == next(iter(change.values()))


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "isolation_forest"},
        {"window_size": 100},
        {"lag_periods": (1,)},
        {"rolling_windows": (5,)},
        {"min_samples": 30},
    ],
)
def test_settings_that_rows_have_fixed_are_in_conflict_until_a_reset(change):
    stream = ready()
    with pytest.raises(ms.ConflictError, match="reset or delete it first"):
        stream.configure(**change)
    stream.reset()
    stream.configure(**change)
    assert getattr(stream.settings, next(iter(change))) == next(iter(change.values()))


def test_min_samples_may_change_until_the_first_model():
    stream = small()
    stream.update_many(noise(15))
    stream.configure(min_samples=30)
    assert stream.update([0.0, 0.0]).samples_until_ready == 14


def test_a_threshold_decides_what_is_an_anomaly():
    rows = noise(300)
    strict, loose = (small(threshold=t).update_many(rows) for t in (0.9, 0.0))
    assert np.array_equal(strict.score, loose.score, equal_nan=True)
    assert strict.is_anomaly.sum() < loose.is_anomaly.sum() == 280


def test_reset_forgets_columns_rows_and_model():
    stream = ready()
    stream.reset()
    assert (stream.status, stream.model_version, stream.total_processed, stream.columns) == ("collecting", 0, 0, None)
    assert summary(stream.update_many(noise(40, 5))) == summary(small().update_many(noise(40, 5)))


# --- retraining


def failing(message="no"):
    def fit(*_):
        raise ValueError(message)

    return fit


def test_a_retrain_that_fails_keeps_the_model_and_is_tried_again(monkeypatch):
    stream = ready()
    with monkeypatch.context() as patch:
        patch.setattr(stream_state, "fit_model", failing("singular"))
        stream.update_many(noise(10))
        assert (stream.retrain_failures, stream.last_error) == (1, "ValueError: singular")
        assert stream.update([0.0, 0.0]).score is not None
        assert (stream.model_version, stream.status) == (1, "ready")
    stream.update_many(noise(29))
    assert (stream.retrain_failures, stream.last_error, stream.model_version) == (1, None, 2)


def test_a_first_fit_that_fails_is_tried_again_an_interval_later(monkeypatch):
    stream = small()
    with monkeypatch.context() as patch:
        patch.setattr(stream_state, "fit_model", failing())
        stream.update_many(noise(25))
        assert (stream.status, stream.retrain_failures) == ("collecting", 1)
    assert stream.update([0.0, 0.0]).samples_until_ready == 24
    stream.update_many(noise(24))
    assert (stream.status, stream.model_version) == ("ready", 1)


class Gate:
    """A fit that waits to be let through, so that a test can look at what happens meanwhile."""

    def __init__(self, monkeypatch):
        self.open, self.started, self.fits = threading.Event(), threading.Event(), 0
        self._fit = stream_state.fit_model
        monkeypatch.setattr(stream_state, "fit_model", self)

    def __call__(self, *job):
        self.fits += 1
        self.started.set()
        assert self.open.wait(30)
        return self._fit(*job)


def test_scoring_goes_on_while_a_retrain_runs_and_the_new_model_takes_over_in_one_step(monkeypatch):
    stream = ready(background=True)
    gate = Gate(monkeypatch)
    stream.update_many(noise(10))
    assert gate.started.wait(30)
    assert (stream.status, stream.model_version) == ("retraining", 1)
    assert stream.update([0.0, 0.0]).score is not None
    gate.open.set()
    stream.wait(30)
    assert (stream.status, stream.model_version) == ("ready", 2)


def test_a_large_batch_starts_one_retrain(monkeypatch):
    stream = ready(background=True, retrain_interval=10)
    stream.wait(30)
    gate = Gate(monkeypatch)
    stream.update_many(noise(100_000))
    stream.update_many(noise(1000))
    assert stream.samples_since_retrain == 1000
    gate.open.set()
    stream.wait(30)
    assert gate.fits == 1


def test_a_retrain_that_ends_after_a_reset_is_dropped(monkeypatch):
    stream = ready(background=True)
    gate = Gate(monkeypatch)
    stream.update_many(noise(10))
    assert gate.started.wait(30)
    stream.reset()
    gate.open.set()
    stream.wait(30)
    assert (stream.status, stream.model_version) == ("collecting", 0)


def test_rows_of_several_threads_are_all_counted():
    stream = small(background=True, retrain_interval=10)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: [stream.update_many(noise(7, seed=seed)) for _ in range(20)], range(8)))
    stream.wait(30)
    assert stream.total_processed == 8 * 20 * 7


# --- data that is hard


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "rows",
    [
        np.full((100, 2), 3.5),
        np.full((100, 2), np.nan),
        np.column_stack([np.arange(100.0), np.zeros(100)]),
        np.where(np.arange(200).reshape(100, 2) % 3 == 0, 1e308, -1e308),
        np.full((100, 1), 5e-324),
    ],
    ids=["constant", "all missing", "one constant column", "as wide as float64", "subnormal"],
)
def test_degenerate_rows_leave_a_working_stream(backend, rows):
    stream = of(backend)
    scores = stream.update_many(rows).score[20:]
    assert np.isfinite(scores).all()
    assert stream.retrain_failures == 0
    assert stream.update(np.zeros(rows.shape[1])).score is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_stream_is_silent_until_it_changes(backend):
    stream = of(backend)
    assert not stream.update_many(np.full((200, 2), 3.5)).is_anomaly.any()
    assert stream.update([3.5, 3.6]).is_alert


# --- alarms


@pytest.mark.parametrize("backend", ["ecod", "hbos", "copod", "knn", "cblof"])
def test_an_outlier_that_comes_again_alarms_again(backend):
    rows = np.random.default_rng(0).normal(120.0, 10.0, (1300, 3))
    planted = [300, 900, 901, 1200]
    rows[planted, 0] = 900.0
    scores = ms.Stream(backend, contamination=0.01, background=False).update_many(rows).score
    assert (scores[planted] > 0.9).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_planted_value_alarms(backend):
    rows = noise(151)
    rows[150, 1] = 8.0
    results = ms.Stream(backend=backend, contamination=0.01, background=False).update_many(rows)
    assert results.score[150] > 0.8


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_planted_value_alarms_in_one_of_eight_columns_of_heavy_tails(backend):
    rows = np.random.default_rng(7).standard_t(3, (151, 8))
    rows[150, 4] = 8 * 3**0.5
    results = ms.Stream(backend=backend, contamination=0.01, background=False).update_many(rows)
    assert results.score[150] > 0.8


@pytest.mark.parametrize("contamination", [0.01, 0.1])
@pytest.mark.parametrize("columns", [1, 4])
def test_the_share_of_alarms_on_noise_is_the_contamination(columns, contamination):
    rows = noise(20_500, columns)
    results = ms.Stream(contamination=contamination, background=False).update_many(rows)
    share = (results.score[500:] > 0.5).mean()
    assert 0.5 * contamination <= share <= 1.5 * contamination


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_share_of_alarms_on_noise_holds_for_every_backend(backend):
    stream = ms.Stream(backend=backend, background=False, window_size=300, retrain_interval=600)
    results = stream.update_many(noise(1850, 3))
    assert 0.05 <= (results.score[350:] > 0.5).mean() <= 0.15  # the whole table: bench/calibration_table.py


def test_a_level_shift_alarms_and_is_normal_a_window_later():
    rows = noise(4000)
    rows[2000:] += 20.0
    results = ms.Stream(contamination=0.05, background=False).update_many(rows)
    assert results.is_anomaly[2000:2010].all()
    assert results.is_anomaly[3000:].mean() <= 0.075


def test_an_alert_opens_an_episode_and_the_quiet_rows_after_it_open_none():
    stream = small(quiet_rows=5, retrain_interval=1000)
    stream.update_many(np.ones((40, 2)))
    alerts = [stream.update([100.0, 100.0]).is_alert for _ in range(13)]
    assert [at for at, alert in enumerate(alerts) if alert] == [0, 6, 12]


def test_it_shows_where_it_stands() -> None:
    stream = ms.Stream("ecod", min_samples=20, background=False)
    assert repr(stream) == "<Stream: ecod, collecting, 0 rows>"
    stream.update_many(np.random.default_rng(0).normal(size=(21, 2)))
    assert repr(stream) == "<Stream: ecod, ready, model 1, 21 rows>"
