"""From a backend's raw score to a stream's score between 0 and 1, with a share of alarms that holds.

A raw score means nothing by itself: its unit is the backend's, and its spread changes with every refit. Two steps make
it comparable, and neither knows the backend.

*Evidence.* How rare is this row under the current model? `k` of the model's own `n` training scores are at least as
high, so ln((n+1)/(k+1)) is the surprise of its rank. Backends that rank tails or fill histograms are flat beyond the
edge of their window and cannot tell a value just outside from one far away, so a row that leaves the window's range
(see `edges`) gains a second term. Its first part is bounded, and worth more the rarer noise leaves a window of that
size (2d record holders in n rows); the other grows with the logarithm of the distance, as the tails of heavy noise thin
out.

*Level.* Evidence alarms above a level `theta`, which tracks the (1 - contamination) quantile of the evidence: one step
up for an alarm, a small one down for a quiet row. Whatever the stream does, the share of alarms in the long run is then
the contamination (quantile tracking: Angelopoulos, Candès and Tibshirani 2023, arXiv 2307.16895). A floor under the
level keeps rows that tie with the bulk of the training scores silent, so a constant stream never alarms.

The score of a row rests on earlier rows only: the level moves after the row is scored.

What the kernels work on are two flat arrays, because each array in a call costs 50 to 100 ns, as much as the work on a
row: `live`, the state of one stream (the slots below), and `packed`, one fitted model (see `pack`). A fused kernel of a
backend appends what it needs to `packed`. Importing this module loads numba.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Slots of `live`. Behind ROW: the row being scored, as wide as the model, and as many slots of scratch.
THETA, CONTAMINATION, STEP, FLOOR, THRESHOLD, QUIET_ROWS, SINCE_ALERT, SCORED, PART_ROWS, ALARMS = range(10)
PARTS = 8  # alarms are counted by eighths of a window, in the slots from ALARMS on
ROW = ALARMS + PARTS

# Slots of `packed`: n training scores, d columns, f features (the d columns among them). Behind HEAD: f centers,
# f widths, the lowest and the highest value of d columns, n training scores ascending, the backend's own numbers.
SCORES, COLUMNS, FEATURES, HEAD = range(4)

_RANGE_WEIGHT = 2.5  # 2 leaves 8 sigma in one of 8 columns of counts at 0.79 (hbos); 3 gains nothing
_HALF_REACHED = 0.1  # widths beyond the edge at which half of that is reached
_FAR_WEIGHT = 1.5  # 0 leaves 8 sigma in one of 8 heavy-tailed columns at 0.59 (hbos, row 150), 1 at 0.79, this at 0.86
_FENCE = 2.0  # 8.2 sigma of normal noise; 1.5 alarms at 1.57 times the contamination on 8 heavy-tailed columns
_FLOOR_SHARE = 0.45  # of the first level; 0.5 silences the ties of ten equal bins (loda on uniform noise: 0.43 c)
_WINDOWS_TO_FORGET = 2.0  # 1: long anomalies lift the level; 4: heavy tails alarm at 1.4 times the contamination
_TIE = 1e-9  # relative to the largest training score: the rounding of a refit must not alarm a constant stream
_FARTHEST = 1e9  # widths; any distance from a column that was constant
NEVER = float(1 << 60)  # rows since the last alert of a stream that had none
_LEARNT = [THETA, SINCE_ALERT, SCORED, *range(ALARMS, ROW)]

array = nb.types.Array(nb.float64, 1, "C")
array_read = nb.types.Array(nb.float64, 1, "C", readonly=True)
matrix = nb.types.Array(nb.float64, 2, "C")
matrix_read = nb.types.Array(nb.float64, 2, "C", readonly=True)


@nb.njit(nb.int64(array_read, nb.int64, nb.int64, nb.float64), cache=True, nogil=True)
def count_below(values: Floats, start: int, length: int, value: float) -> int:
    """Return how many of the `length` ascending values from `start` are below `value`, without branches on the data."""
    if length == 0:
        return 0
    first, rest, one = np.uint64(start), np.uint64(length), np.uint64(1)  # an index that may be negative costs twice
    while rest > one:
        half = rest >> one
        first += half if values[first + half - one] < value else np.uint64(0)
        rest -= half
    return int(np.int64(first) - start) + int(values[first] < value)


@nb.njit(nb.float64(array_read, nb.int64, nb.float64, nb.float64), cache=True, nogil=True)
def _widths_beyond(packed: Floats, low_at: int, high: float, value: float) -> float:
    """Distances are halved, so that columns as wide as float64 itself do not overflow."""
    low, high, value = 0.5 * packed[low_at], 0.5 * high, 0.5 * value
    distance = max(low - value, value - high)
    if not distance > 0.0:  # inside, or missing
        return 0.0
    width = high - low
    return distance / width if distance < _FARTHEST * width else _FARTHEST


@nb.njit(nb.float64(array_read, array_read, nb.int64), cache=True, nogil=True)
def widths_outside(packed: Floats, values: Floats, at: int) -> float:
    """Return how far the row at `values[at:]` lies outside the window, in widths of its worst column; 0 inside."""
    columns = int(packed[COLUMNS])
    low_at = HEAD + 2 * int(packed[FEATURES])
    worst = 0.0
    for j in range(columns):
        worst = max(worst, _widths_beyond(packed, low_at + j, packed[low_at + columns + j], values[at + j]))
    return worst


@nb.njit(nb.float64(array_read, array_read, nb.int64, nb.float64), cache=True, nogil=True)
def evidence(packed: Floats, values: Floats, at: int, raw: float) -> float:
    """Return the evidence against the row at `values[at:]`, whose raw score is `raw`."""
    n, d = int(packed[SCORES]), int(packed[COLUMNS])
    first = HEAD + 2 * int(packed[FEATURES]) + 2 * d
    tie = _TIE * max(abs(packed[first]), abs(packed[first + n - 1]))
    at_least = n - count_below(packed, first, n, raw - tie)
    rank = math.log((n + 1.0) / (at_least + 1.0))
    outside: float = widths_outside(packed, values, at)
    if outside == 0.0:
        return rank
    record = max(0.0, math.log((n + 1.0) / (2.0 * d)))
    near = _RANGE_WEIGHT * record * outside / (outside + _HALF_REACHED)
    return rank + near + _FAR_WEIGHT * math.log(1.0 + 2.0 * outside)


@nb.njit(nb.float64(nb.float64, nb.float64), cache=True, nogil=True)
def score_at(evidence: float, theta: float) -> float:
    """Return the score of a row: above 0.5 exactly when its evidence is above the level `theta`."""
    return 1.0 / (1.0 + math.exp(theta - evidence))


@nb.njit(
    nb.types.Tuple((nb.float64, nb.boolean))(array, array_read, array_read, nb.int64, nb.float64),
    cache=True,
    nogil=True,
)
def judge(live: Floats, packed: Floats, values: Floats, at: int, raw: float) -> tuple[float, bool]:
    """Return the score of the row at `values[at:]` and whether it opens an alert, and move `live` over it.

    A row opens an alert when its score is above the threshold and none of the `quiet_rows` rows before it opened one.
    """
    score = score_at(evidence(packed, values, at, raw), live[THETA])
    alarm = 1.0 if score > 0.5 else 0.0
    live[THETA] = max(live[THETA] + live[STEP] * (alarm - live[CONTAMINATION]), live[FLOOR])
    part, place = divmod(int(live[SCORED]), int(live[PART_ROWS]))
    slot = ALARMS + part % PARTS
    live[slot] = alarm if place == 0 else live[slot] + alarm
    live[SCORED] += 1.0
    alert = score > live[THRESHOLD] and live[SINCE_ALERT] >= live[QUIET_ROWS]
    live[SINCE_ALERT] = 0.0 if alert else live[SINCE_ALERT] + 1.0
    return score, alert


@nb.njit(nb.types.Tuple((nb.float64, nb.boolean))(array, array, nb.float64), cache=True, nogil=True)
def judge_row(live: Floats, packed: Floats, raw: float) -> tuple[float, bool]:
    """`judge` of the row in `live`."""
    score, alert = judge(live, packed, live, ROW, raw)
    return score, alert


@nb.njit(nb.void(array, array, matrix_read, array_read, matrix), cache=True, nogil=True)
def judge_rows(live: Floats, packed: Floats, rows: Floats, raw: Floats, out: Floats) -> None:
    """`judge` rows (n, f) in order and write (3, n): score, raw score, 1 where a row opens an alert."""
    values, width = rows.ravel(), rows.shape[1]
    for i in range(len(raw)):
        score, alert = judge(live, packed, values, i * width, raw[i])
        out[0, i], out[1, i], out[2, i] = score, raw[i], 1.0 if alert else 0.0


def pack(
    centers: Floats, widths: Floats, bounds: Floats, training_scores: Floats, part: Floats | None = None
) -> Floats:
    """Return one model as a flat array.

    `centers` and `widths` (f) scale its features, `bounds` (2, d) are the lowest and highest values of the row's own
    columns, `training_scores` (n) its own, ascending and finite, and `part` is the backend's.
    """
    head = (len(training_scores), bounds.shape[1], len(centers))
    parts = [np.array(head, np.float64), centers, widths, bounds.ravel(), training_scores]
    return np.concatenate(parts if part is None else [*parts, part])


@nb.njit(nb.types.UniTuple(nb.float64, 2)(array_read, nb.int64, nb.float64), cache=True, nogil=True)
def edges(ascending: Floats, n: int, contamination: float) -> tuple[float, float]:
    """Return the range of `n` values, without the anomalies at each end: up to n * contamination / 2 that lie far out.

    With them one outlier would widen the range, and the next like it would be inside, and no news while the first is
    held. More of them than that are how the stream is.
    """
    ends = n // 20
    few = min(ends, math.ceil(0.5 * contamination * n))
    low, high = ascending[ends], ascending[n - 1 - ends]
    reach = _FENCE * (high - low)
    first, last = 0, n - 1
    if reach > 0.0:  # else most values are equal, and the others as many as they may be
        while ascending[first] < low - reach:
            first += 1
        while ascending[last] > high + reach:
            last -= 1
    return ascending[first if first <= few else 0], ascending[last if n - 1 - last <= few else n - 1]


def window_bounds(columns: Floats, contamination: float) -> Floats:
    """Return the `edges` of the values of each of d columns (d, n) as (2, d); 0 for one without any value."""
    bounds = np.zeros((2, len(columns)))
    for j, column in enumerate(np.sort(np.ascontiguousarray(columns), axis=1)):  # missing values come last
        if present := int(np.count_nonzero(~np.isnan(column))):
            bounds[:, j] = edges(column, present, contamination)
    return bounds


class Calibration:
    """The calibration of one stream: its level, and whether an alert is open.

    Parameters
    ----------
    contamination : float
        The share of rows that shall alarm, 0 < c <= 0.5.
    window_size : int
        Rows of the stream's window; the level forgets in about two windows.
    threshold : float
        Scores above it are anomalies.
    quiet_rows : int
        Rows after an alert that open none.
    width : int
        Features of a row.
    """

    def __init__(
        self, contamination: float, window_size: int, threshold: float = 0.5, quiet_rows: int = 100, width: int = 0
    ) -> None:
        self.live: Floats = np.zeros(ROW + 2 * width)
        self.live[THETA] = _first_level(contamination)
        self.live[SINCE_ALERT] = NEVER
        self.live[PART_ROWS] = -(-window_size // PARTS)
        self._window_size = window_size
        self.ask(contamination, threshold, quiet_rows)

    def ask(self, contamination: float, threshold: float, quiet_rows: int) -> None:
        """Change what is asked for and keep what was learnt: how far the level is from where it began."""
        live, first = self.live, _first_level(contamination)
        if live[CONTAMINATION] not in (0.0, contamination):
            live[THETA] = max(live[THETA] - _first_level(live[CONTAMINATION]) + first, _FLOOR_SHARE * first)
        live[CONTAMINATION] = contamination
        live[STEP] = min(1.0, 1.0 / (_WINDOWS_TO_FORGET * contamination * self._window_size))
        live[FLOOR] = _FLOOR_SHARE * first
        live[THRESHOLD] = threshold
        live[QUIET_ROWS] = quiet_rows

    @property
    def learnt(self) -> Floats:
        """What rows have made of it, without what was asked for: a copy."""
        return self.live[_LEARNT]

    def go_on_from(self, learnt: Floats) -> None:
        """Go on from what another calibration has learnt; `ValueError` when that cannot be."""
        if learnt.shape != (len(_LEARNT),) or not (np.isfinite(learnt) & (learnt >= 0.0)).all():
            raise ValueError("the slots of a calibration do not hold what they should")
        self.live[_LEARNT] = learnt
        if not self.live[FLOOR] <= self.live[THETA] or self.live[SCORED] >= NEVER:
            raise ValueError("the level or the count of a calibration cannot be")

    @property
    def alarm_rate(self) -> float | None:
        """The share of rows above 0.5 among the last window's, to an eighth of it; None before the first."""
        scored, part_rows = int(self.live[SCORED]), int(self.live[PART_ROWS])
        if scored == 0:
            return None
        begun = (scored - 1) // part_rows * part_rows  # where the part of the newest row begins
        rows = scored - max(0, begun - (PARTS - 1) * part_rows)
        return (
            float(sum(self.live[ALARMS:ROW].tolist())) / rows
        )  # `sum` of NumPy takes 3 us, and a server asks for thousands


def _first_level(contamination: float) -> float:
    """Right when a new row is exchangeable with the training rows: -ln of the share that shall lie above."""
    return -math.log(contamination)
