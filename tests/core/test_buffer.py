"""ms.Buffer against a plain list of rows."""

import itertools
import json
import threading
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millstream._core import Buffer, Table, rolling
from millstream.errors import ConflictError, InvalidRequestError, WriterBusyError

RNG = np.random.default_rng(3)


def rows(table: Table) -> list[dict[str, Any]]:
    return json.loads(table.to_json())  # type: ignore[no-any-return]


def test_it_holds_the_newest_rows() -> None:
    buffer = Buffer(10)
    for i in range(25):
        assert buffer.append({"a": i, "b": i / 2}) == 1
    assert (len(buffer), buffer.append_count, buffer.capacity, buffer.columns) == (10, 25, 10, ("a", "b"))
    assert rows(buffer.snapshot(2)) == [{"a": 23, "b": 11.5}, {"a": 24, "b": 12}]
    np.testing.assert_array_equal(buffer.snapshot()["a"], np.arange(15, 25))


def test_columns_appear_with_the_data_and_keep_their_type() -> None:
    buffer = Buffer(10)
    buffer.append([{"a": 1}, {"a": None, "t": "x", "n": None}])
    buffer.append({"ok": True})
    want = {"a": None, "t": None, "n": None, "ok": True}
    assert rows(buffer.snapshot())[-1] == want
    assert buffer.numeric_columns == ("a",)
    for bad, loc in (({"a": "x"}, (0, "a")), ([{"t": None}, {"t": 5}], (1, "t")), ({"ok": 0}, (0, "ok"))):
        with pytest.raises(InvalidRequestError) as caught:
            buffer.append(bad)
        assert caught.value.refusals[0].loc == loc
    assert len(buffer) == 3
    buffer.append({"n": 3})
    assert buffer.snapshot().kinds == ("float64", "string", "float64", "boolean")


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    buffer = Buffer(10)
    with pytest.raises(InvalidRequestError):
        buffer.append([{"a": 1}, {"b": 1}, {"a": "x"}])
    assert (len(buffer), buffer.columns, buffer.append_count) == (0, (), 0)


def test_declared_columns_are_exact() -> None:
    buffer = Buffer(10, ["x", "y"])
    buffer.append(np.array([[1, 2], [3, 4.0]]))
    buffer.append({"y": 6, "x": 5})
    np.testing.assert_array_equal(buffer.snapshot().matrix(), [[1, 2], [3, 4], [5, 6]])
    for bad, row in (([{"x": 1, "y": None}, {"x": 2}], 1), (b'[{"x":1,"y":2},{"y":3}]', 1), ([{"y": 1}], 0)):
        with pytest.raises(InvalidRequestError) as caught:
            buffer.append(bad)
        assert caught.value.refusals[0].loc[0] == row
    for bad in ({"x": 1}, {"x": 1, "y": 2, "z": 3}, np.zeros(3), {"x": "1", "y": 2}):
        with pytest.raises(InvalidRequestError):
            buffer.append(bad)
    with pytest.raises(InvalidRequestError):
        Buffer(10, ["x", "x"])


def test_snapshots_never_change() -> None:
    buffer = Buffer(5)
    buffer.append([{"a": i} for i in range(5)])
    snapshot = buffer.snapshot()
    buffer.append([{"a": 9}] * 7)
    buffer.clear()
    np.testing.assert_array_equal(snapshot["a"], np.arange(5))
    assert not snapshot["a"].flags.writeable


@pytest.mark.parametrize("step", [1, 7, 40])
def test_declared_features_are_those_over_all_rows(step: int) -> None:
    values = RNG.normal(size=120)
    values[[17, 60]] = np.nan
    buffer = Buffer(30, None, [5, 30], [1, 3], min_samples=2)
    for start in range(0, len(values), step):
        buffer.append([{"v": v} for v in values[start : start + step]])
    whole = rolling(values, [5, 30], min_samples=2)
    table = buffer.features(include_deltas=True)
    for name in ("rolling_mean_5", "rolling_std_30", "rolling_min_30", "rolling_max_5"):
        np.testing.assert_array_equal(table[f"v_{name}"], whole[f"value_{name}"][-30:])
    np.testing.assert_array_equal(table["v_lag_3"], values[-33:-3])
    np.testing.assert_array_equal(table["v_delta_1"], values[-30:] - values[-31:-1])
    newest = buffer.newest()
    assert tuple(newest) == buffer.feature_names == table.columns[1:]
    np.testing.assert_array_equal(buffer.newest_values, [table[name][-1] for name in buffer.feature_names])


def test_other_windows_see_the_rows_held() -> None:
    buffer = Buffer(10, None, [3])
    buffer.append([{"v": float(i)} for i in range(25)])
    table = buffer.features([3, 4], ["mean"], [2])
    assert table.columns == ("v", "v_rolling_mean_3", "v_rolling_mean_4", "v_lag_2")
    assert table["v_rolling_mean_3"][0] == 14.0
    assert np.isnan(table["v_rolling_mean_4"][:3]).all()
    assert np.isnan(buffer.features([3], ["mean"], [], min_samples=2)["v_rolling_mean_3"][0])
    np.testing.assert_array_equal(
        buffer.features([4], tail=3)["v_rolling_std_4"], buffer.features([4])["v_rolling_std_4"][-3:]
    )


