"""What travels between a connection and the application: a request as it arrived, and the reply to it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from millstream.server.endpoint import Endpoint

JSON = b"application/json"
# The only headers anything here depends on; the others are counted and dropped.
READ_HEADERS = frozenset((b"authorization", b"content-encoding", b"content-length", b"content-type", b"expect"))


class Reply(msgspec.Struct, frozen=True):
    """An answer, whole."""

    status: int
    content_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def head(self, date: bytes, close: bool) -> bytes:
        """The status line and the headers, to their last byte."""
        lines = [_STATUS_LINES[self.status], b"content-type: ", self.content_type, b"\r\ndate: ", date]
        for name, value in self.headers:
            lines += (b"\r\n", name, b": ", value)
        if close:
            lines.append(b"\r\nconnection: close")
        lines.append(b"\r\ncontent-length: %d\r\n\r\n" % len(self.body))
        return b"".join(lines)


class Request:
    """One request. The connection fills it; `endpoint`, `values` and `reply` are the application's."""

    __slots__ = (
        "body",
        "complete",
        "endpoint",
        "header_bytes",
        "headers",
        "keep_alive",
        "method",
        "parts",
        "path",
        "query",
        "reply",
        "size",
        "target",
        "values",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""  # as it came
        self.path = b""  # of the target, not decoded
        self.query = b""
        self.headers: dict[bytes, bytes] = {}  # of READ_HEADERS, names in small letters, the first of each
        self.header_bytes = 0
        self.keep_alive = True
        self.parts: list[bytes] = []
        self.size = 0
        self.body = b""
        self.complete = False
        self.endpoint: Endpoint | None = None
        self.values: dict[str, str] = {}  # of the path
        self.reply: Reply | None = None  # given before the body was read: what arrives of it is dropped


_STATUS_LINES: dict[int, bytes] = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
