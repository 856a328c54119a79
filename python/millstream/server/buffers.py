"""Handlers of `/v1/ml/buffers/*`: buffers with fixed columns of numbers, and the newest features."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from millstream._core import Buffer
from millstream.errors import InvalidRequestError
from millstream.server.buffer_rows import NO_ROWS, Name, Positive, Size, append_rows, check_declared, with_table
from millstream.server.endpoint import Answer, Call, Nothing
from millstream.server.entries import Entry
from millstream.server.long_answer import LongAnswer
from millstream.server.named_buffer import NamedBuffer


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


async def create(call: Call[CreateNamed]) -> Named:
    """Create a buffer with fixed columns of numbers."""
    ask = call.ask
    check_declared(call, ask.max_size, ask.rolling_windows, ask.lag_periods, "max_size", ask.columns)
    columns = tuple(ask.columns)

    def make() -> NamedBuffer:
        return NamedBuffer(Buffer(ask.max_size, columns, ask.rolling_windows, ask.lag_periods), columns)

    return _named(call.service.buffers.create(ask.name, make))


async def list_all(call: Call[Nothing]) -> NamedList:
    """All buffers."""
    found = [_named(entry, with_memory=True) for entry in call.service.buffers]
    memory = sum(b.memory_bytes for b in found if b.memory_bytes is not UNSET)
    return NamedList(buffers=found, total_buffers=len(found), total_memory_bytes=memory)


async def append(call: Call[Nothing]) -> NamedAppended:
    """Append at least one row of exactly the declared columns."""
    done = await append_rows(call, call.service.buffers.get(call.path["name"]))
    return NamedAppended(rows_appended=done.rows, current_size=done.size, rows_dropped=done.dropped)


async def newest_features(call: Call[Nothing]) -> NewestFeatures:
    """The declared features of the newest row, null while there are too few rows."""
    entry = call.service.buffers.get(call.path["name"])
    newest = entry.value.buffer.newest()
    return NewestFeatures(
        name=entry.name, row_count=len(entry.value.buffer), feature_count=len(newest), features=newest
    )


async def data(call: Call[ReadNamed]) -> Answer | LongAnswer:
    """Rows by `offset` and `limit` from the oldest, or the `last` ones."""
    entry, ask = call.service.buffers.get(call.path["name"]), call.ask
    rows = entry.value.buffer.snapshot()
    offset, count = _range(ask, len(rows))
    call.service.limits.answer(count, len(rows.columns))
    columns = list(rows.columns)
    answer = NamedData(
        name=entry.name, current_size=len(rows), returned_rows=count, offset=offset, columns=columns, data=NO_ROWS
    )
    return await with_table(call, answer, rows.slice(offset, count))


async def delete(call: Call[Nothing]) -> NamedDeleted:
    """Delete a buffer."""
    held = await call.service.buffers.delete(call.path["name"])
    return NamedDeleted(deleted=call.path["name"], memory_freed_bytes=held.buffer.memory_bytes)


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
