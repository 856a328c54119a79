"""Tables in and out as Arrow: Polars, pandas and pyarrow on the other side."""

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from millstream._core import Buffer, lags, read_rows, rolling
from millstream.errors import ConflictError, InvalidRequestError

FRAME = pl.DataFrame({"a": [1.5, None, 3.0], "t": ["x", None, "é"], "b": [True, False, None], "i": [1, 2, None]})
WANT = (
    b'[{"a":1.5,"t":"x","b":true,"i":1.0},{"a":null,"t":null,"b":false,"i":2.0},'
    b'{"a":3.0,"t":"\xc3\xa9","b":null,"i":null}]'
)


@pytest.mark.parametrize(
    "data",
    [FRAME, FRAME.to_arrow(), FRAME.to_arrow().to_batches()[0], pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)],
    ids=["polars", "pyarrow table", "pyarrow batch", "two chunks"],
)
def test_frames_become_tables(data: Any) -> None:
    assert read_rows(data).to_json() == WANT
    buffer = Buffer(10)
    assert buffer.append(data) == 3
    assert buffer.snapshot().to_json() == WANT


def test_pandas_becomes_a_table() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "n": np.array([1, 2], dtype=np.int32), "t": ["x", None]})
    assert read_rows(frame).to_json() == b'[{"a":1.0,"n":1.0,"t":"x"},{"a":null,"n":2.0,"t":null}]'


@pytest.mark.parametrize("index", [[7, 9], pd.to_datetime(["2026-01-01", "2026-01-02"])], ids=["numbers", "times"])
def test_the_index_of_pandas_is_no_column(index: Any) -> None:
    assert read_rows(pd.DataFrame({"a": [1.0, 2.0]}, index=index)).to_json() == b'[{"a":1.0},{"a":2.0}]'
    assert rolling(pd.Series([1.0, 2.0], index=index), [1], ["max"]).columns == ("value_rolling_max_1",)


def test_columns_that_never_held_a_value_are_missing_values() -> None:
    for frame in (pl.DataFrame({"a": [None, None], "b": [1.0, 2.0]}), pa.table({"a": pa.nulls(2), "b": [1.0, 2.0]})):
        assert read_rows(frame).to_json() == b'[{"a":null,"b":1.0},{"a":null,"b":2.0}]'


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("t", ["x", None, "y", "x"], dtype=pl.Categorical),
        pl.Series("t", ["x", None, "y", "x"], dtype=pl.Enum(["y", "x"])),
        pd.DataFrame({"t": pd.Categorical(["x", None, "y", "x"])}),
        pa.table({"t": pa.array(["x", None, "y", "x"]).dictionary_encode()}),
    ],
    ids=["polars categorical", "polars enum", "pandas", "pyarrow"],
)
def test_categories_are_text(column: Any) -> None:
    assert read_rows(column).to_json() == b'[{"t":"x"},{"t":null},{"t":"y"},{"t":"x"}]'


def test_categories_of_nothing_are_missing_values() -> None:
    nothing = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.array([], pa.string()))
    assert read_rows(pa.table({"t": nothing})).to_json() == b'[{"t":null},{"t":null}]'


def test_tables_become_frames() -> None:
    table = read_rows([{"a": 1.5, "t": "x", "b": True, "n": None}, {"a": None, "t": None, "b": None}])
    frame = pl.DataFrame(table)
    assert frame.rows() == [(1.5, "x", True, None), (None, None, None, None)]
    assert frame.columns == ["a", "t", "b", "n"]
    assert pa.table(table).column_names == ["a", "t", "b", "n"]
    assert pl.DataFrame(Buffer(10, ["a"]).snapshot()).shape == (0, 1)
    assert pa.schema(table).names == ["a", "t", "b", "n"]


