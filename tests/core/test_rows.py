"""What Python data becomes: one table, by the same rules as JSON."""

from collections import OrderedDict, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from millstream._core import Table, read_rows, rolling
from millstream.errors import InvalidJsonError, InvalidRequestError

A = np.array([[1.0, 2.0], [3.0, np.nan]])


def rows(table: Table) -> list[dict[str, Any]]:
    import json

    return json.loads(table.to_json())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "data",
    [
        [{"a": 1, "b": 2.0}, {"b": None, "a": 3}],
        ({"a": 1, "b": 2}, OrderedDict(a=3, b=float("nan"))),
        deque([MappingProxyType({"a": 1, "b": 2}), {"a": np.float32(3)}]),
        [{"a": np.int64(1), "b": np.float64(2)}, {"a": np.uint8(3), "b": np.float64("nan")}],
        b'[{"a":1,"b":2},{"b":null,"a":3}]',
        bytearray(b'{"a":1,"b":2}\n{"a":3}\n'),
        memoryview(b'[{"a":1,"b":2},{"a":3}]'),
        read_rows([{"a": 1, "b": 2}, {"a": 3}]),
    ],
)
def test_named_rows_are_the_same_in_every_form(data: Any) -> None:
    table = read_rows(data)
    assert (table.columns, table.kinds, table.named) == (("a", "b"), ("float64", "float64"), True)
    np.testing.assert_array_equal(table.matrix(), A)


@pytest.mark.parametrize(
    "data",
    [
        A, A.astype(np.float32), np.asfortranarray(A), A[:, ::-1][:, ::-1], A.astype(object), A.astype(">f8"),
        np.hstack([A, A])[:, :2], np.repeat(A, 2, axis=0)[::2], A[::-1].copy()[::-1], np.hstack([A, A]).T[:2].T,
        A.view(np.recarray), np.frombuffer(b"x" + A.tobytes(), np.uint8)[1:].view(np.float64).reshape(A.shape),
        [[1, 2], (3, None)], [A[0], A[1]], b"[[1,2],[3,null]]",
    ],
)  # fmt: skip
def test_unnamed_rows_are_the_same_in_every_form(data: Any) -> None:
    table = read_rows(data)
    assert (table.columns, table.named) == (("column_0", "column_1"), False)
    np.testing.assert_array_equal(table.matrix(), A)
    assert read_rows(data, ["x", "y"]).columns == (("x", "y") if not isinstance(data, bytes) else table.columns)


def test_one_mapping_or_flat_array_is_one_row() -> None:
    assert rows(read_rows({"a": 1, "b": "x", "c": True, "d": None})) == [{"a": 1, "b": "x", "c": True, "d": None}]
    assert rows(read_rows(np.array([1, 2]))) == [{"column_0": 1, "column_1": 2}]
    assert rows(read_rows(np.array([1.5]), ["x"])) == [{"x": 1.5}]
    assert rows(read_rows([])) == []
    assert rows(read_rows({})) == [{}]


def test_values_keep_their_type() -> None:
    table = read_rows([{"s": np.str_("é"), "b": np.bool_(True), "i": 2**60, "z": np.array(4)}, {"s": None, "b": False}])
    assert rows(table) == [{"s": "é", "b": True, "i": 2.0**60, "z": 4.0}, {"s": None, "b": False, "i": None, "z": None}]


@pytest.mark.parametrize(
    ("data", "loc"),
    [
        ([{"a": 1}, {"a": float("inf")}], (1, "a")),
        (np.array([[1, np.inf], [-np.inf, 1]]), (0, "column_1")),
        (np.array([[1, np.inf], [-np.inf, 1]], order="F"), (0, "column_1")),
        ([{"a": 1}, {"a": True}], (1, "a")),
        ([{"a": 1}, {"a": "1"}], (1, "a")),
        ([{"a": "x"}, {"a": 1}], (1, "a")),
        ([{"a": 2**53 + 1}], (0, "a")),
        ([{"a": 10**400}], (0, "a")),
        (np.array([[2**53 + 1]]), (0, "column_0")),
        ([{"a": [1]}], (0, "a")),
        ([{"a": {}}], (0, "a")),
        ([{"a": np.zeros(2)}], (0, "a")),
        ([{"a": object()}], (0, "a")),
        ([{"a": b"x"}], (0, "a")),
        ([{1: 2}], (0,)),
        ([[1, 2], [3]], (1,)),
        ([[1], {"a": 1}], (1,)),
        ([{"a": 1}, 5], (1,)),
    ],
)
def test_refused_values_say_where(data: Any, loc: tuple[int | str, ...]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_rows(data)
    assert [refusal.loc for refusal in caught.value.refusals] == [loc]


@pytest.mark.parametrize("data", [5, "text", None, {1, 2}, np.zeros((2, 2, 2)), np.array(3.0), b"7", b'"x"'])
def test_what_is_no_rows_is_refused(data: Any) -> None:
    with pytest.raises(InvalidRequestError):
        read_rows(data)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidJsonError):
        read_rows(b'{"a":1}{"a":2}')


