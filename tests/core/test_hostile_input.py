"""What must be refused, with nothing kept: impossible windows, Arrow data that lies about itself."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from millstream._core import Buffer, Window, lags, rolling
from millstream.errors import InvalidRequestError, TooLargeError


def buffer() -> Buffer:
    held = Buffer(100)
    held.append([{"a": float(n), "t": "x"} for n in range(10)])
    return held


PERIODS = [[0], [-1], [3, 3], [101], [2**63], list(range(1, 1002))]


@pytest.mark.parametrize("periods", PERIODS, ids=["0", "negative", "repeated", "too large", "beyond 64 bits", "1001"])
def test_impossible_windows_and_lags_are_refused_everywhere(periods: list[int]) -> None:
    held = buffer()
    for ask in (
        lambda: Buffer(100, None, periods),
        lambda: Buffer(100, None, (), periods),
        lambda: held.features(periods),
        lambda: held.features(lag_periods=periods),
    ):
        with pytest.raises(InvalidRequestError):
            ask()
    if periods[0] != 101:
        for of in (rolling, lags):
            with pytest.raises(InvalidRequestError):
                of(np.arange(10.0), periods)


def test_an_answer_beyond_the_limit_is_refused_before_it_is_computed() -> None:
    held = Buffer(1_000_000)
    held.append(np.zeros((1_000_000, 1)))
    with pytest.raises(TooLargeError, match="tail"):
        held.features(list(range(1, 101)))
    assert len(held.features(list(range(1, 101)), tail=10)) == 10


def streams() -> Iterator[tuple[str, bytes]]:
    table = pa.table({"a": [1.0, 2.0, None], "t": ["x", None, "long enough to be no inline text"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    whole = sink.getvalue().to_pybytes()
    for length in range(0, len(whole), 37):
        yield f"cut at {length}", whole[:length]
    for at in range(0, len(whole), 29):
        yield f"bits turned at {at}", whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]


@pytest.mark.parametrize("damaged", [data for _, data in streams()], ids=[name for name, _ in streams()])
def test_damaged_streams_are_taken_whole_or_not_at_all(damaged: bytes) -> None:
    held = buffer()
    before = held.snapshot().to_json()
    try:
        reader = pa.ipc.open_stream(damaged)
        taken = held.append(reader)
    except (InvalidRequestError, pa.ArrowException, OSError, KeyError, UnicodeDecodeError):
        assert held.snapshot().to_json() == before
    else:
        assert len(held) == 10 + taken


def damaged_array(kind: Any, rows: int, *buffers: bytes | None) -> Any:
    held = [None if data is None else pa.py_buffer(data) for data in buffers]
    return pa.Array.from_buffers(kind, rows, held)


def offsets(kind: str, *values: int) -> bytes:
    return struct.pack(f"<{len(values)}{kind}", *values)


@pytest.mark.parametrize(
    "array",
    [
        damaged_array(pa.utf8(), 2, None, offsets("i", 0, 900, 2), b"ab"),
        damaged_array(pa.utf8(), 2, None, offsets("i", 0, 2, 1), b"ab"),
        damaged_array(pa.utf8(), 3, None, offsets("i", 0, -4, 1, 2), b"ab"),
        damaged_array(pa.large_utf8(), 2, None, offsets("q", 0, 2**40, 2), b"ab"),
        damaged_array(pa.utf8(), 1, None, offsets("i", 0, 2), b"\xff\xfe"),
        damaged_array(pa.utf8(), 1, None, offsets("i", 1, 2), "é".encode()),
        pa.array([[1.0]]),
        pa.array([1]).cast(pa.decimal128(21, 2)),
        pa.DictionaryArray.from_arrays(pa.array([5], pa.int8()), pa.array(["x"]), safe=False),
        pa.array([b"x"]),
    ],
    ids=[
        "beyond the end", "backwards", "negative", "far beyond", "no UTF-8", "inside a letter", "lists", "decimals",
        "beyond the categories", "bytes",
    ],
)  # fmt: skip
def test_arrays_that_lie_or_have_no_place_are_refused(array: Any) -> None:
    held = Buffer(100)
    with pytest.raises(InvalidRequestError):
        held.append(pa.table([array], names=["t"]))
    assert (len(held), held.columns) == (0, ())


class Liar:
    """Hands over what is no capsule, or a capsule of another kind."""

    def __init__(self, handed: Any) -> None:
        self.handed = handed

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.handed


@pytest.mark.parametrize("handed", [None, 5, pa.table({"a": [1.0]}).schema.__arrow_c_schema__()])
def test_what_is_no_stream_is_an_error(handed: Any) -> None:
    held = buffer()
    with pytest.raises((InvalidRequestError, TypeError, ValueError)):
        held.append(Liar(handed))
    assert len(held) == 10


def test_a_stream_that_breaks_off_keeps_nothing() -> None:
    def batches() -> Iterator[Any]:
        yield pa.record_batch({"a": [1.0]})
        raise RuntimeError("the source is gone")

    held = buffer()
    with pytest.raises(InvalidRequestError, match="the source is gone"):
        held.append(pa.RecordBatchReader.from_batches(pa.schema([("a", pa.float64())]), batches()))
    assert len(held) == 10


def test_a_stream_of_several_chunks_is_one_table() -> None:
    table = pa.concat_tables([pa.table({"a": [float(n)]}) for n in range(50)])
    held = Buffer(100)
    assert held.append(table) == 50
    np.testing.assert_array_equal(held.snapshot()["a"], np.arange(50.0))


@pytest.mark.parametrize("period", [4, 10**6, 10**12, 2**62])
def test_a_lag_beyond_the_rows_is_missing_and_takes_no_memory(period: int) -> None:
    got = lags([1.0, 2.0, 3.0], [1, period], deltas=True).matrix()
    np.testing.assert_array_equal(got, [[np.nan] * 4, [1, np.nan, 1, np.nan], [2, np.nan, 1, np.nan]])


def test_a_window_that_holds_rows_is_not_resumed_over_them() -> None:
    window = Window(5, ["a"], [2], [1], np.empty(6))
    window.take_rows(np.arange(4.0)[:, None])
    held = window.snapshot()
    before = held.columns()
    with pytest.raises(InvalidRequestError, match="Resume a new one"):
        window.resume(held.first, held.places())
    np.testing.assert_array_equal(held.columns(), before)
    again = Window(5, ["a"], [2], [1], np.empty(6))
    again.resume(held.first, held.places())
    np.testing.assert_array_equal(again.snapshot().columns(), before)


def test_a_memoryview_is_bytes_or_refused() -> None:
    held = Buffer(10)
    assert held.append(memoryview(b'{"a": 1}')) == 1
    with pytest.raises(InvalidRequestError, match="asarray"):
        held.append(memoryview(np.ones((2, 2))))
