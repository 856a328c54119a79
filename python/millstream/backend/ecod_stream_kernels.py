"""ECOD in a stream: a row scored and judged in one kernel, a window fitted in one pass over its sorted columns.

The results are those of `Ecod` and `Scaling`, to the last bit; only the passes are fused. Measured: imputing, scaling,
scoring and judging one row by NumPy and separate kernels costs tens of microseconds, this less than one.

Behind the model's common slots stand the sorted columns (f times n) and the table of logarithms (n + 1).

Whoever changes a kernel of calibration.py touches this file too: numba compiles it in here and caches the result by the
time of this file alone.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend import tails
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
    edges,
    judge,
    matrix,
    matrix_read,
)
from millstream.scaling import LARGEST
from millstream.scaling_kernels import scaled

Order = NDArray[np.int32]
_order = nb.types.Array(nb.int32, 2, "C", readonly=True)
_order_row = nb.types.Array(nb.int32, 1, "C", readonly=True)
_four = nb.types.Array(nb.int64, 1, "C")
_new_order = nb.types.Array(nb.int32, 2, "C")
_PLAIN = float(np.finfo(np.float64).max) / 4  # beyond it, differences of values overflow


@nb.njit(nb.void(array_read, nb.int64, nb.int64, array, nb.int64, _four), cache=True, nogil=True)
def _count_below_4(packed: Floats, start: int, n: int, wanted: Floats, at: int, below: NDArray[np.int64]) -> None:
    """`count_below` in four columns side by side: none of the searches waits for the memory of another."""
    length, one = np.uint64(n), np.uint64(1)
    start_a = np.uint64(start)
    start_b, start_c, start_d = start_a + length, start_a + length + length, start_a + length + length + length
    a, b, c, d = start_a, start_b, start_c, start_d
    wanted_a, wanted_b, wanted_c, wanted_d = wanted[at], wanted[at + 1], wanted[at + 2], wanted[at + 3]
    rest = length
    while rest > one:
        half = rest >> one
        last = half - one
        a += half if packed[a + last] < wanted_a else np.uint64(0)
        b += half if packed[b + last] < wanted_b else np.uint64(0)
        c += half if packed[c + last] < wanted_c else np.uint64(0)
        d += half if packed[d + last] < wanted_d else np.uint64(0)
        rest -= half
    below[0] = np.int64(a - start_a) + int(packed[a] < wanted_a)
    below[1] = np.int64(b - start_b) + int(packed[b] < wanted_b)
    below[2] = np.int64(c - start_c) + int(packed[c] < wanted_c)
    below[3] = np.int64(d - start_d) + int(packed[d] < wanted_d)


@nb.njit(nb.float64(array_read, nb.int64, nb.int64, nb.int64, nb.int64, nb.float64), cache=True, nogil=True)
def _share(packed: Floats, start: int, n: int, table: int, below: int, value: float) -> float:
    """-log of the smaller share of the values of a column that lie at or beyond `value`, itself counted in."""
    at_most = below
    if below < n and packed[start + below] == value:
        at_most += count_below(packed, start + below, n - below, np.nextafter(value, np.inf))
    return float(packed[table + min(at_most, n - below)])


@nb.njit(nb.float64(array, array_read, array_read, nb.int64), cache=True, nogil=True)
def _raw_score(live: Floats, packed: Floats, values: Floats, at: int) -> float:
    n, features = int(packed[SCORES]), int(packed[FEATURES])
    first = HEAD + 2 * features + 2 * int(packed[COLUMNS]) + n
    table, scratch = first + features * n, ROW + features
    for j in range(features):
        live[scratch + j] = scaled(values[at + j], packed[HEAD + j], packed[HEAD + features + j])
    whole = features - features % 4
    below = np.empty(4, np.int64)
    for j in range(0, whole, 4):
        _count_below_4(packed, first + j * n, n, live, scratch + j, below)
        for lane in range(4):
            value = live[scratch + j + lane]
            live[scratch + j + lane] = _share(packed, first + (j + lane) * n, n, table, below[lane], value)
    for j in range(whole, features):
        value, start = live[scratch + j], first + j * n
        live[scratch + j] = _share(packed, start, n, table, count_below(packed, start, n, value), value)
    return float(pairwise_sum(live, scratch, features))


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


@nb.njit(nb.void(matrix_read, _order, nb.int64, _order, _new_order), cache=True, nogil=True)
def _merge(columns: Floats, before: Order, shift: int, added: Order, order: Order) -> None:
    """Write the order of each column into `order`, from that of a window `shift` rows ago and that of the rows since.

    Of the rows ordered `before`, the first `shift` have left; `added` orders those behind the others, from 0 on.
    """
    kept = before.shape[1] - shift
    for j in range(columns.shape[0]):
        new = 0
        at = 0
        for old in range(before.shape[1]):
            row = before[j, old] - shift
            if row < 0:
                continue
            while new < added.shape[1] and columns[j, kept + added[j, new]] < columns[j, row]:
                order[j, at] = kept + added[j, new]
                new += 1
                at += 1
            order[j, at] = row
            at += 1
        for rest in range(new, added.shape[1]):
            order[j, at + rest - new] = kept + added[j, rest]


@nb.njit(nb.void(array_read, nb.int64, nb.int64, _order_row, array_read, array), cache=True, nogil=True)
def _share_column(packed: Floats, start: int, n: int, order: Order, table: Floats, shares: Floats) -> None:
    """Write -log of the smaller share at or beyond each of `n` values, ascending from `start`, where `order` says."""
    tied = False
    for i in range(n - 1):
        tied |= packed[start + i] == packed[start + i + 1]
    if not tied:
        for i in range(n):
            shares[order[i]] = table[min(i, n - 1 - i)]
        return
    below = 0
    while below < n:
        at_most = below + 1
        while at_most < n and packed[start + at_most] == packed[start + below]:
            at_most += 1
        share = table[min(at_most, n - below) - 1]
        for i in range(below, at_most):
            shares[order[i]] = share
        below = at_most


@nb.njit(
    nb.boolean(matrix_read, _order, array_read, nb.int64, nb.float64, array, nb.int64, array), cache=True, nogil=True
)
def _fit_column(
    columns: Floats, order: Order, table: Floats, own: int, contamination: float, packed: Floats, j: int, shares: Floats
) -> bool:
    """Fit column `j`, and write the shares of its values in the order of rows. False: one is missing or too large."""
    features, n = columns.shape
    bounds = HEAD + 2 * features
    start = bounds + 2 * own + n + j * n
    column, places = columns[j], order[j]
    ascending = shares  # until the shares themselves come, of which no value is needed any more
    for i in range(n):
        ascending[i] = column[places[i]]
    low, high = ascending[0], ascending[n - 1]  # NaN comes last
    if not (low >= -_PLAIN and high <= _PLAIN):
        return False
    if j < own:
        packed[bounds + j], packed[bounds + own + j] = edges(ascending, n, contamination)
    center, width = _quantile(ascending, 0.5), _quantile(ascending, 0.75) - _quantile(ascending, 0.25)
    width = width if width != 0.0 else 1.0
    packed[HEAD + j], packed[HEAD + features + j] = center, width
    for i in range(n):
        packed[start + i] = min(max((ascending[i] - center) / width, -LARGEST), LARGEST)
    _share_column(packed, start, n, places, table, shares)
    return True


@nb.njit(
    nb.boolean(matrix_read, _order, array_read, nb.int64, nb.float64, array, nb.int64, nb.int64, array),
    cache=True,
    nogil=True,
)
def _fit_columns(
    columns: Floats,
    order: Order,
    table: Floats,
    own: int,
    contamination: float,
    packed: Floats,
    start: int,
    length: int,
    sums: Floats,
) -> bool:
    """Fit `length` columns from `start` on and write the sums of their shares (n), in the order of `pairwise_sum`."""
    n = columns.shape[1]
    sums[:] = 0.0
    shares = np.empty(n)
    if length > 128:
        half = length // 2
        half -= half % 8
        plain = _fit_columns(columns, order, table, own, contamination, packed, start, half, sums)
        plain = plain and _fit_columns(
            columns, order, table, own, contamination, packed, start + half, length - half, shares
        )
        sums += shares
        return bool(plain)
    whole = 0 if length < 8 else length - length % 8
    parts = np.zeros((8, n))
    for j in range(length):
        if not _fit_column(columns, order, table, own, contamination, packed, start + j, shares):
            return False
        if j < whole:
            parts[j % 8] += shares
        if j == whole - 1:
            sums[:] = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]))
        if j >= whole:
            sums += shares
    return True


def fit(
    columns: Floats,
    own: int,
    contamination: float,
    before: Order | None = None,
    shift: int = 0,
    into: tuple[Floats, Order] | None = None,
) -> tuple[Floats, Order] | None:
    """Return the packed model of a window (f, n), and the order of its columns, for the fit that follows.

    `before` is the order of the window `shift` rows ago: merging the new rows into it takes a quarter of the time of
    sorting anew, and gives the same model. `into` are arrays an earlier fit made, to be written anew: fresh pages cost
    more than the arithmetic. None where a value is missing or nearly as large as float64 can hold.
    """
    features, n = columns.shape
    scores_at = HEAD + 2 * features + 2 * own
    sorted_at = scores_at + n
    size = sorted_at + features * n + n + 1
    packed, order = into if into is not None else (np.empty(0), np.empty((0, 0), np.int32))
    packed = packed if packed.size == size else np.empty(size)
    order = order if order.shape == columns.shape else np.empty(columns.shape, np.int32)
    _sort(columns, before, shift, order)
    scores = packed[scores_at:sorted_at]
    packed[SCORES], packed[COLUMNS], packed[FEATURES] = n, own, features
    if not _fit_columns(columns, order, tails.table_joined(n - 1), own, contamination, packed, 0, features, scores):
        return None
    scores.sort()
    packed[-(n + 1) :] = tails.table_joined(n)
    return packed, order


def _sort(columns: Floats, before: Order | None, shift: int, order: Order) -> None:
    kept = 0 if before is None else before.shape[1] - shift
    if before is None or kept < columns.shape[1] // 2:
        order[:] = columns.argsort(axis=1)
    else:
        _merge(columns, before, shift, columns[:, kept:].argsort(axis=1).astype(np.int32), order)


def arrays(packed: Floats) -> dict[str, NDArray[np.float64]]:
    """Return the fitted state as `Ecod.arrays` names it."""
    n, own, features = (int(packed[slot]) for slot in (SCORES, COLUMNS, FEATURES))
    first = HEAD + 2 * features + 2 * own + n
    return {"sorted": packed[first : first + features * n].reshape(features, n)}
