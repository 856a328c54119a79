"""What an endpoint is, and what its handler is called with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from millstream.encoding import wanted_columns
from millstream.errors import InvalidRequestError
from millstream.server.requests import RowKind

if TYPE_CHECKING:
    from millstream._core import Body, Table
    from millstream.server.service import Service

R = TypeVar("R")

Form = Literal["mapping", "mappings", "lists", "empty"]
MAPPINGS: tuple[Form, ...] = ("mapping", "mappings", "empty")
INLINE_BYTES = 64 * 1024  # parsing this much takes 150 us, less than a hop to a thread and back costs under load


class Answer(msgspec.Struct, kw_only=True):
    """What every success may carry besides its own fields."""

    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class Nothing(msgspec.Struct):
    """A request without body or query."""


@dataclass(frozen=True, slots=True)
class Document:
    """An answer that is no JSON of ours."""

    content_type: bytes
    body: bytes


@dataclass(slots=True)
class Call(Generic[R]):
    """One request, bound: its struct (body or query), path parameters, and rows still unread in Rust."""

    service: Service
    ask: R
    path: dict[str, str]
    body: Body | None
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.raw)

    @property
    def short(self) -> bool:
        """Whether the body is small enough to be worked on without leaving the event loop."""
        return self.size <= INLINE_BYTES

    async def rows(self, schema: Mapping[str, str] | None = None) -> Table:
        """The rows; a bad one raises here, after existence and conflicts were looked at.

        Of rows with names a `schema` (rows of kind "text" only) picks the columns; what else was sent is left out,
        whatever it holds.
        """
        assert self.body is not None
        wanted = wanted_columns(schema)
        return self.body.table(*wanted) if self.short else await self.service.in_thread(self.body.table, *wanted)


@dataclass(frozen=True)
class Rows:
    """How a route reads `data`: the kind of its columns, and the shapes it takes."""

    kind: RowKind
    forms: tuple[Form, ...]

    def check(self, body: Body) -> None:
        """Refuse a `data` that is missing or has another shape, before anything is looked up."""
        if body.form in self.forms:
            return
        allowed = " or ".join(_SHAPES[form] for form in self.forms if form != "empty")
        raise InvalidRequestError(f"'data' is {_GIVEN[body.form]}; allowed is {allowed}; send that.", loc=("data",))


_SHAPES = {"mapping": "an object", "mappings": "a list of objects", "lists": "a list of lists of numbers"}
_GIVEN = _SHAPES | {"absent": "missing", "null": "null", "empty": "an empty list", "other": "neither a row nor rows"}

Handler = Callable[[Call[Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Endpoint:
    """One row of the tuple in endpoints.py. `request` is the body's struct, or the query's of a route without body."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    request: type[msgspec.Struct]
    response: type[msgspec.Struct] | None
    handler: Handler
    rows: Rows | None = None
    reads_body: bool = False
    open: bool = False  # answers without a key
    ends_with_client: bool = False  # a client that leaves cancels the work

    @property
    def summary(self) -> str:
        """The first line of the handler's documentation."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]
