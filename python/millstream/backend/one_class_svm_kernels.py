"""The kernel of the one-class SVM. Importing this loads numba.

Nearly all time goes into one exponential a support vector. Ours is branchless, so that LLVM keeps four or eight at once
in SIMD registers (3 ns each instead of libm's 7), and at most 1 ulp off. Support vectors lie column by column and in
blocks that stay in the first-level cache. Sums run in one fixed order, so a row's score does not depend on its batch.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from millstream.backend.base import Floats

BLOCK = 8  # support vectors come in multiples of this: the sum has as many lanes
_CHUNK = 512  # support vectors whose kernel values are kept at a time
# Values are clipped here, 10^8 interquartile ranges out: LIBSVM's distances, |a|^2 + |b|^2 - 2ab, are noise beyond.
WIDEST = 1e8
RBF, LINEAR, POLY, SIGMOID = range(4)

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)
_scratch = nb.types.Array(nb.float64, 1, "C")


@nb.njit(nb.float64(nb.float64), inline="always")
def exp_negative(x: float) -> float:
    """e^x for x <= 0: x = n ln 2 + r, a Taylor polynomial in r, and n in the exponent's bits. Below -708: 3e-308."""
    x = max(x, -708.0)
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10  # ln 2 in two parts
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 1.984126984126984e-04
    p = p * r + 1.388888888888889e-03
    p = p * r + 8.333333333333333e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    shifted = n + 6755399441055744.0  # 1.5 * 2^52: the integer n stands in the low bits
    power = np.int64((np.float64(shifted).view(np.int64) << 52) + (1023 << 52)).view(np.float64)
    return float(p * power)


@nb.njit(nb.float64(nb.float64, nb.int64), inline="always")
def _power(base: float, times: int) -> float:
    """base^times by squaring, in LIBSVM's order."""
    result = 1.0
    while times > 0:
        if times % 2 == 1:
            result *= base
        base *= base
        times //= 2
    return result


@nb.njit(nb.void(_vector, _matrix, nb.int64, nb.int64, nb.boolean, _scratch), cache=True, nogil=True)
def _products(row: Floats, columns: Floats, start: int, stop: int, distances: bool, into: Floats) -> None:
    """Squared distances, or inner products, of `row` and the support vectors from `start` to `stop`."""
    length = stop - start
    for k in range(length):
        into[k] = 0.0
    for j in range(len(columns)):
        value, column = max(-WIDEST, min(WIDEST, row[j])), columns[j, start:stop]
        if distances:
            for k in range(length):
                difference = value - column[k]
                into[k] += difference * difference
        else:
            for k in range(length):
                into[k] += value * column[k]


@nb.njit(nb.void(_scratch, nb.int64, nb.int64, nb.float64, nb.float64, nb.int64), cache=True, nogil=True)
def _kernel_values(values: Floats, length: int, kind: int, gamma: float, coef0: float, degree: int) -> None:
    """Kernel values in place of squared distances (RBF) or inner products."""
    if kind == RBF:
        for k in range(length):
            values[k] = exp_negative(-gamma * values[k])
    elif kind == POLY:
        for k in range(length):
            values[k] = _power(gamma * values[k] + coef0, degree)
    elif kind == SIGMOID:
        for k in range(length):
            values[k] = math.tanh(gamma * values[k] + coef0)


@nb.njit(nb.float64(_scratch, _vector, nb.int64, nb.int64), cache=True, nogil=True)
def _weighted_sum(values: Floats, weights: Floats, start: int, length: int) -> float:
    """The sum of `values` times the weights from `start`, in eight lanes."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(0, length, BLOCK):
        at = start + k
        s0 += values[k] * weights[at]
        s1 += values[k + 1] * weights[at + 1]
        s2 += values[k + 2] * weights[at + 2]
        s3 += values[k + 3] * weights[at + 3]
        s4 += values[k + 4] * weights[at + 4]
        s5 += values[k + 5] * weights[at + 5]
        s6 += values[k + 6] * weights[at + 6]
        s7 += values[k + 7] * weights[at + 7]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@nb.njit(
    nb.float64[::1](_matrix, _matrix, _vector, nb.float64, nb.int64, nb.float64, nb.float64, nb.int64),
    cache=True,
    nogil=True,
)
def score_rows(
    rows: Floats,
    columns: Floats,
    weights: Floats,
    intercept: float,
    kind: int,
    gamma: float,
    coef0: float,
    degree: int,
) -> Floats:
    """Scores of `rows` (n, d) by the support vectors (d, m), m a multiple of 8, and their weights (m)."""
    scores = np.empty(len(rows))
    values = np.empty(_CHUNK)
    m = len(weights)
    for i in range(len(rows)):
        total = 0.0
        for start in range(0, m, _CHUNK):
            stop = min(start + _CHUNK, m)
            _products(rows[i], columns, start, stop, kind == RBF, values)
            _kernel_values(values, stop - start, kind, gamma, coef0, degree)
            total += _weighted_sum(values, weights, start, stop - start)
        scores[i] = -(total + intercept)
    return scores
