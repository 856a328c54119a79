"""The application: from a request to a handler's call and back.

A request is looked at in the order the contract gives: key, route and method, size and type (`meet`, on the headers
alone), then JSON and envelope (`reply`); existence, conflicts and rows are the handler's. Every failure leaves as one
problem body.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from millstream._core import Body
from millstream.errors import (
    InvalidRequestError,
    MillstreamError,
    OverloadedError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from millstream.server import requests
from millstream.server.endpoint import INLINE_BYTES, Answer, Call, Document, Endpoint, Nothing
from millstream.server.endpoints import ENDPOINTS
from millstream.server.limits import check_filename, check_name
from millstream.server.message import JSON, Reply, Request
from millstream.server.problems import answer
from millstream.server.router import Router
from millstream.server.service import Service

_log = logging.getLogger("millstream")
_encode = msgspec.json.Encoder().encode
_OTHER_FORMS = re.compile(rb"multipart/|text/csv|.*ndjson|.*jsonl|.*json-seq|.*arrow|.*parquet", re.IGNORECASE)


class Application:
    """Answers the requests of all connections, over one service."""

    def __init__(self, service: Service, endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> None:
        self._service = service
        self._router = Router(endpoints)
        self._key = service.settings.api_key
        self._most = service.settings.max_body_bytes

    def meet(self, request: Request) -> None:
        """Look at the headers, before the body is read. What is refused by them gets its `reply` here."""
        try:
            try:
                request.endpoint, request.values = self._router.find(request.method, request.path)
            finally:
                if request.endpoint is None or not request.endpoint.open:
                    self._check_key(request)
            if request.endpoint.reads_body:
                self._check_body(request)
        except MillstreamError as error:
            request.reply = failure(error, request)

    def take(self, request: Request, part: bytes) -> None:
        """Keep a part of the body; one byte more than allowed refuses the request."""
        if request.endpoint is None or not request.endpoint.reads_body:
            return
        request.size += len(part)
        if request.size > self._most:
            request.parts.clear()
            request.reply = failure(self._too_large(), request)
        else:
            request.parts.append(part)

    async def reply(self, request: Request) -> Reply:
        """The reply to a request whose body is there. Never raises."""
        endpoint = request.endpoint
        assert endpoint is not None, "a request without an endpoint was refused by `meet`"
        try:
            parsed = None
            body = request.body
            if endpoint.reads_body:
                kind = endpoint.rows.kind if endpoint.rows else None
                if len(body) <= INLINE_BYTES:
                    parsed = requests.read(body, kind)
                else:
                    parsed = await self._service.in_thread(requests.read, body, kind)
            ask, warnings = _bind(endpoint, request, parsed)
            result = await endpoint.handler(Call(self._service, ask, request.values, parsed, body))
            if warnings and isinstance(result, Answer):
                result.warnings = warnings + (result.warnings or [])
            if isinstance(result, Document):
                return Reply(200, result.content_type, result.body)
            return Reply(200, JSON, _encode(result))
        except (Exception, asyncio.CancelledError) as error:
            return failure(error, request)

    def _check_key(self, request: Request) -> None:
        if self._key is None:
            return
        scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._key.encode()):
            raise UnauthorizedError("The key is missing or wrong; send the header 'Authorization: Bearer <key>'.")

    def _check_body(self, request: Request) -> None:
        headers = request.headers
        if int(headers.get(b"content-length", 0)) > self._most:
            raise self._too_large()
        coding = headers.get(b"content-encoding")
        if coding is not None and coding.strip().lower() not in (b"", b"identity"):
            shown = coding[:40].decode("latin-1")
            raise UnsupportedMediaTypeError(
                f"The body has Content-Encoding {shown!r}; allowed is none; send plain JSON."
            )
        kind = headers.get(b"content-type")
        if kind is not None and _OTHER_FORMS.match(kind):
            shown = kind[:80].decode("latin-1")
            raise UnsupportedMediaTypeError(f"The body is {shown!r}; this route takes JSON; send application/json.")

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is larger than {self._most} bytes (MILLSTREAM_MAX_BODY_BYTES); "
            "send the rows in several requests."
        )


def failure(error: BaseException, request: Request) -> Reply:
    """The one body every failure has. An error that is none of ours is logged, and said to be nothing but one."""
    if isinstance(error, asyncio.CancelledError):
        error = OverloadedError("The server is ending; try again in a few seconds.", retry_after=5)
    elif not isinstance(error, MillstreamError):
        _log.error("%s %s failed", request.method, request.path.decode("latin-1"), exc_info=error)
    return answer(error)


def _bind(endpoint: Endpoint, request: Request, parsed: Body | None) -> tuple[Any, list[str]]:
    """The request's struct, and warnings. What is not allowed anywhere in the envelope is told at once."""
    try:
        _check_path(request.values)
        _check_rows(endpoint, parsed)
        return _ask(endpoint, request, parsed)
    except InvalidRequestError:
        raise _all_refusals(
            lambda: _check_path(request.values),
            lambda: _ask(endpoint, request, parsed),
            lambda: _check_rows(endpoint, parsed),
        ) from None


def _check_path(values: dict[str, str]) -> None:
    for field, name in values.items():
        check_filename(name) if field == "filename" else check_name(name, field)


def _check_rows(endpoint: Endpoint, parsed: Body | None) -> None:
    if parsed is not None and endpoint.rows is not None:
        endpoint.rows.check(parsed)


def _ask(endpoint: Endpoint, request: Request, parsed: Body | None) -> tuple[Any, list[str]]:
    if parsed is not None:
        return requests.envelope(parsed, endpoint.request)
    if endpoint.request is Nothing:
        return None, []
    pairs = parse_qs(request.query.decode("ascii", "replace"))
    return requests.query({name: values[-1] for name, values in pairs.items()}, endpoint.request)


def _all_refusals(*checks: Callable[[], Any]) -> InvalidRequestError:
    """One error for what all checks refuse, so that one answer names every value that is not allowed."""
    errors: list[InvalidRequestError] = []
    for check in checks:
        try:
            check()
        except InvalidRequestError as error:
            errors.append(error)
    return InvalidRequestError(str(errors[0]), refusals=tuple(r for e in errors for r in e.refusals))
