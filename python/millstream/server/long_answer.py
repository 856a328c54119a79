"""Answers with a list of many rows, sent piece by piece so that they hold no other request up.

A million rows as structs would take 300 MB and a second on the event loop: they become JSON in pieces, in a thread.
What Rust has written as JSON is only cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.server.endpoint import Answer

if TYPE_CHECKING:
    from millstream.server.service import Service

RowsAt = Callable[[int, int], Sequence[Any]]
SHORT = 1_000  # rows turned into JSON at once, on the event loop: 0.2 ms
_PIECE = 2_048  # 2 ms of work between two looks at what else waits
_PART = 256 * 1024  # bytes of rows that are JSON already, in one write
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class LongAnswer:
    """An answer whose list `field` is empty in `head`: its rows are the JSON in `pieces`."""

    head: Answer
    field: str
    pieces: Sequence[bytes | memoryview]

    def body(self) -> tuple[bytes, list[bytes | memoryview]]:
        """The JSON of the whole answer: its first part and the others."""
        empty = b'"%s":[]' % self.field.encode()  # nowhere else: within a JSON string a backslash precedes each quote
        before, _, after = _encode(self.head).partition(empty)
        return before + empty[:-1], [*self.pieces, b"]" + after]


async def with_rows(service: Service, answer: Answer, field: str, rows_at: RowsAt, count: int) -> Answer | LongAnswer:
    """`answer`, whose list `field` is empty, with its `count` rows; `rows_at(start, end)` gives those in between."""
    if count <= SHORT:
        setattr(answer, field, rows_at(0, count))
        return answer
    return LongAnswer(answer, field, await service.in_thread(_in_pieces, rows_at, count))


def with_json(answer: Answer, field: str, rows: bytes) -> Answer | LongAnswer:
    """`answer`, whose list `field` is empty, with `rows`, a list in JSON."""
    if len(rows) <= _PART:
        setattr(answer, field, msgspec.Raw(rows))
        return answer
    inner = memoryview(rows)[1:-1]
    return LongAnswer(answer, field, [inner[start : start + _PART] for start in range(0, len(inner), _PART)])


def _in_pieces(rows_at: RowsAt, count: int) -> list[bytes]:
    starts = range(0, count, _PIECE)
    return [_inner(rows_at(start, min(start + _PIECE, count)), b"," if start else b"") for start in starts]


def _inner(rows: Sequence[Any], before: bytes) -> bytes:
    return before + memoryview(_encode(rows))[1:-1]
