"""Handlers of `/v1/ml/polars/*`: buffers that take their columns from the rows, and features as asked for."""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct, field

from millstream._core import Buffer, Table
from millstream.server.buffer_rows import (
    INLINE_VALUES,
    NO_ROWS,
    Name,
    Positive,
    Size,
    append_rows,
    check_declared,
    with_table,
)
from millstream.server.endpoint import Answer, Call, Nothing
from millstream.server.entries import Entry
from millstream.server.limits import raise_all
from millstream.server.long_answer import LongAnswer
from millstream.server.named_buffer import Clear, NamedBuffer

Stat = Literal["mean", "std", "min", "max"]
STATS: tuple[Stat, ...] = ("mean", "std", "min", "max")

DEFAULT_WINDOWS = (5, 10, 20)
DEFAULT_LAGS = (1, 2, 3)


class CreateBuffer(Struct, kw_only=True):
    """What to create; the name in this view is `buffer_id`."""

    buffer_id: Name
    window_size: Size = 1000
    rolling_windows: list[Positive] = []
    lag_periods: list[Positive] = []


class BufferCreated(Answer, kw_only=True):
    """A buffer was created."""

    object: Literal["buffer_created"] = "buffer_created"
    buffer_id: str
    window_size: int
    status: Literal["created"] = "created"


class AppendRows(Struct, kw_only=True):
    """The rows are under `data`."""

    buffer_id: Name


class AppendResult(Answer, kw_only=True):
    """Rows were appended; `avg_append_ms` is per row ever appended."""

    object: Literal["append_result"] = "append_result"
    buffer_id: str
    appended: int
    buffer_size: int
    avg_append_ms: float


class ComputeFeatures(Struct, kw_only=True):
    """Which features; windows and lags not sent are those declared at creation."""

    buffer_id: Name
    rolling_windows: list[Positive] | None = None
    include_rolling_stats: list[Stat] = field(default_factory=lambda: list(STATS))
    include_lags: bool = True
    lag_periods: list[Positive] | None = None
    include_deltas: bool = False
    min_samples: Positive | None = None
    tail: Positive | None = None


class PolarsData(Answer, kw_only=True):
    """Rows, oldest first."""

    object: Literal["polars_data"] = "polars_data"
    buffer_id: str
    rows: int
    columns: list[str]
    data: Raw


class BufferStats(Answer, kw_only=True):
    """What a buffer holds and has taken."""

    buffer_id: str
    size: int
    window_size: int
    columns: list[str]
    numeric_columns: list[str]
    memory_bytes: int
    append_count: int
    avg_append_ms: float


class BufferList(Answer, kw_only=True):
    """All buffers."""

    object: Literal["list"] = "list"
    data: list[BufferStats]
    total: int


class ReadData(Struct, kw_only=True):
    """Which rows."""

    tail: Positive | None = None
    with_features: bool = False


class BufferCleared(Answer, kw_only=True):
    """The buffer is empty."""

    cleared: Literal[True] = True
    buffer_id: str
    size: Literal[0] = 0


class BufferDeleted(Answer, kw_only=True):
    """The buffer is gone."""

    deleted: Literal[True] = True
    buffer_id: str


async def create(call: Call[CreateBuffer]) -> BufferCreated:
    """Create a buffer of the newest `window_size` rows."""
    ask = call.ask
    check_declared(call, ask.window_size, ask.rolling_windows, ask.lag_periods, "window_size")

    def make() -> NamedBuffer:
        return NamedBuffer(Buffer(ask.window_size, None, ask.rolling_windows, ask.lag_periods))

    call.service.buffers.create(ask.buffer_id, make)
    return BufferCreated(buffer_id=ask.buffer_id, window_size=ask.window_size)


async def append(call: Call[AppendRows]) -> AppendResult:
    """Append one row or several, whole or not at all."""
    name = call.ask.buffer_id
    entry = call.service.buffers.get(name)
    done = await append_rows(call, entry)
    average = entry.value.avg_append_ms
    return AppendResult(buffer_id=name, appended=done.rows, buffer_size=done.size, avg_append_ms=average)


