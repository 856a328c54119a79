"""One table from error class to status, code and title, and the one body every failure has."""

from __future__ import annotations

from typing import Final

import msgspec

from millstream import errors
from millstream.errors import InvalidRequestError, MethodNotAllowedError, MillstreamError, OverloadedError

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"


class Place(msgspec.Struct, frozen=True):
    """Where one refused value stands, and why it was refused."""

    loc: tuple[str | int, ...]
    message: str


class Code(msgspec.Struct, frozen=True):
    """The error for programs."""

    code: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every failure (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    error: Code
    errors: tuple[Place, ...] = ()


class _Row(msgspec.Struct, frozen=True):
    status: int
    code: str
    title: str


_INTERNAL = _Row(500, "internal", "Internal error")
_INTERNAL_DETAIL = "The server failed in a way it should not; the request changed nothing; please report it."

# The nearest class of an error's ancestry decides.
TABLE: Final[dict[type[MillstreamError], _Row]] = {
    errors.InvalidRequestError: _Row(422, "invalid_request", "Invalid request"),
    errors.InvalidJsonError: _Row(400, "invalid_json", "Invalid JSON"),
    errors.MalformedRequestError: _Row(400, "invalid_request", "Malformed request"),
    errors.NotFoundError: _Row(404, "not_found", "Not found"),
    errors.MethodNotAllowedError: _Row(405, "method_not_allowed", "Method not allowed"),
    errors.ConflictError: _Row(409, "conflict", "Conflict"),
    errors.NotFittedError: _Row(409, "conflict", "Conflict"),
    errors.WriterBusyError: _Row(503, "overloaded", "Overloaded"),
    errors.TooLargeError: _Row(413, "too_large", "Too large"),
    errors.HeaderTooLargeError: _Row(431, "header_too_large", "Headers too large"),
    errors.UnsupportedMediaTypeError: _Row(415, "unsupported_media_type", "Unsupported media type"),
    errors.UnauthorizedError: _Row(401, "unauthorized", "Unauthorized"),
    errors.RequestTimeoutError: _Row(408, "timeout", "Request timeout"),
    errors.OverloadedError: _Row(503, "overloaded", "Overloaded"),
    errors.StorageFullError: _Row(507, "storage_full", "Storage full"),
    errors.FitFailedError: _Row(503, "overloaded", "Overloaded"),
}


class Answered(msgspec.Struct, frozen=True):
    """An answer ready to be sent: its body, or the first part of it and the others."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    more: list[bytes | memoryview] = []


def answered(status: int, content_type: bytes, body: bytes, *more: bytes | memoryview) -> Answered:
    """An answer with the headers that each has."""
    length = len(body) + sum(map(len, more))
    return Answered(status, [(b"content-type", content_type), (b"content-length", b"%d" % length)], body, list(more))


def answer(error: BaseException) -> Answered:
    """The status, headers and body for `error`. Of an unknown error nothing but its being one is told."""
    row = next((TABLE[c] for c in type(error).__mro__ if c in TABLE), _INTERNAL)
    status = error.status if isinstance(error, OverloadedError) else row.status
    detail = _sentence(str(error)) if row is not _INTERNAL else _INTERNAL_DETAIL
    places = _places(error) if isinstance(error, InvalidRequestError) else ()
    problem = Problem("about:blank", row.title, status, detail, Code(row.code, detail), places)
    told = answered(status, PROBLEM_JSON, msgspec.json.encode(problem))
    told.headers.extend(_headers(error, status))
    return told


def _places(error: InvalidRequestError) -> tuple[Place, ...]:
    return tuple(Place(r.loc, _sentence(r.message)) for r in error.refusals) or (Place((), str(error)),)


def _sentence(text: str) -> str:
    """`text` as a sentence: the library's messages may begin small, and end without a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _headers(error: BaseException, status: int) -> list[tuple[bytes, bytes]]:
    if isinstance(error, MethodNotAllowedError):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if status == 401:
        return [(b"www-authenticate", b"Bearer")]
    if status in (429, 503):
        return [(b"retry-after", str(getattr(error, "retry_after", 1)).encode())]
    return []
