"""What ECOD and COPOD know of the training rows: their columns, sorted, and -log of the shares that tails can have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.scaling import Scaling

Floats = NDArray[np.float64]


def sort_columns(rows: Floats) -> Floats:
    """The columns of `rows` (n, d), each ascending: (d, n)."""
    columns = np.array(rows.T, order="C")
    columns.sort(axis=1)
    return columns


def checked_columns(columns: NDArray[Any]) -> Floats:
    """Sorted columns from a file; ValueError when they are none: a search in them would find nothing."""
    columns = np.ascontiguousarray(columns, dtype=np.float64)
    if columns.ndim != 2 or not columns.size or not (columns[:, 1:] >= columns[:, :-1]).all():
        raise ValueError("the sorted columns are no matrix of ascending rows")
    return columns


def table_joined(n: int) -> Floats:
    """-log of k / (n + 1) for k = 1 .. n + 1: a tail among `n` training rows and the row that is scored."""
    return _log_shares(n + 1)


def table_among(n: int) -> Floats:
    """-log of k / n for k = 1 .. n behind a first entry that is never read: the scored row is one of the `n`."""
    return np.concatenate([[0.0], _log_shares(n)])


def pack(scaling: Scaling, columns: Floats, table: Floats, skewness: Floats | None = None) -> Floats:
    """The model the kernels take, (d + 1, m): see tail_kernels. `skewness` (3, d) is COPOD's."""
    from millstream.backend.tail_kernels import HEAD

    d, n = columns.shape
    model = np.zeros((d + 1, HEAD + n))
    model[0, : n + 1] = table
    model[1:, 0], model[1:, 1] = scaling.centers, scaling.widths
    if skewness is not None:
        model[1:, 2:HEAD] = skewness.T
    model[1:, HEAD:] = columns
    return model


@lru_cache(maxsize=64)
def _log_shares(n: int) -> Floats:
    """With PyOD's rounding: its shares come from linspace, not from k/n. Kept, as streams refit on one n for long."""
    shares: Floats = -np.log(np.linspace(1 / n, 1, n))
    shares.setflags(write=False)
    return shares
