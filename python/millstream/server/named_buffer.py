"""A buffer in the store: the ring, what it was created with, and the events that change it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from millstream._core import Buffer, Table
from millstream.server.utc import utc


@dataclass(frozen=True, slots=True)
class Append:
    """Rows arrive."""

    rows: Table


@dataclass(frozen=True, slots=True)
class Clear:
    """All rows go; columns, types and windows stay."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: rows taken, rows held now, rows that left to make room."""

    rows: int
    size: int
    dropped: int


@dataclass(slots=True)
class NamedBuffer:
    """One buffer of both views. `declared` are the columns fixed at creation, None in the Polars view."""

    buffer: Buffer
    declared: tuple[str, ...] | None = None
    created_at: str = field(default_factory=lambda: utc(time.time()))
    append_seconds: float = 0.0

    def apply(self, event: Append | Clear) -> Appended:
        """Change the buffer by one event."""
        if isinstance(event, Clear):
            self.buffer.clear()
            return Appended(0, 0, 0)
        before = len(self.buffer)
        rows = self.buffer.append(event.rows)
        size = len(self.buffer)
        return Appended(rows, size, before + rows - size)

    @property
    def avg_append_ms(self) -> float:
        """Milliseconds per row ever appended, parsing included."""
        return 1000 * self.append_seconds / max(1, self.buffer.append_count)
