"""The protocol over a real socket, in front of an application of a few lines."""

import asyncio

import pytest
import uvicorn
from millstream.server.bounded_protocol import bounded
from millstream.settings import Settings

GET = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"


class Paths:
    """An ASGI application: answers with path and body, at once, after `released` (/wait), or in parts (/parts)."""

    def __init__(self):
        self.released = asyncio.Event()
        self.begun = asyncio.Event()

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["path"] == "/wait":
            self.begun.set()
            await asyncio.shield(asyncio.ensure_future(self.released.wait()))
            await asyncio.sleep(0)
        if scope["path"] == "/fail":
            raise RuntimeError("it fails")
        answer = scope["path"].encode() + scope["query_string"] + body
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        if scope["path"] == "/parts":
            await send({"type": "http.response.body", "body": answer[:3], "more_body": True})
            answer = answer[3:]
        await send({"type": "http.response.body", "body": answer})


def served(talk, **settings):
    """What `talk(application, reader, writer)` returns, beside a server with that application."""

    async def run():
        application, bounds = Paths(), bounded(Settings(**settings))
        config = uvicorn.Config(
            application, port=0, http=bounds, lifespan="off", log_config=None, server_header=False, date_header=False
        )
        config.timeout_keep_alive = settings.get("keep_alive_seconds", 5)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve())
        while not server.started:
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        try:
            return await asyncio.wait_for(talk(application, reader, writer), 20)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(run())


async def body_of(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))


def test_answers_keep_the_order_of_the_requests_even_if_the_first_waits():
    async def talk(application, reader, writer):
        writer.write(GET % b"wait" + GET % b"b" + GET % b"c")
        await application.begun.wait()
        application.released.set()
        return [await body_of(reader) for _ in range(3)]

    assert served(talk) == [b"/wait", b"/b", b"/c"]


def test_many_requests_in_one_packet_are_all_answered():
    async def talk(application, reader, writer):
        writer.write(b"".join(GET % b"%d" % n for n in range(1000)))
        return [await body_of(reader) for _ in range(1000)]

    assert served(talk) == [b"/%d" % n for n in range(1000)]


def test_an_idle_connection_is_closed_after_its_time():
    async def talk(application, reader, writer):
        writer.write(GET % b"a" + b"\r\n")
        return await body_of(reader), await reader.read()

    assert served(talk, keep_alive_seconds=0.05) == (b"/a", b"")


def test_an_answer_in_parts_arrives_whole():
    async def talk(application, reader, writer):
        writer.write(GET % b"parts" + GET % b"a")
        return await body_of(reader), await body_of(reader)

    assert served(talk) == (b"/parts", b"/a")


def test_an_application_that_fails_is_a_500_and_the_connection_ends():
    async def talk(application, reader, writer):
        writer.write(GET % b"fail")
        return await reader.read()

    assert served(talk).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("request_line", [b"GET /a HTTP/1.1\r\nconnection: close", b"GET /a HTTP/1.0"])
def test_a_client_that_wants_to_end_is_told_so_and_left(request_line):
    async def talk(application, reader, writer):
        writer.write(request_line + b"\r\nhost: x\r\n\r\n")
        return await reader.read()

    assert served(talk) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n/a"


def test_the_answer_to_head_has_no_body():
    async def talk(application, reader, writer):
        writer.write(b"HEAD /abc HTTP/1.1\r\nconnection: close\r\n\r\n")
        return await reader.read()

    head, _, rest = served(talk).partition(b"\r\n\r\n")
    assert b"content-length: 4" in head
    assert rest == b""


def test_a_body_in_parts_arrives_whole_and_continue_is_said():
    async def talk(application, reader, writer):
        writer.write(b"POST /p HTTP/1.1\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n")
        line = await reader.readuntil(b"\r\n\r\n")
        for part in (b"3\r\nabc\r\n", b"2\r\nde\r\n0\r", b"\n\r\n"):
            writer.write(part)
            await writer.drain()
        return line, await body_of(reader)

    assert served(talk) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"/pabcde")


@pytest.mark.parametrize(
    ("target", "seen"),
    [(b"/a?x=1", b"/ax=1"), (b"http://host/a?x", b"/ax"), (b"/a#b", b"/a"), (b"/a%20b", b"/a b"), (b"/a?", b"/a")],
)
def test_path_and_query_are_taken_from_any_form_of_target(target, seen):
    async def talk(application, reader, writer):
        writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
        return await body_of(reader)

    assert served(talk) == seen
