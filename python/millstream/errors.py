"""Every error millstream raises, in one tree. The server's table in `server/problems.py` maps the same classes.

MillstreamError
├── InvalidRequestError      a value, row or argument that is not allowed
│   └── ModelFileError       a file that is not a sound millstream model
├── InvalidJsonError         bytes that are not JSON
├── MalformedRequestError    bytes that are not HTTP
├── NotFoundError            a name that does not exist
├── MethodNotAllowedError    a route that exists, asked with another method
├── ConflictError            the call contradicts what exists
├── NotFittedError           a detector asked for scores before `fit`
├── WriterBusyError          a second thread appends while one is at work
├── TooLargeError            beyond a limit that is a setting
├── HeaderTooLargeError      headers beyond the server's limit
├── UnsupportedMediaTypeError  a body in a form the route does not take
├── UnauthorizedError        no key, or a wrong one
├── RequestTimeoutError      a request that did not arrive in time
├── OverloadedError          the server (or this client's share of it) is full; try again
├── StorageFullError         no room left on the disk
└── FitFailedError           the process that fitted a model died or failed for a reason of its own
"""

from __future__ import annotations

import re
from dataclasses import dataclass


def counted(count: int, noun: str) -> str:
    """A number with its noun, for messages: 1 row, 2 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Refusal:
    """One value that was refused: where it stands, outermost step first, and why."""

    loc: tuple[str | int, ...]
    message: str


def _row(loc: tuple[str | int, ...]) -> int | None:
    """The row a place lies in: the library's places begin with it, those of a request with `data`."""
    inner = loc[1:] if loc[:1] == ("data",) else loc
    return inner[0] if inner and isinstance(inner[0], int) else None


class MillstreamError(Exception):
    """The root of all errors of millstream. `str(error)` is one sentence: given, allowed, what to do."""


class InvalidRequestError(MillstreamError, ValueError):
    """A value, a row or an argument that is not allowed. `refusals` says where; nothing has changed."""

    def __init__(self, message: str, loc: tuple[str | int, ...] = (), refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(message)
        self.refusals = refusals or ((Refusal(loc, message),) if loc else ())

    def __str__(self) -> str:
        """The message, led by the row it is about: who prints the error alone should find the value."""
        message = super().__str__()
        row = next((_row(refusal.loc) for refusal in self.refusals), None)
        if row is None or re.search(rf"\brow {row}\b", message, re.IGNORECASE):
            return message
        return f"Row {row}: {message}"

    def under(self, *steps: str | int) -> InvalidRequestError:
        """The same error seen from further out: `steps` come before every place it names, or are the place."""
        refusals = self.refusals or (Refusal((), str(self)),)
        self.refusals = tuple(Refusal((*steps, *r.loc), r.message) for r in refusals)
        return self


class ModelFileError(InvalidRequestError):
    """A file that is not a sound model: damaged, foreign, or written by a newer format."""


class InvalidJsonError(MillstreamError, ValueError):
    """Bytes that are not JSON as millstream reads it: UTF-8, no byte-order mark, at most 64 levels deep."""


class MalformedRequestError(MillstreamError):
    """Bytes that are not an HTTP/1.1 request."""


class NotFoundError(MillstreamError, LookupError):
    """A name that does not exist."""


class MethodNotAllowedError(MillstreamError):
    """A route that exists, asked with a method it does not have."""

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class ConflictError(MillstreamError):
    """The call contradicts what exists: a name taken twice, a setting that is fixed by now."""


class NotFittedError(MillstreamError):
    """A detector or stream asked for scores before it has a model."""


class WriterBusyError(MillstreamError):
    """A second thread appended while one was at work; a buffer has one writer at a time."""


class TooLargeError(MillstreamError):
    """Larger than a limit; the message names the limit and the setting."""


class HeaderTooLargeError(MillstreamError):
    """Headers larger than the server takes."""


class UnsupportedMediaTypeError(MillstreamError):
    """A body in a form that the route does not take."""


class UnauthorizedError(MillstreamError):
    """No key, or a wrong one."""


class RequestTimeoutError(MillstreamError):
    """A request that did not arrive whole in time."""


class OverloadedError(MillstreamError):
    """The server is full (503), or this client's share of it is (429). Try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int, status: int = 503) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status


class StorageFullError(MillstreamError):
    """No room left on the disk; nothing was changed."""


class FitFailedError(MillstreamError):
    """The process that fitted a model died, ran out of time or failed for a reason of its own."""
