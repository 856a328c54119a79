"""ms.rolling and ms.lags against their peers on kind data and against exact sums on unkind data."""

from fractions import Fraction
from math import sqrt
from typing import Any

import bottleneck
import numpy as np
import pandas as pd
import pytest
from millstream._core import Buffer, lags, rolling
from millstream.errors import InvalidRequestError

RNG = np.random.default_rng(7)
NOISE = RNG.normal(size=3_000)


@pytest.mark.parametrize("window", [1, 2, 10, 50, 200, 3_000, 4_000])
def test_kind_data_agrees_with_pandas_and_bottleneck(window: int) -> None:
    table = rolling(NOISE, [window], min_samples=1)
    peer = pd.Series(NOISE).rolling(window, min_periods=1)
    for stat in ("mean", "std", "min", "max"):
        got = table[f"value_rolling_{stat}_{window}"]
        np.testing.assert_allclose(got, getattr(peer, stat)(), rtol=1e-9, atol=1e-10, err_msg=stat)
    if window <= len(NOISE):
        moved = rolling(NOISE, [window], ["mean"])[f"value_rolling_mean_{window}"]
        np.testing.assert_allclose(moved, bottleneck.move_mean(NOISE, window), rtol=1e-9, atol=1e-10)


def exact_std(values: Any) -> float:
    exact = [Fraction(float(value)) for value in values]
    mean = sum(exact) / len(exact)
    return sqrt(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))


@pytest.mark.parametrize(
    "values",
    [
        1e9 + 1e-3 * NOISE, 1e12 + NOISE, np.cumsum(NOISE), np.exp(5 * NOISE),
        np.where(np.arange(3_000) == 1_000, 1e15, NOISE), np.where(np.arange(3_000) == 1_003, 1e15, NOISE),
    ],
    ids=["1e9", "1e12", "walk", "log-normal", "spike at a border", "spike"],
)  # fmt: skip
def test_hostile_data_is_exact(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    for window in (2, 10, 50, 500):
        std = rolling(values, [window])[f"value_rolling_std_{window}"]
        for row in (window - 1, 999, 1_000, 1_001, 1_004, 1_500, 2_999):
            if row >= window - 1:
                want = exact_std(values[row - window + 1 : row + 1])
                assert abs(std[row] - want) <= 1e-11 * want, (window, row)


def test_constants_have_no_spread() -> None:
    table = rolling(np.full(500, 0.1), [2, 7, 100], ["mean", "std"], min_samples=2)
    for window in (2, 7, 100):
        assert np.all(table[f"value_rolling_std_{window}"][1:] == 0.0)
        assert np.all(table[f"value_rolling_mean_{window}"][1:] == 0.1)


def test_infinity_leaves_with_its_row() -> None:
    values = NOISE[:100].copy()
    values[40] = np.inf
    table = rolling(values, [5])
    mean, std, low, high = (table[f"value_rolling_{stat}_5"] for stat in ("mean", "std", "min", "max"))
    assert np.all(np.isposinf(mean[40:45]))
    assert np.all(np.isnan(std[40:45]))
    assert np.all(np.isposinf(high[40:45]))
    assert np.all(np.isfinite(low[40:45]))
    np.testing.assert_array_equal(mean[45:], rolling(NOISE[:100], [5])["value_rolling_mean_5"][45:])


def test_missing_values_count_towards_min_samples() -> None:
    values = np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan])
    assert np.isnan(rolling(values, [3])["value_rolling_mean_3"]).all()
    table = rolling(values, [3], ["mean", "std"], min_samples=1)
    np.testing.assert_array_equal(table["value_rolling_mean_3"], [1, 1, 2, 3, 3, np.nan])
    np.testing.assert_array_equal(table["value_rolling_std_3"], [np.nan, np.nan, np.sqrt(2), np.nan, np.nan, np.nan])