async def features(call: Call[ComputeFeatures]) -> Answer | LongAnswer:
    """Rolling statistics, lags and deltas of the rows held."""
    entry = call.service.buffers.get(call.ask.buffer_id)
    return await _features(call, entry, call.ask)


async def list_all(call: Call[Nothing]) -> BufferList:
    """Statistics of all buffers."""
    data = [_stats(entry) for entry in call.service.buffers]
    return BufferList(data=data, total=len(data))


async def stats(call: Call[Nothing]) -> BufferStats:
    """Statistics of one buffer."""
    return _stats(call.service.buffers.get(call.path["buffer_id"]))


async def data(call: Call[ReadData]) -> Answer | LongAnswer:
    """The rows held, oldest first, with features if asked."""
    entry = call.service.buffers.get(call.path["buffer_id"])
    if call.ask.with_features:
        return await _features(call, entry, ComputeFeatures(buffer_id=entry.name, tail=call.ask.tail))
    buffer = entry.value.buffer
    call.service.limits.answer(_rows(buffer, call.ask.tail), len(buffer.columns))
    return await _table(call, entry.name, buffer.snapshot(call.ask.tail))


async def clear(call: Call[Nothing]) -> BufferCleared:
    """Drop all rows; columns, types and declared windows stay."""
    name = call.path["buffer_id"]
    await call.service.buffers.send(name, Clear())
    return BufferCleared(buffer_id=name)


async def delete(call: Call[Nothing]) -> BufferDeleted:
    """Delete a buffer."""
    name = call.path["buffer_id"]
    await call.service.buffers.delete(name)
    return BufferDeleted(buffer_id=name)


async def _features(
    call: Call[ComputeFeatures] | Call[ReadData], entry: Entry[NamedBuffer], ask: ComputeFeatures
) -> Answer | LongAnswer:
    buffer, limits = entry.value.buffer, call.service.limits
    raise_all(
        [
            *limits.windows("rolling_windows", ask.rolling_windows or (), buffer.capacity),
            *limits.windows("lag_periods", ask.lag_periods or (), buffer.capacity),
        ]
    )
    rows, columns = _rows(buffer, ask.tail), _feature_columns(buffer, ask)
    limits.answer(rows, columns)

    def compute() -> Table:
        return buffer.features(
            rolling_windows=ask.rolling_windows,
            include_rolling_stats=ask.include_rolling_stats,
            lag_periods=ask.lag_periods,
            include_lags=ask.include_lags,
            include_deltas=ask.include_deltas,
            min_samples=ask.min_samples,
            tail=ask.tail,
        )

    table = compute() if rows * columns <= INLINE_VALUES else await call.service.in_thread(compute)
    return await _table(call, entry.name, table)


def _feature_columns(buffer: Buffer, ask: ComputeFeatures) -> int:
    windows = _count(ask.rolling_windows, buffer.rolling_windows, DEFAULT_WINDOWS)
    lags = _count(ask.lag_periods, buffer.lag_periods, DEFAULT_LAGS)
    per_column = windows * len(ask.include_rolling_stats) + lags * (ask.include_lags + ask.include_deltas)
    return max(1, len(buffer.columns) + len(buffer.numeric_columns) * per_column)


def _count(asked: list[int] | None, declared: tuple[int, ...], default: tuple[int, ...]) -> int:
    return len(asked) if asked is not None else len(declared or default)


def _rows(buffer: Buffer, tail: int | None) -> int:
    return len(buffer) if tail is None else min(tail, len(buffer))


async def _table(call: Call[ComputeFeatures] | Call[ReadData], name: str, table: Table) -> Answer | LongAnswer:
    answer = PolarsData(buffer_id=name, rows=len(table), columns=list(table.columns), data=NO_ROWS)
    return await with_table(call, answer, table)


def _stats(entry: Entry[NamedBuffer]) -> BufferStats:
    held = entry.value
    buffer = held.buffer
    return BufferStats(
        buffer_id=entry.name,
        size=len(buffer),
        window_size=buffer.capacity,
        columns=list(buffer.columns),
        numeric_columns=list(buffer.numeric_columns),
        memory_bytes=buffer.memory_bytes,
        append_count=buffer.append_count,
        avg_append_ms=held.avg_append_ms,
    )