def test_polars_sees_the_same_memory() -> None:
    table = rolling(np.arange(1000.0), [5], ["mean"], min_samples=1)
    first = pl.DataFrame(table)["value_rolling_mean_5"].to_arrow().buffers()[1]
    again = pl.DataFrame(table)["value_rolling_mean_5"].to_arrow().buffers()[1]
    assert first.address == again.address
    del table
    np.testing.assert_array_equal(np.frombuffer(first, np.float64)[:3], [0, 0.5, 1])


def test_rolling_takes_columns_and_frames() -> None:
    values = pl.Series("x", [1.0, 2.0, None, 4.0])
    assert rolling(values, [2], ["mean"]).columns == ("x_rolling_mean_2",)
    np.testing.assert_array_equal(rolling(values, [2], ["max"], 1)["x_rolling_max_2"], [1, 2, 2, 4])
    assert lags(values.alias(""), [1]).columns == ("value_lag_1",)
    assert lags(FRAME, [1]).columns == ("a_lag_1", "i_lag_1")
    assert lags(pa.array([1, 2]), [1]).columns == ("value_lag_1",)
    assert np.isposinf(rolling(pl.Series("x", [np.inf, 1.0]), [1], ["max"])["x_rolling_max_1"][0])


def test_rolling_leaves_out_what_holds_no_numbers() -> None:
    times = pl.DataFrame({"t": [1, 2], "x": [1.0, 3.0], "s": ["a", "b"]}).with_columns(pl.col("t").cast(pl.Datetime))
    assert rolling(times, [2], ["max"]).columns == ("x_rolling_max_2",)
    nothing: list[Any] = [pl.Series(["a"]), pl.Series([True]), pl.DataFrame(), times.select("t", "s")]
    for values in nothing:
        with pytest.raises(InvalidRequestError, match="without a column of numbers"):
            rolling(values, [2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), "Duplicate column names found: ['a', 'a']"),
        (pd.DataFrame({"a": [1, "x"]}), "Conversion failed for column a with type object"),
        (pd.DataFrame({"a": [1j]}), "Conversion failed for column a with type complex128"),
        (pd.DataFrame({"a": [2**70]}), "int too large"),
        (pd.Series([1, "x"], name="a"), "Could not convert 'x' with type str"),
    ],
    ids=["a name twice", "two types", "complex", "beyond 64 bits", "series"],
)
def test_what_pandas_cannot_make_arrow_data_of_is_refused_with_its_reason(data: Any, reason: str) -> None:
    for read in (read_rows, Buffer(10).append, lambda data: rolling(data, [1])):
        with pytest.raises(InvalidRequestError, match=re.escape(reason)) as refused:
            read(data)
        assert "each column has a name of its own and values of one type" in str(refused.value)
        assert refused.value.__cause__ is not None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("no room"), "no room"),
        (ConflictError("taken"), "taken"),
        (InvalidRequestError("row 3 is wrong"), "row 3 is wrong"),
    ],
    ids=lambda case: type(case).__name__,
)
def test_other_errors_of_who_makes_arrow_data_pass_as_they_are(error: Exception, message: str) -> None:
    class Broken:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise error

    with pytest.raises(type(error)) as passed:
        read_rows(Broken())
    assert passed.value is error
    assert str(error) == message


@pytest.mark.parametrize("error", [NotImplementedError(), ValueError("")], ids=lambda case: type(case).__name__)
def test_data_that_does_not_say_why_it_is_none_is_refused_by_the_kind_of_error(error: Exception) -> None:
    class Silent:
        def __arrow_c_array__(self, requested_schema: object = None) -> object:
            raise error

    with pytest.raises(InvalidRequestError, match=rf"did not hand itself over as Arrow: {type(error).__name__}\. In"):
        read_rows(Silent())


def test_who_makes_arrow_data_of_one_schema_only_need_not_take_another() -> None:
    class Plain:
        def __arrow_c_stream__(self) -> object:
            return FRAME.__arrow_c_stream__()

    assert read_rows(Plain()).to_json() == WANT