def test_defaults_are_those_declared_or_the_usual_ones() -> None:
    buffer = Buffer(10)
    buffer.append({"a": 1})
    names = buffer.features().columns
    assert names[-3:] == ("a_lag_1", "a_lag_2", "a_lag_3")
    assert {name.rsplit("_", 1)[1] for name in names if "rolling" in name} == {"5", "10"}
    assert buffer.features([], include_lags=False).columns == ("a",)


def test_clear_keeps_columns_and_declared_windows() -> None:
    buffer = Buffer(10, None, [2])
    buffer.append([{"a": 1, "t": "x"}, {"a": 2, "t": "y"}])
    buffer.clear()
    assert (len(buffer), buffer.columns, buffer.append_count) == (0, ("a", "t"), 2)
    buffer.append({"a": 5})
    assert buffer.newest()["a_rolling_mean_2"] is None
    buffer.append({"a": 7})
    assert buffer.newest()["a_rolling_mean_2"] == 6.0


def test_a_feature_named_like_a_column_is_a_conflict() -> None:
    buffer = Buffer(10, None, [], [1])
    buffer.append({"a": 1})
    with pytest.raises(ConflictError):
        buffer.append({"a_lag_1": 2})
    plain = Buffer(10)
    plain.append({"a": 1, "a_lag_1": 2})
    with pytest.raises(ConflictError):
        plain.features()


