"""The calibration against one-line oracles, and its promise: the share of alarms on noise is the contamination."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millstream.calibration import (
    FLOOR,
    QUIET_ROWS,
    ROW,
    SINCE_ALERT,
    THETA,
    Calibration,
    count_below,
    evidence,
    judge,
    judge_row,
    judge_rows,
    pack,
    score_at,
    widths_outside,
    window_bounds,
)

finite = st.floats(-1e300, 1e300, allow_nan=False)
some = st.lists(finite, min_size=1, max_size=40)


def packed(training, bounds):
    """A model that scales nothing, with these training scores and bounds (2, d)."""
    bounds = np.asarray(bounds, float)
    width = bounds.shape[1]
    return pack(np.zeros(width), np.ones(width), bounds, np.sort(np.asarray(training, float)))


@given(some, finite)
def test_count_below_counts(values, value):
    ascending = np.sort(np.array(values))
    assert count_below(ascending, 0, len(values), value) == sum(v < value for v in values)


@given(some, st.integers(0, 39), st.integers(0, 39))
def test_count_below_counts_ties_in_a_part(values, at, start):
    ascending = np.sort(np.array(values))
    start %= len(values)
    value = float(ascending[at % len(values)])
    assert count_below(ascending, start, len(values) - start, value) == sum(v < value for v in ascending[start:])


@pytest.mark.parametrize(
    ("row", "widths"),
    [
        ((0.0, 5.0), 0.0),
        ((10.0, 5.0), 0.0),
        ((12.0, 5.0), 0.2),
        ((-5.0, 5.0), 0.5),
        ((12.0, 5.0 + 1e-9), 1e9),  # the second column was constant: any distance is the farthest
        ((math.nan, 5.0), 0.0),
        ((1e308, 5.0), 1e9),
        ((-1e308, math.nan), 1e9),
    ],
)
def test_widths_outside_of_a_window(row, widths):
    model = packed([0.0], [[0.0, 5.0], [10.0, 5.0]])
    assert widths_outside(model, np.array(row), 0) == pytest.approx(widths, rel=1e-12)


def test_widths_outside_of_a_window_as_wide_as_float64():
    assert widths_outside(packed([0.0], [[-1.7e308], [1.2e308]]), np.array([1.7e308]), 0) == pytest.approx(0.5 / 2.9)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=30), st.floats(0, 120), st.floats(-50, 150))
def test_evidence_follows_the_formula(training, raw, value):
    k = sum(s >= raw - 1e-9 * max(training) for s in training)
    x = max(0.0, -value, value - 100) / 100
    rank, record = math.log((len(training) + 1) / (k + 1)), max(0.0, math.log((len(training) + 1) / 2))
    expected = rank + 2.5 * record * x / (x + 0.1) + 1.5 * math.log(1 + 2 * x)
    model = packed(training, [[0.0], [100.0]])
    assert evidence(model, np.array([value]), 0, raw) == pytest.approx(expected, abs=1e-12)


@given(st.floats(0, 30), st.floats(0, 30))
def test_a_score_is_above_a_half_exactly_when_the_evidence_is_above_the_level(seen, level):
    assert (score_at(seen, level) > 0.5) == (seen > level + 1e-16 * level) or abs(seen - level) < 1e-14


@pytest.mark.parametrize("contamination", [0.003, 0.01, 0.1, 0.5])
def test_the_level_never_falls_below_its_floor(contamination):
    it = Calibration(contamination, 50)
    quiet = np.zeros((100_000, 1))
    judge_rows(it.live, packed([1.0], [[0.0], [0.0]]), quiet, np.zeros(len(quiet)), np.empty((3, len(quiet))))
    assert it.live[THETA] == it.live[FLOOR] == -0.45 * math.log(contamination)


def test_a_tie_within_rounding_is_no_evidence():
    assert evidence(packed(np.full(100, 3.0), np.zeros((2, 1))), np.zeros(1), 0, 3.0 * (1 + 1e-12)) == 0.0


def test_bounds_skip_missing_values_and_are_zero_for_a_column_without_any():
    columns = np.array([[1.0, 4.0], [math.nan, 2.0], [math.nan, math.nan]])
    assert window_bounds(columns, 0.1).tolist() == [[1.0, 2.0, 0.0], [4.0, 2.0, 0.0]]


@pytest.mark.parametrize(("outliers", "inside"), [(0, False), (1, False), (5, False), (6, True), (40, True)])
def test_bounds_leave_out_the_anomalies_expected_at_an_end_and_no_more(outliers, inside):
    values = np.append(np.random.default_rng(0).normal(size=1000 - outliers), np.full(outliers, 50.0))
    (low,), (high,) = window_bounds(values[None], 0.01)
    assert (low, high) == (values.min(), 50.0 if inside else values[values < 50.0].max())
    (low,), (high,) = window_bounds(-values[None], 0.01)
    assert (low, high) == (-50.0 if inside else -values[values < 50.0].max(), -values.min())


def test_bounds_of_values_most_of_which_are_equal_hold_them_all():
    values = np.append(np.zeros(996), [1.0, 2.0, 3.0, 1000.0])
    assert window_bounds(values[None], 0.1).tolist() == [[0.0], [1000.0]]


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 10))
def test_an_alert_is_an_anomaly_with_no_alert_in_the_quiet_rows_before_it(anomalies, quiet):
    it = Calibration(0.1, 100, quiet_rows=quiet)
    model, alerts = packed(np.zeros(50), [[0.0], [1.0]]), []
    for anomaly in anomalies:
        score, alert = judge(it.live, model, np.array([1e9 if anomaly else 0.0]), 0, 0.0)
        assert (score > 0.5) == anomaly
        alerts.append(alert)
    for i, anomaly in enumerate(anomalies):
        assert alerts[i] == (anomaly and not any(alerts[max(0, i - quiet) : i]))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200), max_size=4))
def test_scores_and_alerts_do_not_depend_on_how_rows_are_batched(cuts):
    rng = np.random.default_rng(1)
    rows, training = rng.normal(size=(200, 2)), rng.normal(size=(50, 2))
    model = packed(_distance(training), window_bounds(training.T, 0.1))
    whole, split, single = (Calibration(0.1, 100, quiet_rows=5, width=2) for _ in range(3))
    expected = judged(whole, model, rows, _distance(rows))
    got = [judged(split, model, np.ascontiguousarray(r), _distance(r)) for r in np.split(rows, sorted(cuts))]
    assert np.array_equal(np.concatenate(got, axis=1), expected)
    for row, want in zip(rows, expected.T, strict=True):
        single.live[ROW : ROW + 2] = row
        score, alert = judge_row(single.live, model, want[1])
        assert (score, alert) == (want[0], want[2] > 0)
    assert split.learnt.tolist() == whole.learnt.tolist() == single.learnt.tolist()


def judged(calibration, model, rows, raw):
    out = np.empty((3, len(rows)))
    judge_rows(calibration.live, model, rows, raw, out)
    return out


def test_a_change_of_contamination_keeps_what_was_learnt():
    it = Calibration(0.1, 100)
    it.live[THETA] += 0.7
    it.ask(0.01, 0.5, 100)
    assert it.live[THETA] == pytest.approx(-math.log(0.01) + 0.7)
    it.ask(0.1, 0.9, 3)
    assert it.live[THETA] == pytest.approx(-math.log(0.1) + 0.7)
    assert it.live[QUIET_ROWS] == 3


def test_the_rate_of_alarms_is_that_of_the_last_window():
    it = Calibration(0.5, 80)
    model = packed(np.zeros(50), [[0.0], [1.0]])
    assert it.alarm_rate is None
    judged(it, model, np.full((10, 1), 1e9), np.zeros(10))
    assert it.alarm_rate == 1.0
    judged(it, model, np.zeros((30, 1)), np.zeros(30))
    assert it.alarm_rate == 0.25
    judged(it, model, np.zeros((41, 1)), np.zeros(41))
    assert it.alarm_rate == 0.0


def test_a_calibration_goes_on_from_what_another_learnt():
    it, other = Calibration(0.1, 100), Calibration(0.1, 100)
    it.live[SINCE_ALERT] = 7.0
    other.go_on_from(it.learnt)
    assert other.live.tolist() == it.live.tolist()
    slots = len(it.learnt)
    for bad in (np.zeros(3), np.full(slots, math.nan), np.full(slots, -1.0), np.zeros(slots), np.full(slots, 1e300)):
        with pytest.raises(ValueError, match="calibration"):
            other.go_on_from(bad)


def _distance(rows):
    return np.abs(rows).sum(axis=1)


NOISE = {
    "gaussian": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.random(shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, shape),
    "counts": lambda rng, shape: rng.poisson(20.0, shape).astype(float),
}


def replay(rows, contamination, window=1000, interval=100, raw=_distance):
    """Scores of a stream whose model is the window itself: a raw score that is a distance from its median."""
    calibration, scores = Calibration(contamination, window), []
    for start in range(50, len(rows), interval):
        training = rows[max(0, start - window) : start]
        centre, width = np.median(training, axis=0), np.ptp(training, axis=0)
        width[width == 0] = 1.0
        model = packed(raw((training - centre) / width), window_bounds(training.T, 0.1))
        batch = rows[start : start + interval]
        scores.append(judged(calibration, model, batch, raw((batch - centre) / width))[0])
    return np.concatenate(scores)


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("contamination", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("noise", NOISE)
def test_the_share_of_alarms_on_noise_is_the_contamination(noise, contamination, columns):
    rows = NOISE[noise](np.random.default_rng(7), (20_550, columns))
    share = (replay(rows, contamination)[450:] > 0.5).mean()
    assert share <= 1.5 * contamination
    if noise != "counts":  # ties may silence a stream of few distinct values
        assert share >= 0.5 * contamination


def test_scores_that_tie_for_a_ninth_of_the_rows_alarm_too():
    rows = NOISE["uniform"](np.random.default_rng(7), (20_550, 1))
    scores = replay(rows, 0.01, raw=lambda r: np.floor(9 * np.clip(r[:, 0] + 0.5, 0.0, 0.99)))
    assert 0.005 <= (scores[450:] > 0.5).mean() <= 0.015


@pytest.mark.parametrize("noise", NOISE)
def test_a_planted_value_scores_high_though_the_raw_score_is_flat_outside_the_window(noise):
    rows = NOISE[noise](np.random.default_rng(3), (2000, 4))
    spread = rows.std(axis=0)
    if noise == "heavy tails":
        spread = np.full(4, 3.0**0.5)
    for at in (150, 451, 1702):
        planted = rows.copy()
        planted[at, 2] = planted[:at, 2].mean() + 8 * spread[2]
        saturating = replay(planted, 0.05, raw=lambda r: np.minimum(np.abs(r), 0.5).sum(axis=1))
        if noise != "heavy tails" or planted[at, 2] > planted[:at, 2].max():
            assert saturating[at - 50] > 0.8


def test_a_level_shift_alarms_and_is_normal_a_window_later():
    rows = np.random.default_rng(5).normal(size=(6000, 2))
    rows[3000:] += 20.0
    scores = replay(rows, 0.05)
    assert (scores[2950:2990] > 0.5).all()
    assert (scores[4000:] > 0.5).mean() <= 0.075


def test_a_constant_stream_is_silent_until_it_changes():
    rows = np.full((3000, 2), 7.25)
    rows[2500, 1] = 7.26
    scores = replay(rows, 0.1)
    assert np.flatnonzero(scores > 0.5).tolist() == [2450]
    assert scores[2450] > 0.9
