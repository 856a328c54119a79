"""The application: from an HTTP request to a handler's call and back.

Every route, the fallback too, goes through `_answer`, in the order the contract gives: key, route and method, size,
JSON, envelope; existence, conflicts and rows are the handler's. Every failure leaves as one problem body.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from blacksheep import Application, Request
from blacksheep.server.routing import Route, RouteMatch, Router

from millstream._core import Body
from millstream.errors import (
    InvalidRequestError,
    MethodNotAllowedError,
    MillstreamError,
    NotFoundError,
    OverloadedError,
    RequestTimeoutError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from millstream.server import requests
from millstream.server.endpoint import INLINE_BYTES, Answer, Call, Document, Endpoint, Nothing
from millstream.server.endpoints import ENDPOINTS
from millstream.server.limits import check_filename, check_name
from millstream.server.long_answer import LongAnswer
from millstream.server.problems import JSON, Answered, answer, answered
from millstream.server.service import Service

_log = logging.getLogger("millstream")
_encoder = msgspec.json.Encoder()
Handler = Callable[[Request], Awaitable[Answered]]
_OTHER_FORMS = re.compile(rb"multipart/|.*csv|.*ndjson|.*jsonl|.*json-seq|.*arrow|.*parquet", re.IGNORECASE)


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


class ExactMatch(RouteMatch):
    """A match that knows our handler itself, not as BlackSheep wraps it to bind parameters and results."""

    __slots__ = ("direct",)

    def __init__(self, route: ExactRoute, values: dict[str, bytes | None] | None) -> None:
        super().__init__(route, values or {})
        self.direct = route.direct


class ExactRoute(Route):
    """A route that matches its path alone: case counts, a slash at the end counts."""

    def __init__(self, pattern: str | bytes, handler: Handler) -> None:
        super().__init__(pattern, handler)
        self._rx = re.compile(self._rx.pattern.removesuffix(b"/?$") + rb"\Z")
        self.direct = handler

    def match_by_path(self, path: bytes) -> ExactMatch | None:
        """The match, or None."""
        match = self._rx.match(path)
        return ExactMatch(self, match.groupdict()) if match else None


class ExactRouter(Router):
    """A router of exact routes. Paths without parameters are looked up, the others tried in order."""

    def __init__(self) -> None:
        super().__init__()
        self._fixed: dict[tuple[str, bytes], ExactMatch] = {}

    def create_route(self, pattern: Any, handler: Any, filters: Any = None) -> Route:
        """The route for `handler`."""
        self.mark_handler(handler)
        return ExactRoute(self._get_pattern(pattern), handler)

    def add_exact(self, method: str, path: str, handler: Handler) -> None:
        """Add the route of an endpoint."""
        self.add(method, path, handler)
        route = ExactRoute(path, handler)
        if not route.has_params:
            self._fixed[method, path.encode()] = ExactMatch(route, None)

    def find(self, request: Request) -> ExactMatch:
        """The match of a request, that of the fallback if it has none."""
        found = self._fixed.get((request.method, request.scope["raw_path"])) or self.get_match(request)
        return found if isinstance(found, ExactMatch) else self.unmatched

    unmatched: ExactMatch


class DirectApplication(Application):
    """BlackSheep's application, from the server to our handler and back without what no route here uses.

    Left out are mounts, middlewares, services, bound parameters, cookies, its error pages, and answers in chunks of
    60 kB (measured: a quarter of an empty request).
    """

    def __init__(self, router: ExactRouter) -> None:
        super().__init__(router=router)
        self._find = router.find

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)  # type: ignore[no-untyped-call]
            return
        request = Request.incoming(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
        request.scope = scope
        scope["millstream.receive"] = receive
        match = self._find(request)
        request.route_values = match.values
        answered = await match.direct(request)
        await send({"type": "http.response.start", "status": answered.status, "headers": answered.headers})
        if answered.more:
            await _send_parts([answered.body, *answered.more], send)
        else:
            await send({"type": "http.response.body", "body": answered.body})


async def _send_parts(parts: list[bytes | memoryview], send: Any) -> None:
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0)  # others have their turn, also when the client takes all at once
    await send({"type": "http.response.body", "body": b""})


def build(service: Service, endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Application:
    """The ASGI application over `service`."""
    router = ExactRouter()
    for endpoint in endpoints:
        router.add_exact(endpoint.method, endpoint.path, _route(service, endpoint))
    router.unmatched = ExactMatch(ExactRoute("/", _fallback(service, endpoints)), None)
    app = DirectApplication(router)
    app.on_start += _starter(service)
    app.on_stop += _stopper(service)
    return app


def _starter(service: Service) -> Callable[[Application], Awaitable[None]]:
    async def start(app: Application) -> None:
        await service.start()

    return start


def _stopper(service: Service) -> Callable[[Application], Awaitable[None]]:
    async def stop(app: Application) -> None:
        await service.close()

    return stop


def _route(service: Service, endpoint: Endpoint) -> Handler:
    async def route(request: Request) -> Answered:
        try:
            if not endpoint.open:
                _check_key(service, request)
            return _success(await _answer(service, endpoint, request))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic of the core is no Exception
            return _failure(error, request)

    return route


def _fallback(service: Service, endpoints: tuple[Endpoint, ...]) -> Handler:
    paths = [(ExactRoute(e.path, _route(service, e)), e.method) for e in endpoints]

    async def fallback(request: Request) -> Answered:
        try:
            _check_key(service, request)
            path = request.scope["raw_path"]
            raise _unrouted(request.method, path, tuple(dict.fromkeys(m for r, m in paths if r.match_by_path(path))))
        except MillstreamError as error:
            return _failure(error, request)

    return fallback


def _unrouted(method: str, path: bytes, allowed: tuple[str, ...]) -> MillstreamError:
    shown = path[:200].decode("ascii", "replace")
    if allowed:
        return MethodNotAllowedError(
            f"{method} is not allowed on {shown}; allowed is {', '.join(allowed)}; use that.", allowed
        )
    return NotFoundError(f"There is no {shown}; GET /openapi.json lists the routes; correct the path.")


def _check_key(service: Service, request: Request) -> None:
    key = service.settings.api_key
    if key is None:
        return
    given = request.get_first_header(b"authorization") or b""
    scheme, _, token = given.partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), key.encode()):
        raise UnauthorizedError("The key is missing or wrong; send the header 'Authorization: Bearer <key>'.")


async def _answer(service: Service, endpoint: Endpoint, request: Request) -> Any:
    body, parsed = b"", None
    if endpoint.reads_body:
        body = await _read_body(service, request)
        kind = endpoint.rows.kind if endpoint.rows else None
        short = len(body) <= INLINE_BYTES
        parsed = requests.read(body, kind) if short else await service.in_thread(requests.read, body, kind)
    if parsed is None or len(parsed.envelope) <= INLINE_BYTES:
        call, warnings = _bind(service, endpoint, request, body, parsed)
    else:
        call, warnings = await service.in_thread(_bind, service, endpoint, request, body, parsed)
    work = endpoint.handler(call)
    result = await (_while_listening(work, request) if endpoint.ends_with_client else work)
    answer = result.head if isinstance(result, LongAnswer) else result
    if warnings and isinstance(answer, Answer):
        answer.warnings = warnings + (answer.warnings or [])
    return result


async def _read_body(service: Service, request: Request) -> bytes:
    most = service.settings.max_body_bytes
    headers = dict(request.scope["headers"])
    if int(headers.get(b"content-length", 0)) > most:
        raise _too_large(most)
    _check_media_type(headers)
    receive = _receive(request)
    part, more = await _part(receive)
    if more:  # most bodies come at once
        parts = bytearray(part)
        while more and len(parts) <= most:
            part, more = await _part(receive)
            parts += part
        part = bytes(parts)
    if len(part) > most:
        raise _too_large(most)
    return part


async def _part(receive: Callable[[], Awaitable[Any]]) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeftError
    return message["body"], message["more_body"]


def _receive(request: Request) -> Callable[[], Awaitable[Any]]:
    scope: Any = request.scope
    receive: Callable[[], Awaitable[Any]] = scope["millstream.receive"]
    return receive


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(
        f"The body is larger than {most} bytes (MILLSTREAM_MAX_BODY_BYTES); send the rows in several requests."
    )


def _check_media_type(headers: dict[bytes, bytes]) -> None:
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        shown = coding[:40].decode("latin-1")
        raise UnsupportedMediaTypeError(f"The body has Content-Encoding {shown!r}; allowed is none; send plain JSON.")
    kind = headers.get(b"content-type")
    if kind is not None and kind != JSON and _OTHER_FORMS.match(kind):
        shown = kind[:80].decode("latin-1")
        raise UnsupportedMediaTypeError(f"The body is {shown!r}; this route takes JSON; send application/json.")


def _bind(
    service: Service, endpoint: Endpoint, request: Request, body: bytes, parsed: Body | None
) -> tuple[Call[Any], list[str]]:
    path: Any = request.route_values or {}
    try:
        _check_path(path)
        _check_rows(endpoint, parsed)
        ask, warnings = _ask(endpoint, request, parsed)
    except InvalidRequestError:
        raise _all_refusals(
            lambda: _check_path(path),
            lambda: _ask(endpoint, request, parsed),
            lambda: _check_rows(endpoint, parsed),
        ) from None
    return Call(service, ask, path, parsed, body), warnings


def _check_path(path: dict[str, str]) -> None:
    for field, name in path.items():
        check_filename(name) if field == "filename" else check_name(name, field)


def _check_rows(endpoint: Endpoint, parsed: Body | None) -> None:
    if parsed is not None and endpoint.rows is not None:
        endpoint.rows.check(parsed)


def _ask(endpoint: Endpoint, request: Request, parsed: Body | None) -> tuple[Any, list[str]]:
    if parsed is not None:
        return requests.envelope(parsed, endpoint.request)
    if endpoint.request is Nothing:
        return None, []
    return requests.query({name: values[-1] for name, values in request.query.items()}, endpoint.request)


def _all_refusals(*checks: Callable[[], Any]) -> InvalidRequestError:
    """One error for what all checks refuse, so that one answer names every value that is not allowed."""
    errors: list[InvalidRequestError] = []
    for check in checks:
        try:
            check()
        except InvalidRequestError as error:
            errors.append(error)
    return InvalidRequestError(str(errors[0]), refusals=tuple(r for e in errors for r in e.refusals))


async def _while_listening(work: Awaitable[Any], request: Request) -> Any:
    """The result of `work`, which ends when the client leaves."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_receive(request)())
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeftError
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()


def _success(result: Any) -> Answered:
    if isinstance(result, Document):
        return answered(200, result.content_type, result.body)
    if isinstance(result, LongAnswer):
        first, rest = result.body()
        return answered(200, JSON, first, *rest)
    return answered(200, JSON, _encoder.encode(result))


def _failure(error: BaseException, request: Request) -> Answered:
    if isinstance(error, asyncio.CancelledError):
        error = OverloadedError("The server is ending; try again in a few seconds.", retry_after=5)
    elif isinstance(error, ClientLeftError):
        error = RequestTimeoutError("The client left before the answer.")
    elif not isinstance(error, MillstreamError):
        _log.error("%s %s failed", request.method, request.path, exc_info=error)
    problem = answer(error)
    if request.get_first_header(b"expect") is not None:  # the body the client holds back will not be asked for
        problem.headers.append((b"connection", b"close"))
    return problem
