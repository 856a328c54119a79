"""From a backend's raw score to a stream's score between 0 and 1, with a share of alarms that holds.

A raw score means nothing by itself: its unit is the backend's, and its spread changes with every refit. Two steps make
it comparable, and neither knows the backend.

*Evidence.* How rare is this row under the current model? `k` of the model's own `n` training scores are at least as
high, so ln((n+1)/(k+1)) is the surprise of its rank. Backends that rank tails or fill histograms are flat beyond the
edge of their window and cannot tell a value just outside from one far away, so a row that leaves the window's range
gains a second, bounded term, worth more the rarer noise leaves a window of that size (2d record holders in n rows).

*Level.* Evidence alarms above a level `theta`, which tracks the (1 - contamination) quantile of the evidence: one step
up for an alarm, a small one down for a quiet row. Whatever the stream does, the share of alarms in the long run is then
the contamination (quantile tracking: Angelopoulos, Candès and Tibshirani 2023, arXiv 2307.16895). A floor under the
level keeps rows that tie with the bulk of the training scores silent, so a constant stream never alarms.

The score of a row rests on earlier rows only: the level moves after the row is scored. Importing this module loads
numba; a call costs about 0.1 us a row.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RANGE_WEIGHT = 2.5  # 2 leaves 8 sigma in one of 8 columns of counts at 0.79 (hbos); 3 gains nothing
_HALF_REACHED = 0.1  # widths beyond the edge at which half of the range term is reached
_WINDOWS_TO_FORGET = 2.0  # 1: long anomalies lift the level; 4: heavy tails alarm at 1.4 times the contamination
_TIE = 1e-9  # relative to the largest training score: the rounding of a refit must not alarm a constant stream
_FARTHEST = 1e9  # widths; any distance from a column that was constant

_values = nb.types.Array(nb.float64, 1, "C", readonly=False)
_row = nb.types.Array(nb.float64, 1, "C", readonly=True)
_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)


@nb.njit(nb.int64(_values, nb.float64), cache=True, nogil=True)
def count_at_least(ascending: Floats, value: float) -> int:
    """Return how many of `ascending` (not empty) are >= `value`: a binary search without branches on the data."""
    first, length = 0, len(ascending)
    while length > 1:
        half = length // 2
        first += half if ascending[first + half] < value else 0
        length -= half
    return len(ascending) - first - int(ascending[first] < value)


@nb.njit(nb.float64(_row, _matrix), cache=True, nogil=True)
def widths_outside(row: Floats, bounds: Floats) -> float:
    """Return how far `row` lies outside the window, in widths of its worst column; 0 inside.

    `bounds` is (2, d): the lowest and highest training value of each column. Missing values (NaN) are inside. Distances
    are halved, so that columns as wide as float64 itself do not overflow.
    """
    worst = 0.0
    for j in range(len(row)):
        low, high, value = 0.5 * bounds[0, j], 0.5 * bounds[1, j], 0.5 * row[j]
        distance = max(low - value, value - high)
        if distance > 0.0:
            width = high - low
            worst = max(worst, distance / width if distance < _FARTHEST * width else _FARTHEST)
    return worst


@nb.njit(nb.float64(nb.float64, _row, _values, _matrix), cache=True, nogil=True)
def evidence(raw: float, row: Floats, training: Floats, bounds: Floats) -> float:
    """Return the evidence against one row under one model; `training` are its own scores, ascending."""
    n, d = len(training), bounds.shape[1]
    tie = _TIE * max(abs(training[0]), abs(training[n - 1]))
    rank = math.log((n + 1.0) / (count_at_least(training, raw - tie) + 1.0))
    outside: float = widths_outside(row, bounds)
    if outside == 0.0:
        return rank
    record = max(0.0, math.log((n + 1.0) / (2.0 * d)))
    return rank + _RANGE_WEIGHT * record * outside / (outside + _HALF_REACHED)


@nb.njit(nb.float64(nb.float64, nb.float64), cache=True, nogil=True)
def score_at(evidence: float, theta: float) -> float:
    """Return the score of a row: above 0.5 exactly when its evidence is above the level `theta`."""
    return 1.0 / (1.0 + math.exp(theta - evidence))


@nb.njit(nb.float64(nb.float64, nb.boolean, nb.float64, nb.float64), cache=True, nogil=True)
def next_level(theta: float, alarm: bool, contamination: float, window: float) -> float:
    """Return the level after a row: the step up and the steps down balance at a share of `contamination` alarms."""
    step = min(1.0, 1.0 / (_WINDOWS_TO_FORGET * contamination * window))
    return max(theta + step * ((1.0 if alarm else 0.0) - contamination), -0.5 * math.log(contamination))


@nb.njit(
    nb.float64(_values, _matrix, _values, _matrix, nb.float64, nb.float64, nb.float64, _values), cache=True, nogil=True
)
def calibrate(
    raw: Floats,
    rows: Floats,
    training: Floats,
    bounds: Floats,
    theta: float,
    contamination: float,
    window: float,
    scores: Floats,
) -> float:
    """Write the scores of consecutive rows under one model into `scores` and return the level after them."""
    for i in range(len(raw)):
        scores[i] = score_at(evidence(raw[i], rows[i], training, bounds), theta)
        theta = next_level(theta, scores[i] > 0.5, contamination, window)
    return theta


@nb.njit(nb.int64(_values, nb.float64, nb.int64, nb.int64, nb.types.Array(nb.boolean, 1, "C")), cache=True, nogil=True)
def mark_alerts(scores: Floats, threshold: float, quiet_rows: int, since_alert: int, alerts: NDArray[np.bool_]) -> int:
    """Write into `alerts` which rows open an episode and return the rows since the last alert.

    A row opens one when it is an anomaly and none of the `quiet_rows` rows before it opened one.
    """
    for i in range(len(scores)):
        alerts[i] = scores[i] > threshold and since_alert >= quiet_rows
        since_alert = 0 if alerts[i] else since_alert + 1
    return since_alert


class Calibration:
    """The calibration of one stream: the level, and what the current model says about itself.

    Parameters
    ----------
    contamination : float
        The share of rows that shall alarm, 0 < c <= 0.5.
    window_size : int
        Rows of the stream's window; the level forgets in about two windows.
    """

    def __init__(self, contamination: float, window_size: int) -> None:
        self.contamination = contamination
        self.window_size = window_size
        self.theta = _first_level(contamination)
        self.training_scores: Floats = np.empty(0)
        self.bounds: Floats = np.empty((2, 0))

    def follow(self, training_scores: Floats, bounds: Floats) -> None:
        """Take over a new model: its own training scores, ascending (n), and its window's bounds (2, d).

        The level stays: evidence is a rank under the current model, so it means the same under each.
        """
        self.training_scores = training_scores
        self.bounds = bounds

    def score(self, raw: Floats, rows: Floats) -> Floats:
        """Return the scores of consecutive rows (n, d) with these raw scores, and move the level over them."""
        scores = np.empty(len(raw))
        self.theta = calibrate(
            raw, rows, self.training_scores, self.bounds, self.theta, self.contamination, self.window_size, scores
        )
        return scores

    def change_contamination(self, contamination: float) -> None:
        """Ask for another share of alarms and keep what was learnt: how far the level is from where it began."""
        learnt = self.theta - _first_level(self.contamination)
        self.theta = max(learnt + _first_level(contamination), 0.5 * _first_level(contamination))
        self.contamination = contamination


def window_bounds(rows: Floats) -> Floats:
    """Return the lowest and the highest value of each column, (2, d); both 0 for a column without any value."""
    bounds = np.stack([np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)])
    bounds[np.isnan(bounds)] = 0.0
    return bounds


def _first_level(contamination: float) -> float:
    """Right when a new row is exchangeable with the training rows: -ln of the share that shall lie above."""
    return -math.log(contamination)
