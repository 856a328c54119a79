"""One connection: bytes into requests, replies into bytes, in order and within bounds.

The idea: most requests arrive whole in one read and are answered without waiting for anything. For them the handler
runs to its end right where the bytes were parsed: no task, no queue, no timer, one write (measured: a third of the CPU
that an ASGI server spends on an empty request). A handler that does wait goes on as a task. Requests of one connection
are answered one after the other, in the order they came; while one waits its turn, nothing more is read.

Bounds: headers have a size, and they and the whole request a deadline; a body is kept up to its limit, and dropped once
its request was refused; an idle connection, and one that does not take its answers, is closed. Bytes that are no HTTP
are told so after all answers that are due before.
"""

from __future__ import annotations

import asyncio
import logging
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httptools

from millstream.errors import (
    HeaderTooLargeError,
    MalformedRequestError,
    MillstreamError,
    OverloadedError,
    RequestTimeoutError,
)
from millstream.server.app import Application, failure
from millstream.server.message import READ_HEADERS, Reply, Request
from millstream.settings import Settings

_log = logging.getLogger("millstream")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_SECONDS = 1.0
_TURN = 16  # requests of one connection that are answered before other connections have their turn


@dataclass
class Connections:
    """What the connections of one server share: the application, the settings, the date, and each other."""

    application: Application
    settings: Settings
    open: set[Connection] = field(default_factory=set)
    _second: int = 0
    _date: bytes = b""

    def date(self) -> bytes:
        """The value of the header `date`."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True).encode()
        return self._date


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._application = shared.application
        self._settings = shared.settings
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # What follows a request with `connection: close` is ignored, not an error that would spoil its answer.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._arriving: Request | None = None  # begun, not whole
        self._in_headers = False
        self._header_bytes = 0
        self._queue: deque[Request] = deque()  # whole, or refused before they were
        self._waiting: asyncio.Task[Reply] | None = None  # the one request that is being answered by a task
        self._leaves_with_client = False
        self._refusal: MillstreamError | None = None  # said after all answers, then the connection ends
        self._ended = False  # nothing more is read
        self._ending = False  # the server ends: close when nothing is under way
        self._choked = False  # the client does not take its answers
        self._paused = False
        self._owed = ""  # the part of a request that has a deadline: headers, request
        self._deadline: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._last_reply = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins; one too many is refused."""
        self._transport = transport
        self._shared.open.add(self)
        if len(self._shared.open) > self._settings.max_connections:
            self._refuse(OverloadedError("The server has as many connections as it takes; try again soon.", 1))
        else:
            self._owe("headers")

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. Work that ends with its client ends; other work comes to its end unheard."""
        self._shared.open.discard(self)
        self._ended = True
        self._queue.clear()
        self._owe("")
        if self._idle is not None:
            self._idle.cancel()
        if self._waiting is not None and self._leaves_with_client:
            self._waiting.cancel()

    def eof_received(self) -> bool:
        """The client sends no more. True keeps the connection until it has the answers it waits for."""
        self._ended = True
        waits = (self._waiting is not None and not self._leaves_with_client) or bool(self._queue)
        self._ending = True
        return waits

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._ended:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no upgrade is spoken here: the request is answered as plain HTTP/1.1
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Exception) and self._refusal is None:
                _log.error("a request could not be taken", exc_info=error.__context__)
            self._refuse(self._refusal or MalformedRequestError("The bytes are no HTTP/1.1 request; send one."))
        self._advance()
        if not self._ended:
            self._watch(len(data))

    def pause_writing(self) -> None:
        """The client takes its answers more slowly than they are made."""
        self._choked = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._choked = False
        self._advance()

    def end(self) -> None:
        """The server ends: finish what is under way, begin nothing. A body still on its way has a second to arrive."""
        self._ending = True
        self._close_if_done()
        if not self._transport.is_closing() and self._arriving is not None:
            self._loop.call_later(_LAST_SECONDS, self._refuse, OverloadedError("The server is ending; try again.", 5))

    def cancel(self) -> None:
        """The server's patience is over: what still works is answered with 503."""
        if self._waiting is not None:
            self._waiting.cancel()
        else:
            self._transport.close()

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._arriving = Request()
        self._in_headers = True
        self._header_bytes = 0

    def on_url(self, part: bytes) -> None:
        """A part of the target."""
        assert self._arriving is not None
        self._arriving.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, whole."""
        request = self._arriving
        assert request is not None
        request.header_bytes += len(name) + len(value) + 4
        name = name.lower()
        if name in READ_HEADERS:
            request.headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        """The headers are whole. What they refuse is answered without its body."""
        request = self._arriving
        assert request is not None
        self._in_headers = False
        if len(request.target) + request.header_bytes > self._settings.max_header_bytes:
            self._refusal = self._header_too_large()
            raise self._refusal  # so the parser stops
        parser = self._parser
        request.method = parser.get_method().decode("ascii")
        request.keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        _split(request)
        self._application.meet(request)
        if request.reply is not None:
            self._refuse_early(request)
        elif b"expect" in request.headers and self._waiting is None and not self._queue:
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        request = self._arriving
        assert request is not None
        if request.reply is None:
            self._application.take(request, part)
            if request.reply is not None:
                self._refuse_early(request)

    def on_message_complete(self) -> None:
        """The request is whole."""
        request = self._arriving
        assert request is not None
        self._arriving = None
        request.complete = True
        if self._owed:
            self._owe("")
        if request.reply is None:
            parts = request.parts
            request.body = parts[0] if len(parts) == 1 else b"".join(parts)
            request.parts = []
            self._queue.append(request)

    def _refuse_early(self, request: Request) -> None:
        if b"expect" in request.headers:
            request.keep_alive = False  # the body that the client holds back will not be asked for
        self._queue.append(request)

    def _advance(self) -> None:
        """Answer what can be answered, in order; then say what ends the connection."""
        for _ in range(_TURN):
            if not self._queue or self._waiting is not None or self._choked or self._transport.is_closing():
                break
            self._begin(self._queue.popleft())
        else:
            self._loop.call_soon(self._advance)  # other connections first
        if self._transport.is_closing():
            return
        self._read_on(not self._queue and not self._choked)
        if self._waiting is None and not self._queue:
            if self._refusal is not None:
                self._send(failure(self._refusal, Request()), close=True)
            elif self._ending:
                self._close_if_done()

    def _read_on(self, wanted: bool) -> None:
        if wanted and self._paused:
            self._paused = False
            self._transport.resume_reading()
            self._watch(0)
        elif not wanted and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _begin(self, request: Request) -> None:
        """Answer `request` now, or in a task if its handler waits for something."""
        if request.reply is not None:
            self._finish(request, request.reply)
            return
        assert request.endpoint is not None
        work: Coroutine[Any, Any, Reply] = self._application.reply(request)
        self._leaves_with_client = request.endpoint.ends_with_client
        if not self._leaves_with_client:
            try:
                awaited = work.send(None)
            except StopIteration as done:
                self._finish(request, done.value)
                return
            work = _go_on(work, awaited)
        self._waiting = self._loop.create_task(work)
        self._waiting.add_done_callback(lambda task: self._replied(request, task))

    def _replied(self, request: Request, task: asyncio.Task[Reply]) -> None:
        self._waiting = None
        if self._transport.is_closing():
            return
        self._finish(request, failure(asyncio.CancelledError(), request) if task.cancelled() else task.result())
        self._advance()

    def _finish(self, request: Request, reply: Reply) -> None:
        request.reply = reply
        close = not request.keep_alive or (self._ending and not self._queue)
        self._send(reply, close, request.method == "HEAD")
        self._last_reply = self._loop.time()
        if self._idle is None and not close:
            self._idle = self._loop.call_later(self._settings.keep_alive_seconds, self._been_idle)

    def _send(self, reply: Reply, close: bool, headless: bool = False) -> None:
        head = reply.head(self._shared.date(), close)
        self._transport.writelines((head,) if headless else (head, reply.body))
        if close:
            self._ended = True
            self._queue.clear()
            self._transport.close()

    def _close_if_done(self) -> None:
        """Close unless a request is being answered, or its body is still arriving."""
        if self._waiting is None and not self._queue and (self._arriving is None or self._in_headers or self._ended):
            self._ended = True
            self._transport.close()

    def _refuse(self, error: MillstreamError) -> None:
        """Answer `error` after all answers that are due, then close. Nothing more is read."""
        if self._transport.is_closing():
            return
        self._ended = True
        self._owe("")
        self._refusal = error
        if self._arriving is not None and self._arriving.reply is not None:
            self._refusal, self._ending = None, True  # it has its answer, or will get it
        self._advance()

    def _watch(self, arrived: int) -> None:
        """Set the deadline for what the client owes after `arrived` bytes."""
        if self._arriving is None:
            return
        if self._in_headers:
            self._header_bytes += arrived
            if self._header_bytes > self._settings.max_header_bytes:
                self._refuse(self._header_too_large())
                return
        self._owe("" if self._queue else "headers" if self._in_headers else "request")

    def _owe(self, part: str) -> None:
        """The client owes this part of a request from now on, unless it owed it already."""
        if part == self._owed:
            return
        self._owed = part
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if part:
            seconds = self._settings.header_seconds if part == "headers" else self._settings.request_seconds
            self._deadline = self._loop.call_later(seconds, self._too_late, part, seconds)

    def _too_late(self, part: str, seconds: float) -> None:
        self._refuse(RequestTimeoutError(f"The {part} did not arrive whole within {seconds:g} s; send faster."))

    def _been_idle(self) -> None:
        """Close a connection on which nothing happens; look again later if something did. One timer, rarely set."""
        rest = self._last_reply + self._settings.keep_alive_seconds - self._loop.time()
        if self._waiting is not None or self._owed:
            rest = self._settings.keep_alive_seconds
        if rest > 0:
            self._idle = self._loop.call_later(rest, self._been_idle)
        elif self._choked:
            self._transport.abort()
        else:
            self._transport.close()

    def _header_too_large(self) -> HeaderTooLargeError:
        most = self._settings.max_header_bytes
        return HeaderTooLargeError(
            f"The request line and headers are larger than {most} bytes (MILLSTREAM_MAX_HEADER_BYTES); send less."
        )


def _split(request: Request) -> None:
    """The target into path and query. It may be an absolute address; a fragment is dropped."""
    target = request.target
    if target.startswith(b"/") and b"#" not in target:
        request.path, _, request.query = target.partition(b"?")
    else:
        url = httptools.parse_url(target)
        request.path, request.query = url.path or b"/", url.query or b""


async def _go_on(work: Coroutine[Any, Any, Reply], awaited: Any) -> Reply:
    return await _steps(work, awaited)


@types.coroutine
def _steps(work: Coroutine[Any, Any, Reply], awaited: Any) -> Generator[Any, Any, Reply]:
    """The further steps of a coroutine whose first step ran outside the task that awaits it now."""
    step: Callable[[Any], Any]
    given: Any
    while True:
        try:
            given = yield awaited
            step = work.send
        except BaseException as error:
            given, step = error, work.throw
        try:
            awaited = step(given)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