def test_a_long_column_has_the_bits_of_rows_one_by_one() -> None:
    values = np.random.default_rng(3).normal(size=100_000).cumsum()
    values[[40_000, 40_001, 99_990]] = np.nan
    windows = [10, 50, 200, 30_000]
    buffer = Buffer(len(values), ["value"], windows)
    buffer.append(values[:, None])
    live = buffer.features(include_lags=False)
    computed = rolling(values, windows)
    assert list(computed.columns) == list(buffer.feature_names)
    for name in computed.columns:
        np.testing.assert_array_equal(computed[name], live[name], err_msg=name)


def test_names_come_per_column() -> None:
    assert rolling(np.zeros((4, 2)), [3, 2], ["max", "mean"]).columns == tuple(
        f"column_{c}_rolling_{stat}_{w}" for c in (0, 1) for w in (3, 2) for stat in ("mean", "max")
    )
    table = lags(np.array([1.0, 2.0, 4.0]), [2, 1], deltas=True)
    assert table.columns == ("value_lag_2", "value_lag_1", "value_delta_2", "value_delta_1")
    np.testing.assert_array_equal(table["value_delta_1"], [np.nan, 1, 2])
    assert lags([1, 2, 3], [1]).columns == ("value_lag_1",)


@pytest.mark.parametrize("values", [[1, 2, 3], np.arange(1, 4, dtype=np.int8), np.arange(1, 4), np.float32([1, 2, 3])])
def test_any_numbers_are_values(values: Any) -> None:
    np.testing.assert_array_equal(rolling(values, [2])["value_rolling_mean_2"], [np.nan, 1.5, 2.5])


class Derived(np.ndarray[Any, Any]):
    """What NumPy's own arrays are not."""


@pytest.mark.parametrize(
    "layout",
    [
        lambda a: np.repeat(a, 2)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(">f8"),
        lambda a: a.view(Derived),
        lambda a: np.frombuffer(a.tobytes(), np.float64),
        lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(np.float64),
        memoryview,
    ],
    ids=["strided", "reversed", "big-endian", "derived", "read-only", "unaligned", "memoryview"],
)
def test_a_column_may_lie_anywhere_in_any_order(layout: Any) -> None:
    wanted = rolling(NOISE, [7, 50])
    got = rolling(layout(NOISE), [7, 50])
    for name in wanted.columns:
        np.testing.assert_array_equal(got[name], wanted[name])


def test_no_values_give_no_rows() -> None:
    assert len(rolling(np.array([]), [3])) == 0


@pytest.mark.parametrize(
    ("windows", "loc"),
    [([0], ("windows", 0)), ([3, -1], ("windows", 1)), ([2, 2], ("windows", 1)),
     (list(range(1, 1002)), ("windows",))],
)  # fmt: skip
def test_bad_windows_are_refused(windows: list[int], loc: tuple[str | int, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        rolling(NOISE, windows)
    assert caught.value.refusals[0].loc == loc


def test_none_is_a_missing_value() -> None:
    lists: list[Any] = [[1, None, 3.5], (1.0, None, 3.5), np.array([1, None, 3.5], object)]
    for values in lists:
        np.testing.assert_array_equal(rolling(values, [2], ["max"], 1)["value_rolling_max_2"], [1, 1, 3.5])


def test_bad_arguments_are_refused() -> None:
    for arguments in ({"stats": ["median"]}, {"stats": ["mean", "mean"]}, {"min_samples": 0}):
        with pytest.raises(InvalidRequestError):
            rolling(NOISE, [3], **arguments)  # type: ignore[arg-type]
    for windows in (3, "3", [2.5], {3: 1}):
        with pytest.raises(InvalidRequestError, match=r"'windows' is .* list of whole numbers"):
            rolling(NOISE, windows)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match=r"'periods' is .* list of whole numbers"):
            lags(NOISE, windows)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match=r"number of rows from 1\."):
        rolling(NOISE, [0])
    for values in (["a"], np.zeros((2, 2, 2)), np.array(1.0), [True, False], [1, None, "2"], [None, True]):
        with pytest.raises(InvalidRequestError):
            rolling(values, [3])
