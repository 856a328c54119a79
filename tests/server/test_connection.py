"""A connection over a real socket, in front of an application of a few lines."""

import asyncio
from types import SimpleNamespace

import pytest
from millstream.errors import OverloadedError
from millstream.server.connection import Connection, Connections
from millstream.server.message import Reply
from millstream.server.problems import answer
from millstream.settings import Settings

GET = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"


class Paths:
    """Answers with the path: at once, or after `released` when it begins with /wait or /fit."""

    def __init__(self):
        self.released = asyncio.Event()
        self.begun = asyncio.Event()
        self.ended_early = asyncio.Event()

    def meet(self, request):
        request.endpoint = SimpleNamespace(ends_with_client=request.path.startswith(b"/fit"))

    def take(self, request, part):
        request.parts.append(part)

    async def reply(self, request):
        try:
            if request.path.startswith((b"/wait", b"/fit")):
                self.begun.set()
                await asyncio.shield(asyncio.ensure_future(self.released.wait()))
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.ended_early.set()
            return answer(OverloadedError("Ending.", 5))
        return Reply(200, b"text/plain", request.path + request.body)


def served(talk, **settings):
    """Run `talk(application, connections, reader, writer)` against a connection."""

    async def run():
        application = Paths()
        connections = Connections(application, Settings(**settings))
        server = await asyncio.get_running_loop().create_server(lambda: Connection(connections), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            return await asyncio.wait_for(talk(application, connections, reader, writer), 20)
        finally:
            writer.close()
            server.close()

    return asyncio.run(run())


async def body_of(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))


def test_answers_keep_the_order_of_the_requests_even_if_the_first_waits():
    async def talk(application, connections, reader, writer):
        writer.write(GET % b"wait" + GET % b"b" + GET % b"c")
        await application.begun.wait()
        application.released.set()
        return [await body_of(reader) for _ in range(3)]

    assert served(talk) == [b"/wait", b"/b", b"/c"]


def test_many_requests_in_one_packet_are_all_answered():
    async def talk(application, connections, reader, writer):
        writer.write(b"".join(GET % b"%d" % n for n in range(1000)))
        return [await body_of(reader) for _ in range(1000)]

    assert served(talk) == [b"/%d" % n for n in range(1000)]


def test_a_client_that_only_stops_sending_gets_its_answer():
    async def talk(application, connections, reader, writer):
        writer.write(GET % b"wait")
        writer.write_eof()
        await application.begun.wait()
        application.released.set()
        answered = await body_of(reader)
        return answered, await reader.read()

    assert served(talk) == (b"/wait", b"")


def test_work_that_ends_with_its_client_is_cancelled_when_it_leaves():
    async def talk(application, connections, reader, writer):
        writer.write(GET % b"fit")
        await application.begun.wait()
        writer.close()
        await application.ended_early.wait()

    served(talk)


def test_other_work_comes_to_its_end_when_the_client_leaves():
    async def talk(application, connections, reader, writer):
        writer.write(GET % b"wait")
        await application.begun.wait()
        writer.transport.abort()
        application.released.set()
        while connections.open:
            await asyncio.sleep(0)
        return application.ended_early.is_set()

    assert served(talk) is False


def test_what_still_works_when_the_patience_is_over_is_answered_with_503():
    async def talk(application, connections, reader, writer):
        writer.write(GET % b"wait")
        await application.begun.wait()
        for connection in [*connections.open]:
            connection.end()
            connection.cancel()
        return await reader.read()

    answered = served(talk)
    assert answered.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close" in answered


@pytest.mark.parametrize("sent", [b"", GET % b"a", GET % b"a" + b"GET /b HT"])
def test_an_idle_connection_closes_when_the_server_ends(sent):
    async def talk(application, connections, reader, writer):
        writer.write(sent)
        if sent:
            await body_of(reader)
        while not connections.open:
            await asyncio.sleep(0)
        for connection in [*connections.open]:
            connection.end()
        return await reader.read()

    assert served(talk) == b""


def test_an_idle_connection_is_closed_after_its_time():
    async def talk(application, connections, reader, writer):
        writer.write(GET % b"a")
        return await body_of(reader), await reader.read()

    assert served(talk, keep_alive_seconds=0.05) == (b"/a", b"")


def test_a_client_that_does_not_read_its_answers_is_dropped():
    async def talk(application, connections, reader, writer):
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: 30000000\r\n\r\n" + b"x" * 30_000_000)
        while connections.open:
            await asyncio.sleep(0.01)

    served(talk, keep_alive_seconds=0.2)


def test_the_answer_to_head_has_no_body():
    async def talk(application, connections, reader, writer):
        writer.write(b"HEAD /abc HTTP/1.1\r\nconnection: close\r\n\r\n")
        return await reader.read()

    head, _, rest = served(talk).partition(b"\r\n\r\n")
    assert b"content-length: 4" in head
    assert rest == b""


def test_a_body_in_parts_arrives_whole_and_continue_is_said():
    async def talk(application, connections, reader, writer):
        writer.write(b"POST /p HTTP/1.1\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n")
        line = await reader.readuntil(b"\r\n\r\n")
        for part in (b"3\r\nabc\r\n", b"2\r\nde\r\n0\r", b"\n\r\n"):
            writer.write(part)
            await writer.drain()
        return line, await body_of(reader)

    assert served(talk) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"/pabcde")


@pytest.mark.parametrize(
    ("target", "path"), [(b"/a?x=1", b"/a"), (b"http://host/a?x", b"/a"), (b"/a#b", b"/a"), (b"/a%20b", b"/a%20b")]
)
def test_the_path_is_taken_from_any_form_of_target(target, path):
    async def talk(application, connections, reader, writer):
        writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
        return await body_of(reader)

    assert served(talk) == path
