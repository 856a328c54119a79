"""Tables in Python: columns that stay where they are, slices, matrices, Arrow."""

import gc
import re
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from millstream._core import Buffer, Table, read_rows
from millstream.errors import InvalidRequestError


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def arrow_address(column: pl.Series) -> int:
    buffer = column.to_arrow(compat_level=pl.CompatLevel.newest()).buffers()[1]
    assert buffer is not None
    return int(buffer.address)


@pytest.fixture
def table() -> Table:
    return read_rows([{"x": 1.0, "y": None}, {"x": None, "y": 4}, {"x": 5, "y": 6}])


def test_a_column_is_not_copied(table: Table) -> None:
    assert address(table["x"]) == address(table["x"])
    assert address(table.slice(1, 2)["x"]) == address(table["x"]) + 8
    frame = pl.DataFrame(table.slice(2, 1))
    assert arrow_address(frame["x"]) == address(table["x"]) + 16


def test_numpy_polars_and_pyarrow_see_the_ring_s_own_memory() -> None:
    buffer = Buffer(1_000)
    buffer.append(np.arange(60.0).reshape(-1, 2))
    snapshot = buffer.snapshot()
    there = address(snapshot["column_1"])
    assert arrow_address(pl.DataFrame(snapshot)["column_1"]) == there
    assert pa.table(snapshot)["column_1"].chunk(0).buffers()[1].address == there
    buffer.append(np.zeros((1, 2)))
    assert address(buffer.snapshot()["column_1"]) == there


def test_an_array_outlives_its_table_and_buffer() -> None:
    buffer = Buffer(100)
    buffer.append(np.arange(50.0).reshape(-1, 1))
    array, frame = buffer.snapshot()["column_0"], pl.DataFrame(buffer.snapshot())
    buffer.append(np.full((500, 1), -1.0))
    del buffer
    gc.collect()
    np.testing.assert_array_equal(array, np.arange(50.0))
    np.testing.assert_array_equal(frame["column_0"], np.arange(50.0))


def test_arrays_cannot_be_written(table: Table) -> None:
    for array in (table["x"], table.slice(0, 0)["x"], table.matrix()):
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_a_column_over_several_segments_is_joined() -> None:
    buffer = Buffer(1_000)
    for start in range(0, 2_000, 50):
        buffer.append(np.arange(start, start + 50.0).reshape(-1, 1))
    np.testing.assert_array_equal(buffer.snapshot()["column_0"], np.arange(1_000.0, 2_000))
    np.testing.assert_array_equal(pl.DataFrame(buffer.snapshot(333))["column_0"], np.arange(1_667.0, 2_000))


def test_slices_stay_within_the_rows(table: Table) -> None:
    assert [len(table.slice(*cut)) for cut in ((0, 2), (1, 99), (3, 1), (99, 1), (1, 0))] == [2, 2, 0, 0, 0]
    assert len(table.slice(1, 10**30)) == 2
    assert table.slice(1, 2).slice(1, 1).to_json() == b'[{"x":5.0,"y":6.0}]'


def test_a_slice_of_less_than_no_rows_is_refused(table: Table) -> None:
    for offset, length, named in [(-1, 1, "'offset' is -1."), (0, -9, "'length' is -9."), (0, 1.5, "'length' is 1.5.")]:
        cut: Any = (offset, length)
        with pytest.raises(InvalidRequestError, match=re.escape(named)):
            table.slice(*cut)


def test_a_matrix_has_the_columns_asked_for(table: Table) -> None:
    np.testing.assert_array_equal(table.matrix(), [[1, np.nan], [np.nan, 4], [5, 6]])
    np.testing.assert_array_equal(table.matrix(["y"]), [[np.nan], [4], [6]])
    assert table.matrix([]).shape == (3, 0)
    assert table.slice(0, 0).matrix().shape == (0, 2)


def test_a_name_that_is_no_column_is_a_key_error(table: Table) -> None:
    with pytest.raises(KeyError, match="The columns are: x, y"):
        table["z"]
    with pytest.raises(KeyError):
        table.matrix(["x", "z"])


def test_text_has_no_matrix() -> None:
    table = read_rows([{"t": "x", "b": True}, {"t": None, "b": None}])
    assert table.kinds == ("string", "boolean")
    assert [list(table["t"]), list(table["b"])] == [["x", None], [True, None]]
    with pytest.raises(InvalidRequestError):
        table.matrix()


def test_text_and_booleans_stay_as_they_were_while_the_buffer_goes_on() -> None:
    buffer = Buffer(20)
    held: list[tuple[Table, list[str | None]]] = []
    texts: list[str | None] = []
    for i in range(300):
        texts.append(None if i % 7 == 3 else f"text {i} of some length")
        buffer.append({"t": texts[-1], "b": i % 2 == 0})
        if i % 13 == 0:
            held.append((buffer.snapshot(), texts[-20:]))
    for table, want in held:
        assert list(table["t"]) == want
        assert pl.DataFrame(table)["t"].to_list() == want


def test_the_texts_of_a_column_as_places_among_the_distinct_ones() -> None:
    table = read_rows([{"t": "b"}, {"t": None}, {"t": "a"}, {"t": "b"}, {}])
    codes = table.codes("t")
    assert codes is not None
    assert (codes[0].dtype, codes[0].tolist(), codes[1]) == (np.int32, [0, -1, 1, 0, -1], ["b", "a"])
    codes = table.slice(2, 2).codes("t")
    assert codes is not None
    assert (codes[0].tolist(), codes[1]) == ([0, 1], ["a", "b"])
    assert read_rows([{"t": 1.0}]).codes("t") is None


def test_the_first_value_of_a_column_that_is_no_number_is_known_even_where_it_looks_like_one() -> None:
    table = read_rows(b'[{"a":1,"b":true,"c":null},{"a":"2","b":3,"c":4},{"a":"x","b":false}]', None, "text")
    assert [table.first_other(name) for name in "abc"] == [1, 0, None]
    assert read_rows({"t": None, "b": True}).first_other("b") == 0
    assert table.slice(1, 2).first_other("a") == 0
