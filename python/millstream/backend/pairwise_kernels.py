"""Sums in the order in which NumPy adds, for scores equal to PyOD's to the last bit. Importing this loads numba."""

from __future__ import annotations

import numba as nb

from millstream.backend.base import Floats

_scratch = nb.float64[::1]


@nb.njit(nb.float64(_scratch, nb.int64, nb.int64), cache=True, nogil=True)
def pairwise_sum(values: Floats, start: int, length: int) -> float:
    """The sum of `length` values from `start`, added in the order NumPy adds them."""
    if length < 8:
        total = 0.0
        for i in range(length):
            total += values[start + i]
        return total
    if length <= 128:
        r0, r1, r2, r3 = values[start], values[start + 1], values[start + 2], values[start + 3]
        r4, r5, r6, r7 = values[start + 4], values[start + 5], values[start + 6], values[start + 7]
        whole = length - length % 8
        for i in range(8, whole, 8):
            at = start + i
            r0 += values[at]
            r1 += values[at + 1]
            r2 += values[at + 2]
            r3 += values[at + 3]
            r4 += values[at + 4]
            r5 += values[at + 5]
            r6 += values[at + 6]
            r7 += values[at + 7]
        total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
        for i in range(whole, length):
            total += values[start + i]
        return float(total)
    half = length // 2
    half -= half % 8
    first: float = pairwise_sum(values, start, half)
    second: float = pairwise_sum(values, start + half, length - half)
    return first + second


@nb.njit(nb.void(nb.float64[:, ::1], nb.int64, _scratch, nb.int64), cache=True, nogil=True)
def sum_rows(terms: Floats, rows: int, sums: Floats, start: int) -> None:
    """Write the sums of the first `rows` rows of `terms` into `sums` from `start` on, added as NumPy adds a row."""
    d = terms.shape[1]
    if d < 8:
        for i in range(rows):
            total = 0.0
            for j in range(d):
                total += terms[i, j]
            sums[start + i] = total
    else:
        flat = terms.reshape(terms.size)
        for i in range(rows):
            sums[start + i] = pairwise_sum(flat, i * d, d)
