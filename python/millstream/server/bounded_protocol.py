"""uvicorn's protocol with bounds, and without the detours that cost more than a short handler.

Bounds: a connection has a deadline for the headers of a request and one for the whole request, headers have a size, and
bytes that are no HTTP are answered with the body every failure has. Large bodies never pile up: uvicorn stops reading
while the application has not taken what arrived, and what arrives after the answer is dropped.

Detours: uvicorn runs every request in a task of its own, which the event loop begins one round later, and writes head
and body by two system calls. Here a request begins where its bytes were parsed and becomes a task when it waits for
something, and an answer that is whole is one write (measured: a third less CPU for a request that does nothing).
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from millstream.errors import (
    HeaderTooLargeError,
    MalformedRequestError,
    MillstreamError,
    OverloadedError,
    RequestTimeoutError,
    TooLargeError,
)
from millstream.server.problems import Answered, answer
from millstream.settings import Settings

_LAST_SECONDS = 1.0


class OneWriteCycle(RequestResponseCycle):
    """uvicorn's cycle of request and response; an answer that comes whole is written at once."""

    _start: Any = None

    async def send(self, message: Any) -> None:
        """Take one message of the application. Its headers are ours or BlackSheep's, so they are valid."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is None or message.get("more_body") or self.flow.write_paused or self.scope["method"] == "HEAD":
            if start is not None:
                await super().send(start)
            await super().send(message)
        elif not self.disconnected:
            self._write_whole(start, message["body"])

    def _write_whole(self, start: Any, body: bytes) -> None:
        lines = [STATUS_LINE[start["status"]]]
        closes = False
        for name, value in (*self.default_headers, *start["headers"]):
            lines += (name, b": ", value, b"\r\n")
            closes = closes or name == b"connection"  # the only value it is given is "close"
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.writelines((b"".join(lines), body))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `settings` is set by a subclass made for the server (`bounded`)."""

    settings: Settings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins; one too many is refused."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = False
        self._arriving = False
        self._refusal: MillstreamError | None = None
        self._ended = False
        self._whole_one = False
        self._due: tuple[OneWriteCycle, Any] | None = None  # begins when the bytes at hand are parsed
        self._running: OneWriteCycle | None = None  # the newest that has begun
        self._owed = ""  # the part of a request that has a deadline: headers, request
        self._deadline: asyncio.TimerHandle | None = None
        if len(self.connections) > self.settings.max_connections:
            self._refuse(OverloadedError("The server has as many connections as it takes; try again soon.", 1))
        else:
            self._owe("headers")

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ended."""
        self._owe("")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._ended:
            return
        self._whole_one = False
        self._feed(data)
        if self._due is not None:
            (cycle, app), self._due = self._due, None
            self._begin(cycle, app)
        if self._ended or not self._arriving:
            return
        if self._in_headers and not self._whole_one:  # else part of the data belongs to an earlier request
            self._header_bytes += len(data)
        if self._in_headers and self._header_bytes > self.settings.max_header_bytes:
            self._refuse(self._header_too_large())
        else:
            self._owe("headers" if self._in_headers else "request")

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no upgrade is spoken here: the request was answered as plain HTTP/1.1
        except httptools.HttpParserError as error:
            self._refuse(self._refusal or _unreadable(error))

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._arriving = self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        """The headers are whole: the request begins, or waits for its turn. As in uvicorn, with a cycle of ours."""
        self._in_headers = False
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > self.settings.max_header_bytes:
            self._refusal = self._header_too_large()
            raise self._refusal
        self._describe()
        before = self.cycle
        self.cycle = cycle = OneWriteCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.scope["http_version"] != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._due = (cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _describe(self) -> None:
        """Method, path and query for the application. The target may be an absolute address."""
        scope, target = self.scope, self.url
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = self.parser.get_http_version()
        if target.startswith(b"/") and b"#" not in target:
            path, _, query = target.partition(b"?")
        else:
            url = httptools.parse_url(target)
            path, query = url.path or b"/", url.query or b""
        scope["raw_path"], scope["query_string"] = path, query
        scope["path"] = unquote(path.decode("ascii"))

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._arriving = False
        self._whole_one = True
        self._owe("")
        super().on_message_complete()

    def _begin(self, cycle: OneWriteCycle, app: Any) -> None:
        """Run the application until it is done or waits; then a task goes on with it."""
        self._running = cycle
        work = cycle.run_asgi(app)
        try:
            awaited = work.send(None)
        except StopIteration:
            return
        task = self.loop.create_task(_go_on(work, awaited))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Begin a request that waited for its turn."""
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer is out; what was refused meanwhile is said after it."""
        super().on_response_complete()
        if self._ended and self._refusal is not None and self._all_answered():
            self._write(answer(self._refusal))

    def _all_answered(self) -> bool:
        return not self.pipeline and (self._running is None or self._running.response_complete)

    def shutdown(self) -> None:
        """The server ends: finish what is under way, begin nothing. A body still on its way has a second to arrive."""
        super().shutdown()
        if self._arriving and not self.transport.is_closing():
            ending = OverloadedError("The server is ending; try again in a few seconds.", 5)
            self.loop.call_later(_LAST_SECONDS, self._end_arriving, ending)

    def _end_arriving(self, error: MillstreamError) -> None:
        if self._arriving:
            self._refuse(error)

    def _header_too_large(self) -> HeaderTooLargeError:
        most = self.settings.max_header_bytes
        return HeaderTooLargeError(
            f"The request line and headers are larger than {most} bytes (MILLSTREAM_MAX_HEADER_BYTES); send less."
        )

    def _owe(self, part: str) -> None:
        """The client owes this part of a request from now on, unless it owed it already. A request that arrives whole
        owes nothing, so it needs no timer."""
        if part == self._owed:
            return
        self._owed = part
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if part:
            seconds = self.settings.header_seconds if part == "headers" else self.settings.request_seconds
            self._deadline = self.loop.call_later(seconds, self._too_late, part, seconds)

    def _too_late(self, part: str, seconds: float) -> None:
        self._refuse(RequestTimeoutError(f"The {part} did not arrive whole within {seconds:g} s; send faster."))

    def _refuse(self, error: MillstreamError) -> None:
        """Answer `error` after all earlier answers, then close. Nothing more is read."""
        self._ended = True
        self._refusal = error
        self._owe("")
        if self.transport.is_closing():
            return
        broken = self.cycle if self.cycle is not None and self.cycle.more_body else None
        if broken is not None and self.pipeline and self.pipeline[0][0] is broken:
            self.pipeline.popleft()  # it has not begun, and will not
        elif broken is not None and self._due is not None and self._due[0] is broken:
            self._due = None
        elif broken is not None and broken.response_complete:
            self.transport.close()  # answered before its body came; a second answer would be nobody's
            return
        elif broken is not None:  # its handler waits for a body that will not come
            broken.disconnected = True
            broken.message_event.set()
            if broken.response_started:
                self.transport.close()
            else:
                self._write(answer(error))
            return
        if self._due is None and self._all_answered():
            self._write(answer(error))

    def _write(self, problem: Answered) -> None:
        lines = [STATUS_LINE[problem.status].rstrip()]
        lines += [name + b": " + value for name, value in (*problem.headers, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + problem.body)
        self.transport.close()


def _unreadable(error: httptools.HttpParserError) -> MillstreamError:
    if "Content-Length overflow" in str(error):
        return TooLargeError("The Content-Length is beyond 64 bits, more than any server takes; send less.")
    return MalformedRequestError("The bytes are no HTTP/1.1 request; send one.")


def bounded(settings: Settings) -> type[BoundedProtocol]:
    """The protocol with these settings, as uvicorn wants it: a class."""
    return type("BoundedProtocol", (BoundedProtocol,), {"settings": settings})


async def _go_on(work: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _steps(work, awaited)


@types.coroutine
def _steps(work: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
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
        except StopIteration:
            return
