"""Rolling and lag features of whole columns and of a few newest rows, against Polars, bottleneck and memcpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import bottleneck
import millstream as ms
import numpy as np
import polars as pl
import pytest
from conftest import Compare, Record
from millstream._core import rolling
from ratio import SMOKE, Ratio
from results import Reach

ROWS = 10_000
COLUMNS = ("cpu", "memory", "disk_io", "network")
WINDOWS, LAGS = (10, 50, 200), (1, 5, 10)
FEATURES = len(COLUMNS) * (4 * len(WINDOWS) + 2 * len(LAGS))
# A walk: the deviations that features are about are small beside the values.
MATRIX = np.random.default_rng(0).normal(size=(ROWS, len(COLUMNS))).cumsum(0)
FRAME = pl.DataFrame({name: MATRIX[:, place].copy() for place, name in enumerate(COLUMNS)})


def _expressions() -> list[pl.Expr]:
    """The features in Polars' words, prepared once."""
    expressions = []
    for name in COLUMNS:
        column = pl.col(name)
        for window in WINDOWS:
            expressions += [
                column.rolling_mean(window).alias(f"{name}_rolling_mean_{window}"),
                column.rolling_std(window).alias(f"{name}_rolling_std_{window}"),
                column.rolling_min(window).alias(f"{name}_rolling_min_{window}"),
                column.rolling_max(window).alias(f"{name}_rolling_max_{window}"),
            ]
        expressions += [column.shift(period).alias(f"{name}_lag_{period}") for period in LAGS]
        expressions += [(column - column.shift(period)).alias(f"{name}_delta_{period}") for period in LAGS]
    return expressions


EXPRESSIONS = _expressions()


def _buffer() -> ms.Buffer:
    buffer = ms.Buffer(ROWS, columns=list(COLUMNS))
    buffer.append(MATRIX)
    return buffer


def _ask(buffer: ms.Buffer, tail: int | None = None) -> Callable[[], Any]:
    """Features that were not declared, computed by the call."""
    return lambda: buffer.features(rolling_windows=WINDOWS, lag_periods=LAGS, include_deltas=True, tail=tail)


def _assert_same(ours: Any, peer: pl.DataFrame) -> None:
    frame = pl.DataFrame(ours)
    assert frame.width == len(COLUMNS) + FEATURES
    assert frame.columns == peer.columns
    for name in frame.columns:
        assert frame[name].null_count() == peer[name].null_count(), name
        np.testing.assert_allclose(frame[name], peer[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_recompute_72_features_of_10_000_rows(compare: Compare) -> None:
    """Polars eager with prepared expressions."""
    ours = _ask(_buffer())

    def peer() -> pl.DataFrame:
        return FRAME.with_columns(EXPRESSIONS)

    _assert_same(ours(), peer())
    compare(ours, peer, "Polars eager", Reach(25))


def test_recompute_72_features_lazily(compare: Compare) -> None:
    """Polars lazy, whose collect runs the streaming engine."""
    ours, lazy = _ask(_buffer()), FRAME.lazy().with_columns(EXPRESSIONS)
    _assert_same(ours(), lazy.collect())
    compare(ours, lazy.collect, "Polars lazy", Reach(32))


def _with_bottleneck(columns: list[Any]) -> list[Any]:
    out = []
    for column in columns:
        for window in WINDOWS:
            out += [
                bottleneck.move_mean(column, window),
                bottleneck.move_std(column, window, ddof=1),
                bottleneck.move_min(column, window),
                bottleneck.move_max(column, window),
            ]
        lags = [np.concatenate([np.full(period, np.nan), column[:-period]]) for period in LAGS]
        out += [*lags, *(column - lag for lag in lags)]
    return out


def test_recompute_72_features_beside_bottleneck(compare: Compare) -> None:
    """bottleneck and NumPy, without a frame."""
    ours, columns = _ask(_buffer()), [FRAME[name].to_numpy() for name in COLUMNS]
    table = ours()
    names = [name for name in table.columns if name not in COLUMNS]
    for name, peer in zip(names, _with_bottleneck(columns), strict=True):
        np.testing.assert_allclose(table[name], peer, rtol=1e-6, atol=1e-6, err_msg=name)
    compare(ours, lambda: _with_bottleneck(columns), "bottleneck", Reach(9))


def test_recompute_72_features_beside_a_copy_of_them(compare: Compare) -> None:
    """memcpy of the output into memory that is there: what no kernel can be faster than."""
    ours = _ask(_buffer())
    table = ours()
    source = np.column_stack([table[name] for name in table.columns if name not in COLUMNS]).T.copy()
    target = np.empty_like(source)
    assert source.shape == (FEATURES, ROWS)
    np.copyto(target, source)
    np.testing.assert_array_equal(target, source)
    compare(ours, lambda: np.copyto(target, source), "memcpy of the output", Reach(share=2))


def test_ad_hoc_features_of_the_10_newest_rows(compare: Compare) -> None:
    """Polars eager on the slice of rows that the windows reach."""
    ours = _ask(_buffer(), tail=10)
    slice_ = FRAME.tail(max(WINDOWS) + 10)

    def peer() -> pl.DataFrame:
        return slice_.with_columns(EXPRESSIONS).tail(10)

    _assert_same(ours(), peer())
    compare(ours, peer, "Polars eager on the slice", Reach(50))


def _ns_per_row(rows: int) -> float:
    """CPU ns per row of three windows' four statistics, the best of five slices."""
    values = np.resize(MATRIX[:, 0], rows)
    calls = max(1, (20_000 if SMOKE else 2_000_000) // rows)

    def slice_of_calls() -> float:
        start = time.process_time_ns()
        for _ in range(calls):
            rolling(values, WINDOWS)
        return (time.process_time_ns() - start) / calls / rows

    return min(slice_of_calls() for _ in range(5))


@pytest.mark.parametrize("rows", [10**n for n in ((3,) if SMOKE else (3, 5, 6, 7))])
def test_cost_per_row_of(rows: int, record: Record) -> None:
    """Twelve columns from one, beside the cost per row of 10,000 rows."""
    values = np.resize(MATRIX[:, 0], rows)
    mean = rolling(values, WINDOWS)["value_rolling_mean_10"]
    np.testing.assert_allclose(mean[9:], bottleneck.move_mean(values, 10)[9:], rtol=1e-6, atol=1e-6)
    ours, peer = _ns_per_row(rows), _ns_per_row(ROWS)
    record("10,000 rows", Ratio(ours, peer, peer / ours, 5), Reach(share=1.5))
