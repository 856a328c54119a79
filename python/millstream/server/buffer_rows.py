"""What both views of the buffers share: what may be declared, rows in, rows out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta, Raw

from millstream._core import Table
from millstream.errors import InvalidRequestError, Refusal
from millstream.server.endpoint import Answer, Call
from millstream.server.entries import Entry
from millstream.server.limits import NAME, raise_all
from millstream.server.long_answer import LongAnswer, with_json
from millstream.server.named_buffer import Append, Appended, NamedBuffer

Name = Annotated[str, Meta(pattern=NAME)]
Size = Annotated[int, Meta(ge=10)]
Positive = Annotated[int, Meta(ge=1)]
INLINE_VALUES = 10_000  # about half a millisecond to compute and write
NO_ROWS = Raw(b"[]")


def check_declared(
    call: Call[Any],
    size: int,
    windows: list[int],
    lags: list[int],
    size_field: str,
    columns: list[str] | None = None,
) -> None:
    """Refuse a buffer of more rows, windows, lags, columns or features than allowed, or with a column named twice."""
    limits = call.service.limits
    too_many = [*limits.columns("columns", len(columns or ()))]
    raise_all(
        [
            *limits.size(size_field, size),
            *limits.windows("rolling_windows", windows, size),
            *limits.windows("lag_periods", lags, size),
            *(too_many or _repeated(columns or [])),
            *limits.features(len(columns or (1,)), len(windows), len(lags)),
        ]
    )


def _repeated(columns: list[str]) -> Iterator[Refusal]:
    first_at: dict[str, int] = {}
    for at, name in enumerate(columns):
        if first_at.setdefault(name, at) != at:
            yield Refusal(("columns", at), f"'columns' has {name!r} twice; allowed are distinct names; send it once.")


async def append_rows(call: Call[Any], entry: Entry[NamedBuffer]) -> Appended:
    """Append the rows of the call, whole or not at all."""
    started = time.perf_counter()
    event = Append(await call.rows())
    try:
        done: Appended = await call.service.buffers.send(entry.name, event, inline=call.short)
    except InvalidRequestError as error:
        raise error.under("data") from None  # the buffer names row and column, the request has them under 'data'
    entry.value.append_seconds += time.perf_counter() - started
    return done


async def with_table(call: Call[Any], answer: Answer, table: Table) -> Answer | LongAnswer:
    """`answer` with the rows of `table` as its `data`."""
    short = len(table) * len(table.columns) <= INLINE_VALUES
    return with_json(answer, "data", table.to_json() if short else await call.service.in_thread(table.to_json))
