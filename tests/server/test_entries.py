"""Turns, deletion and birth of named objects."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from millstream.errors import ConflictError, InvalidRequestError, NotFoundError, OverloadedError
from millstream.server.entries import Entries, Pause


class Log:
    """Records its events; a `threading.Event` as event holds the turn until it is set, a future pauses until it is."""

    def __init__(self):
        self.events = []

    def apply(self, event):
        if isinstance(event, threading.Event):
            assert event.wait(10)
        elif isinstance(event, asyncio.Future):
            self.events.append("pause")
            return Pause(lambda: event, self.apply)
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


@pytest.mark.parametrize("inline", [True, False])
def test_an_event_that_pauses_keeps_its_turn_and_takes_no_thread(entries, inline):
    async def run():
        log = entries.create("a", Log).value
        waits = [asyncio.get_running_loop().create_future() for _ in range(5)]  # one more than there are threads
        paused = [asyncio.create_task(entries.send("a", wait, inline)) for wait in waits]
        others = [entries.create(name, Log).value for name in "bc"]
        assert [await entries.send(name, 1, inline=False) for name in "bc"] == [1, 1]
        last = asyncio.create_task(entries.send("a", "last"))
        for wait in waits:
            while log.events[-1:] != ["pause"]:
                await asyncio.sleep(0)
            assert not last.done()
            wait.set_result("done")
            while log.events[-1] == "pause":
                await asyncio.sleep(0)
            log.events.append("seen")
        assert await asyncio.gather(*paused, last)
        assert [event for event in log.events if event != "seen"] == ["pause", "done"] * 5 + ["last"]
        assert [other.events for other in others] == [[1], [1]]

    asyncio.run(run())


def test_an_event_whose_client_leaves_while_it_pauses_goes_on_to_its_end(entries):
    async def run():
        log = entries.create("a", Log).value
        wait = asyncio.get_running_loop().create_future()
        first = asyncio.create_task(entries.send("a", wait, inline=False))
        while log.events != ["pause"]:
            await asyncio.sleep(0)
        second = asyncio.create_task(entries.send("a", "next"))
        first.cancel()
        await asyncio.sleep(0)
        wait.set_result("done")
        await second
        assert log.events == ["pause", "done", "next"]

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