def test_numeric_mode_takes_numbers_only() -> None:
    for data in ([{"a": None}, {"a": True}], [["x"]], b'[{"a":"x"}]', read_rows([{"a": "x"}])):
        with pytest.raises(InvalidRequestError):
            read_rows(data, None, "numeric")
    assert read_rows([{"a": 1}, {}], None, "numeric").kinds == ("float64",)


def test_text_mode_turns_mixed_columns_to_json_text() -> None:
    table = read_rows([{"a": 1, "b": 1.0}, {"a": "x", "b": 2}, {"a": 2.5}, {"a": True}, {"a": None}], None, "text")
    assert table["a"].tolist() == ["1", "x", "2.5", "true", None]
    assert table.kinds == ("string", "float64")


def test_names_must_fit_the_width() -> None:
    for data in (A, [[1, 2]], np.array([1.0, 2.0])):
        for names in (["x"], ["x", "y", "z"]):
            with pytest.raises(InvalidRequestError):
                read_rows(data, names)


class Hostile:
    """A value whose conversion changes the row it stands in."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row

    def __float__(self) -> float:
        self.row.clear()
        self.row.update({f"k{i}": i for i in range(1000)})
        return 1.0


def test_a_row_that_changes_while_it_is_read_counts_as_it_was() -> None:
    row: dict[str, Any] = {"b": 2.0, "c": 3.0}
    row = {"a": Hostile(row), **row}
    row["a"].row = row
    assert rows(read_rows(row)) == [{"a": 1.0, "b": 2.0, "c": 3.0}]


class Broken:
    def __float__(self) -> float:
        raise ZeroDivisionError


def test_an_error_of_the_caller_s_own_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        read_rows({"a": Broken()})


class Lookup(Mapping[str, float]):
    def __getitem__(self, key: str) -> float:
        return {"a": 1.0, "b": 2.0}[key]

    def __iter__(self) -> Any:
        return iter(("a", "b"))

    def __len__(self) -> int:
        return 2


def test_any_mapping_is_a_row() -> None:
    assert rows(read_rows(Lookup())) == [{"a": 1.0, "b": 2.0}]
    assert len(read_rows([Lookup(), Lookup()])) == 2


@pytest.mark.parametrize("kind", ["float64", "float32", "int32", "int64"])
def test_what_an_array_masks_is_missing(kind: str) -> None:
    rows = np.ma.array([[1, 999], [2, 3]], dtype=kind, mask=[[False, True], [False, False]])
    np.testing.assert_array_equal(read_rows(rows).matrix(), [[1, np.nan], [2, 3]])
    np.testing.assert_array_equal(read_rows(rows[0]).matrix(), [[1, np.nan]])
    table = rolling(rows, [2], ["max"], 1)
    np.testing.assert_array_equal(table["column_1_rolling_max_2"], [np.nan, 3])
    np.testing.assert_array_equal(rolling(rows[0], [2], ["max"], 1)["value_rolling_max_2"], [1, 1])


def test_a_masked_cell_is_missing() -> None:
    array = np.ma.array([[1.0, 999.0], [2.0, 3.0]], mask=[[False, True], [False, False]])
    for one_by_one in ([{"a": row[0], "b": row[1]} for row in array], [[row[0], row[1]] for row in array]):
        np.testing.assert_array_equal(read_rows(one_by_one).matrix(), [[1, np.nan], [2, 3]])
