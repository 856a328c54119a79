"""One dictionary goes in by a short way of its own, and must end as a list of that row does."""

import inspect
import json
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from millstream._core import Buffer
from millstream.errors import InvalidRequestError, WriterBusyError


class Name(str):
    """A key that is no plain string."""


class Liar(str):
    """A key that says it is every other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("b")


class Row(dict[str, Any]):
    """A row that is no plain dictionary."""

    def items(self) -> Any:
        raise AssertionError("nobody asked for what it holds itself")


class Count(int):
    """A whole number of a type of its own."""


class Real(float):
    """A number of a type of its own."""


class Clearing:
    """A value that changes the row it stands in when it is asked for its number."""

    def __init__(self) -> None:
        self.row = {"a": self, "b": 2.0}

    def __float__(self) -> float:
        self.row.clear()
        self.row.update({f"k{i}": float(i) for i in range(100)})
        return 7.0


ROWS: dict[str, Callable[[], Any]] = {
    "floats": lambda: {"a": 1.5, "b": -0.0},
    "another order": lambda: {"b": 2.0, "a": 1.0},
    "integers": lambda: {"a": 1, "b": -(2**53)},
    "an integer beyond 2^53 that is exact": lambda: {"a": 2**60, "b": 2**70},
    "an integer that is not exact": lambda: {"a": 1, "b": 2**53 + 1},
    "an integer of 64 bits that is not exact": lambda: {"a": 1, "b": 2**63 - 1},
    "an integer beyond float64": lambda: {"a": 1, "b": 10**400},
    "missing values": lambda: {"a": None, "b": float("nan")},
    "infinity": lambda: {"a": 1.0, "b": float("-inf")},
    "a boolean": lambda: {"a": 1.0, "b": True},
    "text": lambda: {"a": 1.0, "b": "2"},
    "numbers of NumPy": lambda: {"a": np.float64(1), "b": np.int32(2)},
    "numbers of types of their own": lambda: {"a": Count(3), "b": Real(4.5)},
    "nothing": dict,
    "a column fewer": lambda: {"a": 1.0},
    "a column more": lambda: {"a": 1.0, "b": 2.0, "c": 3.0},
    "another column": lambda: {"a": 1.0, "c": 3.0},
    "names that are other objects": lambda: {"".join(["", "a"]): 1.0, bytes([98]).decode(): 2.0},
    "names of a type of their own": lambda: {Name("a"): 1.0, Name("b"): 2.0},
    "a name that lies": lambda: {"a": 1.0, Liar("c"): 2.0},
    "a key that is no name": lambda: {"a": 1.0, 5: 2.0},
    "a dictionary of a type of its own": lambda: Row(a=1.0, b=2.0),
    "an ordered dictionary": lambda: OrderedDict(b=2.0, a=1.0),
    "a value that changes the row": lambda: Clearing().row,
    "a value of no number": lambda: {"a": 1.0, "b": object()},
}


def primed(names: list[str] | None) -> Buffer:
    buffer = Buffer(10, names, [2], [1])
    for row in ({"a": 0.5, "b": 0.25}, {"a": 1.5, "b": 2.25}):
        assert buffer.append([row]) == 1
    return buffer


def outcome(buffer: Buffer, data: Any) -> Any:
    try:
        answer: Any = buffer.append(data)
    except Exception as error:  # whatever it is, it is to be the same
        answer = type(error), str(error), getattr(error, "refusals", None)
    return answer, buffer.append_count, buffer.columns, buffer.features(include_deltas=True).to_json()


@pytest.mark.parametrize("names", [None, ["a", "b"]], ids=["open", "declared"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_ends_as_a_list_of_it_does(row: Callable[[], Any], names: list[str] | None) -> None:
    alone, listed = primed(names), primed(names)
    assert outcome(alone, row()) == outcome(listed, [row()])
    after = {"a": 3.0, "b": 4.0}
    assert outcome(alone, after) == outcome(listed, [after])


def test_columns_that_came_since_are_missing_in_a_row_without_them() -> None:
    for value in ("x", True, 5.0, None):
        buffer = primed(None)
        buffer.append({"a": 1.0, "b": 2.0, "c": value})
        assert buffer.append({"a": 3.0, "b": 4.0}) == 1
        assert json.loads(buffer.snapshot(1).to_json()) == [{"a": 3.0, "b": 4.0, "c": None}]


def test_a_row_is_not_kept_alive() -> None:
    buffer, value, name = primed(None), 1234.5, "".join(["long ", "name"])
    row = {"a": value, "b": value}
    before = sys.getrefcount(value), sys.getrefcount(row), sys.getrefcount(name), sys.getrefcount(buffer)
    for _ in range(1_000):
        buffer.append(row)
        with pytest.raises(InvalidRequestError):
            buffer.append({"a": value, name: float("inf")})
    after = sys.getrefcount(value), sys.getrefcount(row), sys.getrefcount(name), sys.getrefcount(buffer)
    assert before == after


def test_a_plain_row_is_refused_while_another_is_taken_in() -> None:
    buffer = primed(None)
    refused = []

    class Writing:
        def __float__(self) -> float:
            def write() -> None:
                with pytest.raises(WriterBusyError):
                    buffer.append({"a": 1.0, "b": 2.0})
                refused.append(1)

            write()
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
            return 3.0

    assert buffer.append({"a": Writing(), "b": 1.0}) == 1
    assert (len(refused), len(buffer)) == (2, 3)
    assert buffer.append({"a": 1.0, "b": 2.0}) == 1


def test_it_is_called_as_any_method() -> None:
    buffer, row = primed(None), {"a": 1.0, "b": 2.0}
    assert str(inspect.signature(Buffer.append)) == "(self, /, data)"
    assert buffer.append(data=row) == Buffer.append(buffer, row) == Buffer.append(buffer, data=row) == 1
    append: Any = Buffer.append
    for arguments, named in [
        ((buffer,), {}), ((buffer, row, row), {}), ((buffer, row), {"data": row}), ((buffer,), {"date": row}),
        ((row, row), {}), ((), {}),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match="append"):
            append(*arguments, **named)
    assert buffer.append_count == 5
