"""Turns, deletion and birth of named objects."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from millstream.errors import ConflictError, InvalidRequestError, NotFoundError, OverloadedError
from millstream.server.entries import Entries


class Log:
    """Records its events; a `threading.Event` as event holds the turn until it is set."""

    def __init__(self):
        self.events = []

    def apply(self, event):
        if isinstance(event, threading.Event):
            assert event.wait(10)
        elif event == "bad":
            raise InvalidRequestError("bad")
        self.events.append(event)
        return len(self.events)


@pytest.fixture
def entries():
    threads = ThreadPoolExecutor(4)
    yield Entries("Log", "Make it first.", 3, threads)
    threads.shutdown()


def test_events_happen_in_order_of_arrival_wherever_they_run(entries):
    async def run():
        gate = threading.Event()
        log = entries.create("a", Log).value
        tasks = [asyncio.create_task(entries.send("a", gate, inline=False))]
        for number in range(20):
            tasks.append(asyncio.create_task(entries.send("a", number, inline=number % 3 > 0)))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        assert log.events == [gate, *range(20)]

    asyncio.run(run())


def test_a_waiter_that_leaves_does_not_let_a_second_writer_in(entries):
    async def run():
        gate = threading.Event()
        log = entries.create("a", Log).value
        first = asyncio.create_task(entries.send("a", gate, inline=False))
        second = asyncio.create_task(entries.send("a", "next"))
        for _ in range(3):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert log.events == []
        assert not second.done()
        gate.set()
        await second
        assert log.events == [gate, "next"]

    asyncio.run(run())


def test_what_queued_before_a_delete_happens_and_what_queued_behind_finds_nothing(entries):
    async def run():
        gate = threading.Event()
        log = entries.create("a", Log).value
        tasks = [
            asyncio.create_task(c)
            for c in (
                entries.send("a", gate, inline=False),
                entries.send("a", "before"),
                entries.delete("a"),
                entries.send("a", "behind"),
                entries.delete("a"),
            )
        ]
        for _ in range(3):
            await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[:3] == [1, 2, log]
        assert [type(r) for r in results[3:]] == [NotFoundError, NotFoundError]
        assert log.events == [gate, "before"]
        assert entries.create("a", Log).value is not log

    asyncio.run(run())


def test_an_object_whose_first_event_is_refused_never_existed(entries):
    async def run():
        with pytest.raises(InvalidRequestError):
            await entries.send_or_create("a", Log, "bad")
        assert not list(entries)
        assert await entries.send_or_create("a", Log, "good") == 1
        with pytest.raises(InvalidRequestError):
            await entries.send_or_create("a", Log, "bad")
        assert entries.get("a").value.events == ["good"]

    asyncio.run(run())


def test_two_first_calls_of_which_the_first_is_refused(entries):
    async def run():
        results = await asyncio.gather(
            entries.send_or_create("a", Log, "bad", inline=False),
            entries.send_or_create("a", Log, "good", inline=False),
            return_exceptions=True,
        )
        assert isinstance(results[0], InvalidRequestError)
        assert results[1] == 1
        assert [e.name for e in entries] == ["a"]

    asyncio.run(run())


def test_a_name_is_given_once_and_there_is_a_most(entries):
    async def run():
        entries.create("a", Log)
        with pytest.raises(ConflictError, match="Log 'a' exists already"):
            entries.create("a", Log)
        entries.create("b", Log)
        entries.create("c", Log)
        with pytest.raises(OverloadedError):
            entries.create("d", Log)
        with pytest.raises(NotFoundError, match=r"Log 'x' not found\. Make it first\."):
            await entries.send("x", 1)

    asyncio.run(run())
