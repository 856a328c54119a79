"""ECOD in a stream: a row scored and judged in one kernel, a window fitted in one pass over its sorted columns.

The results are those of `Ecod` and `Scaling`, to the last bit; only the passes are fused. Measured: imputing, scaling,
scoring and judging one row by NumPy and separate kernels costs tens of microseconds, this less than one.

Behind the model's common slots stand the sorted columns (f times n) and the table of logarithms (n + 1).
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend import tails
from millstream.backend.base import FittedWindow
from millstream.backend.pairwise_kernels import pairwise_sum
from millstream.calibration import (
    COLUMNS,
    FEATURES,
    HEAD,
    ROW,
    SCORES,
    Floats,
    array,
    array_read,
    count_below,
    judge,
    matrix,
    matrix_read,
)
from millstream.scaling_kernels import scaled

_order = nb.types.Array(nb.int64, 2, "C", readonly=True)


@nb.njit(nb.float64(array, array_read, array_read, nb.int64), cache=True, nogil=True)
def _raw_score(live: Floats, packed: Floats, values: Floats, at: int) -> float:
    n, features = int(packed[SCORES]), int(packed[FEATURES])
    first = HEAD + 2 * features + 2 * int(packed[COLUMNS]) + n
    table, shares = first + features * n, ROW + features
    for j in range(features):
        value = scaled(values[at + j], packed[HEAD + j], packed[HEAD + features + j])
        start = first + j * n
        below: int = count_below(packed, start, n, value)
        at_most = below
        if below < n and packed[start + below] == value:
            at_most += count_below(packed, start + below, n - below, np.nextafter(value, np.inf))
        live[shares + j] = packed[table + min(at_most, n - below)]  # the row itself is counted in on both sides
    return float(pairwise_sum(live, shares, features))


@nb.njit(nb.types.Tuple((nb.float64, nb.float64, nb.boolean))(array, array), cache=True, nogil=True)
def score_row(live: Floats, packed: Floats) -> tuple[float, float, bool]:
    """Return score, raw score and alert of the row in `live`."""
    raw = _raw_score(live, packed, live, ROW)
    score, alert = judge(live, packed, live, ROW, raw)
    return score, raw, alert


@nb.njit(nb.void(array, array, matrix_read, matrix), cache=True, nogil=True)
def score_rows(live: Floats, packed: Floats, rows: Floats, out: Floats) -> None:
    """Write score, raw score and alert (3, n) of rows (n, f)."""
    values, features = rows.ravel(), rows.shape[1]
    for i in range(rows.shape[0]):
        raw = _raw_score(live, packed, values, i * features)
        score, alert = judge(live, packed, values, i * features, raw)
        out[0, i], out[1, i], out[2, i] = score, raw, 1.0 if alert else 0.0


@nb.njit(nb.float64(array_read, nb.float64), cache=True, nogil=True)
def _quantile(ascending: Floats, share: float) -> float:
    """NumPy's linear interpolation, in its order of operations."""
    place = (len(ascending) - 1) * share
    before = math.floor(place)
    low, high = ascending[before], ascending[min(before + 1, len(ascending) - 1)]
    rest = place - before
    return float(high - (high - low) * (1.0 - rest) if rest >= 0.5 else low + (high - low) * rest)


@nb.njit(nb.void(matrix_read, _order, array_read, nb.int64, array, array), cache=True, nogil=True)
def _fit(columns: Floats, order: NDArray[np.int64], table: Floats, own: int, packed: Floats, scores: Floats) -> None:
    """Fill `packed` but for the training scores, which go to `scores` (n) in the order of rows.

    `order` (f, n) sorts `columns`; `table` holds the logarithms for n rows; `own` columns are the row's own.
    """
    features, n = columns.shape
    bounds = HEAD + 2 * features
    first = bounds + 2 * own + n
    packed[SCORES], packed[COLUMNS], packed[FEATURES] = n, own, features
    shares = np.empty((n, features))
    ascending = np.empty(n)
    for j in range(features):
        for i in range(n):
            ascending[i] = columns[j, order[j, i]]
        if j < own:
            packed[bounds + j], packed[bounds + own + j] = ascending[0], ascending[n - 1]
        width = _quantile(ascending, 0.75) - _quantile(ascending, 0.25)
        packed[HEAD + j] = _quantile(ascending, 0.5)
        packed[HEAD + features + j] = width if width != 0.0 else 1.0
        start = first + j * n
        center, width = packed[HEAD + j], packed[HEAD + features + j]
        for i in range(n):
            packed[start + i] = scaled(ascending[i], center, width)
        below = 0
        while below < n:
            at_most = below + 1
            while at_most < n and packed[start + at_most] == packed[start + below]:
                at_most += 1
            share = table[min(at_most, n - below) - 1]
            for i in range(below, at_most):
                shares[order[j, i], j] = share
            below = at_most
    flat = shares.ravel()
    for i in range(n):
        scores[i] = pairwise_sum(flat, i * features, features)


def fit(columns: Floats, own: int) -> FittedWindow | None:
    """Fit on a window (f, n); None where a value is missing or nearly as large as float64 can hold."""
    features, n = columns.shape
    order = np.argsort(columns, axis=1)
    every = np.arange(features)
    largest = max(columns[every, order[:, -1]].max(), -columns[every, order[:, 0]].min())  # NaN sorts last
    if not largest <= _PLAIN or np.isnan(columns[every, order[:, -1]]).any():
        return None
    scores_at = HEAD + 2 * features + 2 * own
    sorted_at = scores_at + n
    packed = np.empty(sorted_at + features * n + n + 1)
    scores = packed[scores_at:sorted_at]
    _fit(columns, order, tails.table_among(n)[1:], own, packed, scores)
    scores.sort()
    packed[-(n + 1) :] = tails.table_joined(n)
    return FittedWindow(packed, {"sorted": packed[sorted_at : sorted_at + features * n].reshape(features, n)})


_PLAIN = float(np.finfo(np.float64).max) / 4  # beyond it, differences of values overflow
