"""uvicorn's protocol with bounds: what no ASGI server does by itself.

A connection has a deadline for the headers of a request and one for the whole request, headers have a size, and bytes
that are no HTTP are answered with the body every failure has. Large bodies never pile up: uvicorn stops reading while
the application has not taken what arrived, and what arrives after the answer is dropped.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from millstream.errors import (
    HeaderTooLargeError,
    MalformedRequestError,
    MillstreamError,
    OverloadedError,
    RequestTimeoutError,
)
from millstream.server.problems import PROBLEM_JSON, Answered, answer
from millstream.settings import Settings


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `settings` is set by a subclass made for the server (`bounded`)."""

    settings: Settings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins; one too many is refused."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = False
        self._arriving = True  # a new connection owes us headers
        self._refusal: MillstreamError | None = None
        self._ended = False
        self._whole_one = False
        self._deadline: asyncio.TimerHandle | None = None
        if len(self.connections) > self.settings.max_connections:
            self._refuse(OverloadedError("The server has as many connections as it takes; try again soon.", 1))
        else:
            self._arm(self.settings.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ended."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._ended:
            return
        self._whole_one = False
        self._feed(data)
        if self._ended:
            return
        if self._in_headers and not self._whole_one:  # else part of the data belongs to an earlier request
            self._header_bytes += len(data)
        if self._in_headers and self._header_bytes > self.settings.max_header_bytes:
            self._refuse(self._header_too_large())
        elif self._deadline is None and self._owes():
            self._arm(self.settings.header_seconds)

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no upgrade is spoken here: the request was answered as plain HTTP/1.1
        except httptools.HttpParserError:
            self._refuse(self._refusal or MalformedRequestError("The bytes are no HTTP/1.1 request; send one."))

    def _owes(self) -> bool:
        """Whether the client has begun something that it has not finished."""
        return self._arriving or self.cycle is None or self.cycle.response_complete

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._arriving = self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        """The headers are whole: the body has its own deadline."""
        self._in_headers = False
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.settings.max_header_bytes:
            self._refusal = self._header_too_large()
            raise self._refusal
        super().on_headers_complete()
        self._arm(self.settings.request_seconds)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._arriving = False
        self._whole_one = True
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is out; what was refused meanwhile is said after it."""
        super().on_response_complete()
        if self._ended and self._refusal is not None and not self.pipeline:
            self._write(answer(self._refusal))

    def _header_too_large(self) -> HeaderTooLargeError:
        most = self.settings.max_header_bytes
        return HeaderTooLargeError(
            f"The request line and headers are larger than {most} bytes (MILLSTREAM_MAX_HEADER_BYTES); send less."
        )

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._too_late, seconds)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self, seconds: float) -> None:
        self._deadline = None
        part = "headers" if self._in_headers or not self._arriving or self.cycle is None else "request"
        self._refuse(RequestTimeoutError(f"The {part} did not arrive whole within {seconds:g} s; send faster."))

    def _refuse(self, error: MillstreamError) -> None:
        """Answer `error` after all earlier answers, then close. Nothing more is read."""
        self._ended = True
        self._refusal = error
        self._disarm()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._write(answer(error))
        elif cycle.more_body:  # the broken request itself: its handler waits for a body that will not come
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
            else:
                self._write(answer(error))

    def _write(self, problem: Answered) -> None:
        status = HTTPStatus(problem.status)
        head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        head += [name + b": " + value for name, value in problem.headers]
        head += [b"content-type: " + PROBLEM_JSON, b"content-length: %d" % len(problem.body), b"connection: close"]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + problem.body)
        self.transport.close()


def bounded(settings: Settings) -> type[BoundedProtocol]:
    """The protocol with these settings, as uvicorn wants it: a class."""
    return type("BoundedProtocol", (BoundedProtocol,), {"settings": settings})