def test_a_series_of_pandas_is_a_column_of_its_name() -> None:
    frame = pd.DataFrame({"cpu": [1.0, 2.0], "mem": [3.0, 4.0]})
    assert read_rows(frame["cpu"]).columns == read_rows(pl.Series("cpu", [1.0])).columns == ("cpu",)
    assert rolling(frame["cpu"], [2], ["max"]).columns == ("cpu_rolling_max_2",)
    assert rolling(pd.Series([1.0], index=["a"]), [1], ["max"]).columns == ("value_rolling_max_1",)
    with pytest.raises(InvalidRequestError, match=r"series\.to_dict\(\) for a row"):
        read_rows(frame.iloc[-1])
    assert read_rows(frame.iloc[-1].to_dict()).columns == ("cpu", "mem")
    with pytest.raises(InvalidRequestError, match="series without a name"):
        read_rows(pd.Series([1.0, 2.0]))


def test_a_column_of_nothing_but_nulls_has_no_type_yet() -> None:
    for rows in (2, 0):
        frame = pl.DataFrame({"a": [None] * rows, "x": [1.0] * rows}, schema={"a": pl.Null, "x": pl.Float64})
        assert read_rows(frame).kinds == ("null", "float64")
    buffer = Buffer(10)
    buffer.append(pl.DataFrame({"a": [None, None], "x": [1.0, 2.0]}))
    buffer.append({"a": "text", "x": 3})
    assert list(buffer.snapshot()["a"]) == [None, None, "text"]


@pytest.mark.parametrize(
    ("data", "loc"),
    [
        (pl.DataFrame({"a": [1.0, np.inf]}), (1, "a")),
        (pl.DataFrame({"a": [1, 2**53 + 1]}), (1, "a")),
        (pl.DataFrame({"a": [[1]]}), ("a",)),
        (pl.DataFrame({"a": [1.0]}).with_columns(t=pl.date(2026, 1, 1)), ("t",)),
        (pa.table([[1.0], [2.0]], names=["a", "a"]), ()),
    ],
)
def test_refused_columns_say_where(data: Any, loc: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_rows(data)
    assert [refusal.loc for refusal in caught.value.refusals] == ([loc] if loc else [])


def test_damaged_arrow_data_is_refused() -> None:
    offsets, text = np.array([0, 900, 2], np.int32), np.frombuffer(b"ab", np.uint8)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    broken = pa.Array.from_buffers(pa.utf8(), 2, buffers)
    with pytest.raises(InvalidRequestError):
        read_rows(pa.table([broken], names=["t"]))
    offsets = np.array([0, 2], np.int32)
    invalid = pa.Array.from_buffers(pa.utf8(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(b"\xff\xfe")])
    with pytest.raises(InvalidRequestError):
        read_rows(pa.table([invalid], names=["t"]))


class Handed:
    """Hands over what it was given, however often it is asked."""

    def __init__(self, schema: Any, array: Any) -> None:
        self.capsules = schema.__arrow_c_array__()[0], array.__arrow_c_array__()[1]

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self.capsules


@pytest.mark.parametrize(
    ("schema", "array"),
    [(["x"], [1.0]), ([{"a": 1.0, "b": 2.0}], [{"a": 1.0}]), ([{"a": 1.0}], [1.0])],
    ids=["text and numbers", "a child too few", "no children"],
)
def test_an_array_of_another_schema_is_refused(schema: list[Any], array: list[Any]) -> None:
    buffer = Buffer(10)
    with pytest.raises(InvalidRequestError):
        buffer.append(Handed(pa.array(schema), pa.array(array)))
    assert (len(buffer), buffer.columns) == (0, ())


def test_an_array_that_was_used_up_is_refused() -> None:
    once = Handed(pa.array([1.0]), pa.array([1.0]))
    buffer = Buffer(10)
    assert buffer.append(once) == 1
    with pytest.raises(InvalidRequestError, match="Export it anew"):
        buffer.append(once)
    assert buffer.append({"column_0": 1.0}) == 1
