"""Handlers of both buffer families: `/v1/ml/polars/*` and `/v1/ml/buffers/*` are two views of one store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from millstream._core import Buffer, Table
from millstream.errors import InvalidRequestError, Refusal
from millstream.server.endpoint import Answer, Call, Nothing
from millstream.server.entries import Entry
from millstream.server.limits import NAME, raise_all
from millstream.server.named_buffer import Append, Appended, Clear, NamedBuffer

Name = Annotated[str, Meta(pattern=NAME)]
Size = Annotated[int, Meta(ge=10)]
Positive = Annotated[int, Meta(ge=1)]
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
    _check_declared(call, ask.window_size, ask.rolling_windows, ask.lag_periods, "window_size")

    def make() -> NamedBuffer:
        return NamedBuffer(Buffer(ask.window_size, None, ask.rolling_windows, ask.lag_periods))

    call.service.buffers.create(ask.buffer_id, make)
    return BufferCreated(buffer_id=ask.buffer_id, window_size=ask.window_size)


async def append(call: Call[AppendRows]) -> AppendResult:
    """Append one row or several, whole or not at all."""
    name = call.ask.buffer_id
    entry = call.service.buffers.get(name)
    done = await _append(call, entry)
    average = entry.value.avg_append_ms
    return AppendResult(buffer_id=name, appended=done.rows, buffer_size=done.size, avg_append_ms=average)


async def features(call: Call[ComputeFeatures]) -> PolarsData:
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


async def data(call: Call[ReadData]) -> PolarsData:
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


class CreateNamed(Struct, kw_only=True):
    """What to create; columns are fixed."""

    name: Name
    columns: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
    max_size: Size = 10_000
    rolling_windows: list[Positive] = []
    lag_periods: list[Positive] = []


class Named(Answer, kw_only=True):
    """A buffer of the named view."""

    name: str
    max_size: int
    current_size: int
    columns: list[str]
    rolling_windows: list[int]
    lag_periods: list[int]
    created_at: str
    memory_bytes: int | UnsetType = UNSET


class NamedList(Answer, kw_only=True):
    """All buffers and what they hold."""

    buffers: list[Named]
    total_buffers: int
    total_memory_bytes: int


class NamedAppended(Answer, kw_only=True):
    """Rows were appended, the oldest dropped to make room."""

    rows_appended: int
    current_size: int
    rows_dropped: int


class NewestFeatures(Answer, kw_only=True):
    """The declared features of the newest row."""

    name: str
    row_count: int
    feature_count: int
    features: dict[str, float | None]


class ReadNamed(Struct, kw_only=True):
    """Which rows: `offset` and `limit`, or the `last` ones."""

    offset: Annotated[int, Meta(ge=0)] | None = None
    limit: Positive | None = None
    last: Positive | None = None


class NamedData(Answer, kw_only=True):
    """Rows, oldest first."""

    name: str
    current_size: int
    returned_rows: int
    offset: int
    columns: list[str]
    data: Raw


class NamedDeleted(Answer, kw_only=True):
    """The buffer is gone."""

    deleted: str
    memory_freed_bytes: int


async def create_named(call: Call[CreateNamed]) -> Named:
    """Create a buffer with fixed columns of numbers."""
    ask = call.ask
    _check_declared(call, ask.max_size, ask.rolling_windows, ask.lag_periods, "max_size", ask.columns)
    columns = tuple(ask.columns)

    def make() -> NamedBuffer:
        return NamedBuffer(Buffer(ask.max_size, columns, ask.rolling_windows, ask.lag_periods), columns)

    return _named(call.service.buffers.create(ask.name, make))


async def list_named(call: Call[Nothing]) -> NamedList:
    """All buffers."""
    found = [_named(entry, with_memory=True) for entry in call.service.buffers]
    memory = sum(b.memory_bytes for b in found if b.memory_bytes is not UNSET)
    return NamedList(buffers=found, total_buffers=len(found), total_memory_bytes=memory)


async def append_named(call: Call[Nothing]) -> NamedAppended:
    """Append at least one row of exactly the declared columns."""
    done = await _append(call, call.service.buffers.get(call.path["name"]))
    return NamedAppended(rows_appended=done.rows, current_size=done.size, rows_dropped=done.dropped)


async def newest_features(call: Call[Nothing]) -> NewestFeatures:
    """The declared features of the newest row, null while there are too few rows."""
    entry = call.service.buffers.get(call.path["name"])
    newest = entry.value.buffer.newest()
    return NewestFeatures(
        name=entry.name, row_count=len(entry.value.buffer), feature_count=len(newest), features=newest
    )


async def data_named(call: Call[ReadNamed]) -> NamedData:
    """Rows by `offset` and `limit` from the oldest, or the `last` ones."""
    entry, ask = call.service.buffers.get(call.path["name"]), call.ask
    rows = entry.value.buffer.snapshot()
    offset, count = _range(ask, len(rows))
    call.service.limits.answer(count, len(rows.columns))
    text = await _json(call, rows.slice(offset, count))
    columns = list(rows.columns)
    return NamedData(
        name=entry.name, current_size=len(rows), returned_rows=count, offset=offset, columns=columns, data=text
    )


async def delete_named(call: Call[Nothing]) -> NamedDeleted:
    """Delete a buffer."""
    held = await call.service.buffers.delete(call.path["name"])
    return NamedDeleted(deleted=call.path["name"], memory_freed_bytes=held.buffer.memory_bytes)


def _check_declared(
    call: Call[CreateBuffer] | Call[CreateNamed],
    size: int,
    windows: list[int],
    lags: list[int],
    size_field: str,
    columns: list[str] | None = None,
) -> None:
    limits = call.service.limits
    raise_all(
        [
            *limits.size(size_field, size),
            *limits.windows("rolling_windows", windows, size),
            *limits.windows("lag_periods", lags, size),
            *limits.columns("columns", len(columns or ())),
            *_repeated(columns or []),
            *limits.features(len(columns or (1,)), len(windows), len(lags)),
        ]
    )


def _repeated(columns: list[str]) -> Iterator[Refusal]:
    for at, name in enumerate(columns):
        if name in columns[:at]:
            yield Refusal(("columns", at), f"'columns' has {name!r} twice; allowed are distinct names; send it once.")


async def _append(call: Call[AppendRows] | Call[Nothing], entry: Entry[NamedBuffer]) -> Appended:
    started = time.perf_counter()
    event = Append(await call.rows())
    try:
        done: Appended = await call.service.buffers.send(entry.name, event, inline=call.short)
    except InvalidRequestError as error:
        raise error.under("data") from None  # the buffer names row and column, the request has them under 'data'
    entry.value.append_seconds += time.perf_counter() - started
    return done


async def _features(
    call: Call[ComputeFeatures] | Call[ReadData], entry: Entry[NamedBuffer], ask: ComputeFeatures
) -> PolarsData:
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

    table = compute() if rows * columns <= _INLINE_VALUES else await call.service.in_thread(compute)
    return await _table(call, entry.name, table)


_INLINE_VALUES = 10_000  # about half a millisecond to compute and write


def _feature_columns(buffer: Buffer, ask: ComputeFeatures) -> int:
    windows = _count(ask.rolling_windows, buffer.rolling_windows, DEFAULT_WINDOWS)
    lags = _count(ask.lag_periods, buffer.lag_periods, DEFAULT_LAGS)
    per_column = windows * len(ask.include_rolling_stats) + lags * (ask.include_lags + ask.include_deltas)
    return max(1, len(buffer.columns) + len(buffer.numeric_columns) * per_column)


def _count(asked: list[int] | None, declared: tuple[int, ...], default: tuple[int, ...]) -> int:
    return len(asked) if asked is not None else len(declared or default)


def _rows(buffer: Buffer, tail: int | None) -> int:
    return len(buffer) if tail is None else min(tail, len(buffer))


async def _table(call: Call[ComputeFeatures] | Call[ReadData], name: str, table: Table) -> PolarsData:
    text = await _json(call, table)
    return PolarsData(buffer_id=name, rows=len(table), columns=list(table.columns), data=text)


async def _json(call: Call[ComputeFeatures] | Call[ReadData] | Call[ReadNamed], table: Table) -> Raw:
    if len(table) * len(table.columns) <= _INLINE_VALUES:
        return Raw(table.to_json())
    return Raw(await call.service.in_thread(table.to_json))


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


def _named(entry: Entry[NamedBuffer], with_memory: bool = False) -> Named:
    held = entry.value
    buffer = held.buffer
    return Named(
        name=entry.name,
        max_size=buffer.capacity,
        current_size=len(buffer),
        columns=list(buffer.columns),
        rolling_windows=list(buffer.rolling_windows),
        lag_periods=list(buffer.lag_periods),
        created_at=held.created_at,
        memory_bytes=buffer.memory_bytes if with_memory else UNSET,
    )


def _range(ask: ReadNamed, held: int) -> tuple[int, int]:
    if ask.last is not None and (ask.offset is not None or ask.limit is not None):
        raise InvalidRequestError(
            "'last' is sent with 'offset' or 'limit'; allowed is one way to choose rows; leave one out.", loc=("last",)
        )
    if ask.last is not None:
        count = min(ask.last, held)
        return held - count, count
    offset = min(ask.offset or 0, held)
    return offset, min(held - offset, ask.limit if ask.limit is not None else held)