@pytest.mark.parametrize(
    "arguments",
    [
        {"capacity": 0}, {"capacity": -1}, {"capacity": 10_000_001}, {"rolling_windows": [0]},
        {"rolling_windows": [11], "capacity": 10}, {"lag_periods": [2, 2]}, {"min_samples": 0},
        {"capacity": 2**70}, {"capacity": -(2**70)}, {"rolling_windows": [2**70]}, {"lag_periods": [-(2**70)]},
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        Buffer(**arguments)
    with pytest.raises(InvalidRequestError):
        Buffer(10).snapshot(0)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("capacity", "10", "whole number"), ("capacity", 1.5, "whole number"), ("capacity", True, "whole number"),
        ("columns", "ab", "list of names"), ("columns", ["a", 1], "list of names"), ("columns", 3, "list of names"),
        ("rolling_windows", 3, "list of whole numbers"), ("rolling_windows", "3", "list of whole numbers"),
        ("rolling_windows", [3.5], "list of whole numbers"), ("rolling_windows", {3: 1}, "list of whole numbers"),
        ("lag_periods", [None], "list of whole numbers"), ("min_samples", [1], "whole number"),
        ("columns", {"a", "b"}, "list of names"), ("lag_periods", b"ab", "list of whole numbers"),
    ],
)  # fmt: skip
def test_an_argument_of_the_wrong_kind_is_named(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(InvalidRequestError, match=wanted) as caught:
        Buffer(**{name: value})
    assert repr(value) in str(caught.value)
    assert caught.value.refusals[0].loc == (name,)
    if name not in ("capacity", "columns"):
        with pytest.raises(InvalidRequestError, match=wanted):
            Buffer(10).features(**{name: value})


def test_windows_come_in_any_sequence_of_integers() -> None:
    for windows in ([3, 4], (3, 4), np.array([3, 4], "int8"), range(3, 5), pl.Series([3, 4])):
        assert Buffer(10, rolling_windows=windows).rolling_windows == (3, 4)  # type: ignore[arg-type]


def test_it_shows_what_it_holds() -> None:
    buffer = Buffer(10)
    assert repr(buffer) == "<Buffer: 0 of 10 rows; no columns>"
    buffer.append([{"a": 1}, {"a": 2}])
    assert repr(buffer) == "<Buffer: 2 of 10 rows; column a>"
    assert repr(buffer.snapshot(1)) == "<Table: 1 row; column a>"
    shown = "a, a_rolling_mean_3, a_rolling_std_3, a_rolling_min_3, a_rolling_max_3, a_lag_1, ..."
    assert repr(buffer.features([3], lag_periods=[1, 2])) == f"<Table: 2 rows; 7 columns: {shown}>"


def test_numbers_beyond_64_bits_are_numbers() -> None:
    buffer = Buffer(10)
    buffer.append([{"a": 1}, {"a": 2}])
    assert len(buffer.snapshot(2**70)) == len(buffer.features(tail=10**30)) == 2
    with pytest.raises(InvalidRequestError):
        buffer.snapshot(-(2**70))
    with pytest.raises(InvalidRequestError):
        buffer.features([2**70])


def test_a_second_writer_is_refused() -> None:
    buffer = Buffer(10)
    refused: list[BaseException] = []

    class Reentrant:
        def __float__(self) -> float:
            def write() -> None:
                try:
                    buffer.append({"a": 2})
                except WriterBusyError as error:
                    refused.append(error)

            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
            return 1.0

    buffer.append({"a": Reentrant()})
    assert len(refused) == 1
    assert rows(buffer.snapshot()) == [{"a": 1.0}]
    assert buffer.append({"a": 3}) == 1


def test_snapshots_share_the_ring_s_memory() -> None:
    buffer = Buffer(1_000, None, [5])
    buffer.append(np.arange(50.0).reshape(-1, 1))
    first = pl.DataFrame(buffer.features([5], lag_periods=[]))
    buffer.append(np.array([[99.0]]))
    again = pl.DataFrame(buffer.features([5], lag_periods=[]))
    for name in ("column_0", "column_0_rolling_std_5"):
        addresses = {frame[name].to_arrow().buffers()[1].address for frame in (first, again)}
        assert len(addresses) == 1, name
    assert first["column_0"].to_list() == list(range(50))


def test_memory_follows_the_rows_held() -> None:
    buffer = Buffer(10_000_000)
    assert buffer.memory_bytes <= 8_192
    buffer.append(RNG.normal(size=(200_000, 4)))
    assert buffer.memory_bytes <= 1.4 * 200_000 * 4 * 8


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 40)),
        st.tuples(st.just("column"), st.integers(1, 3)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS, st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_any_program_gives_the_rows_and_features_of_a_plain_list(
    program: list[tuple[str, int]], capacity: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    windows = sorted({min(3, capacity), capacity})
    buffer = Buffer(capacity, None, windows, [1], min_samples=1)
    names = ["a"]
    held: list[dict[str, float]] = []
    arrived: dict[str, list[float]] = {}
    for operation, count in program:
        if operation == "clear":
            buffer.clear()
            held, arrived = [], {name: [] for name in arrived}
        elif operation == "column":
            names.append(f"c{len(names)}")
        else:
            fresh = [{name: float(rng.normal()) for name in names if rng.random() < 0.9} for _ in range(count)]
            assert buffer.append(fresh) == count
            held += fresh
            for name in {key for row in fresh for key in row}:
                arrived.setdefault(name, [])
    kept = held[-capacity:]
    assert len(buffer) == len(kept)
    table = buffer.features(include_deltas=True)
    assert set(buffer.columns) == set(arrived)
    for name in arrived:
        values = np.array([row.get(name, np.nan) for row in held])
        np.testing.assert_array_equal(table[name], values[len(held) - len(kept) :])
        for window in windows:
            whole = rolling(values, [window], min_samples=1)
            for stat in ("min", "max"):
                want = whole[f"value_rolling_{stat}_{window}"][len(held) - len(kept) :]
                np.testing.assert_array_equal(table[f"{name}_rolling_{stat}_{window}"], want)
            for stat in ("mean", "std"):
                want = whole[f"value_rolling_{stat}_{window}"][len(held) - len(kept) :]
                np.testing.assert_allclose(table[f"{name}_rolling_{stat}_{window}"], want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("known", [False, True], ids=["at once", "seen as nulls before"])
def test_columns_of_every_kind_stand_in_any_order(known: bool) -> None:
    makes = {"n": lambda: float(RNG.normal()), "s": lambda: str(RNG.integers(9)), "b": lambda: bool(RNG.integers(2))}
    for kinds in (kinds for width in range(1, 6) for kinds in itertools.product("nsb", repeat=width)):
        names = [f"{kind}{place}" for place, kind in enumerate(kinds)]
        held = [{name: makes[name[0]]() for name in names} for _ in range(6)]
        buffer = Buffer(10, None, [2], [1])
        if known:
            buffer.append([dict.fromkeys(names)])
        buffer.append(held[:3])
        buffer.append(held[3])
        buffer.append(held[4:])
        table = buffer.features(include_deltas=True, tail=len(held))
        assert rows(buffer.snapshot(len(held))) == held, kinds
        for name in (name for name in names if name[0] == "n"):
            values = np.array([row[name] for row in held])
            np.testing.assert_array_equal(table[f"{name}_lag_1"][1:], values[:-1])
            np.testing.assert_array_equal(table[f"{name}_delta_1"][1:], np.diff(values))
            np.testing.assert_array_equal(table[f"{name}_rolling_max_2"][1:], np.maximum(values[1:], values[:-1]))


def test_readers_never_see_a_torn_row() -> None:
    buffer = Buffer(500, ["x", "y"], [4])
    stop = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not stop.is_set():
            table = buffer.snapshot()
            x, y = table["x"], table["y"]
            if not (np.array_equal(y, 3 * x + 1) and np.array_equal(np.diff(x), np.ones(max(0, len(x) - 1)))):
                wrong.append(f"{x[:3]} {y[:3]}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for start in range(0, 60_000, 30):
            x = np.arange(start, start + 30, dtype=np.float64)
            buffer.append(np.column_stack([x, 3 * x + 1]))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert len(buffer) == 500
