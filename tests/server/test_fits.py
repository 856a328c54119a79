"""Where fits run, how they end, and what is left after one dies."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from millstream.errors import FitFailedError, InvalidRequestError, OverloadedError, TooLargeError
from millstream.server.fits import Fits
from millstream.settings import Settings


def echo(text):
    return text + b"!"


def process_id():
    return str(os.getpid()).encode()


def refuse():
    raise InvalidRequestError("no", loc=("data", 3))


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def take(count):
    return len(bytearray(count)).to_bytes(8, "big")


def niceness():
    return os.nice(0).to_bytes(1, "big")


def spin(path):
    Path(path).write_text(str(os.getpid()))
    while True:
        time.monotonic()


@pytest.fixture(scope="module")
def fits():
    made = Fits(replace(Settings(), fit_workers=1, fit_queue=1, fit_seconds=30.0))
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("place", ["thread", "process"])
def test_a_fit_returns_its_bytes_and_raises_its_error(fits, place):
    async def run():
        assert await fits.run(place, echo, b"a") == b"a!"
        with pytest.raises(InvalidRequestError, match="no") as caught:
            await fits.run(place, refuse)
        assert caught.value.refusals[0].loc == ("data", 3)

    asyncio.run(run())


def test_a_child_that_dies_fails_its_fit_and_is_replaced(fits):
    async def run():
        with pytest.raises(FitFailedError, match="died"):
            await fits.run("process", die)
        assert await fits.run("process", echo, b"a") == b"a!"

    asyncio.run(run())


def test_a_child_that_dies_idle_is_replaced(fits):
    async def run():
        child = int(await fits.run("process", process_id))
        os.kill(child, signal.SIGKILL)
        while _alive(child):
            await asyncio.sleep(0.01)
        while True:  # a fit that meets the dead child fails; the next ones do not
            with contextlib.suppress(FitFailedError):
                assert int(await fits.run("process", process_id)) != child
                return

    asyncio.run(run())


def test_cancelling_ends_the_child(fits, tmp_path):
    async def run():
        path = tmp_path / "pid"
        task = asyncio.create_task(fits.run("process", spin, str(path)))
        while not (path.exists() and path.read_text()):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while _alive(int(path.read_text())):
            await asyncio.sleep(0.01)
        assert fits.pending == 0

    asyncio.run(run())


def test_a_fit_that_takes_too_much_memory_is_told_and_its_child_lives_on():
    small = Fits(replace(Settings(), fit_workers=1, fit_memory_bytes=256 * 1024**2))

    async def run():
        child = await small.run("process", process_id)
        with pytest.raises(TooLargeError, match="MILLSTREAM_FIT_MEMORY_BYTES"):
            await small.run("process", take, 300 * 1024**2)
        assert await small.run("process", take, 100 * 1024**2) == (100 * 1024**2).to_bytes(8, "big")
        assert await small.run("process", process_id) == child

    small.start()
    asyncio.run(run())
    small.close()


def test_children_are_polite(fits):
    assert asyncio.run(fits.run("process", niceness)) == b"\x0a"


def test_children_die_with_their_server(tmp_path):
    """However it ends: here by SIGKILL, while a fit runs."""
    path = tmp_path / "pid"
    server = subprocess.Popen([sys.executable, "-c", SPINNING_SERVER, str(path)])
    while not (path.exists() and path.read_text()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"the server ended with {server.wait(0.05)}")
    server.kill()
    server.wait(10)
    child = int(path.read_text())

    async def run():
        while _alive(child):
            await asyncio.sleep(0.01)

    asyncio.run(run())


SPINNING_SERVER = """
import asyncio, sys
from dataclasses import replace
from millstream.server.fits import Fits
from millstream.settings import Settings
from tests.server.test_fits import spin

fits = Fits(replace(Settings(), fit_workers=1))
fits.start()
asyncio.run(fits.run("process", spin, sys.argv[1]))
"""


def test_more_fits_in_processes_than_may_wait_are_refused(tmp_path):
    few = Fits(replace(Settings(), fit_workers=1, fit_queue=1))

    async def run():
        tasks = [asyncio.create_task(few.run("process", spin, str(tmp_path / f"pid{n}"))) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as caught:
            await few.run("process", echo, b"")
        assert caught.value.retry_after > 0
        assert await few.run("thread", echo, b"a") == b"a!"
        for task in tasks:
            task.cancel()
        assert await asyncio.gather(*tasks, return_exceptions=True) == [ANY, ANY]
        assert await few.run("process", echo, b"b") == b"b!"

    few.start()
    asyncio.run(run())
    few.close()


def test_a_fit_that_takes_too_long_is_ended(tmp_path):
    hurried = Fits(replace(Settings(), fit_workers=1, fit_seconds=0.3))

    async def run():
        with pytest.raises(TooLargeError, match="MILLSTREAM_FIT_SECONDS"):
            await hurried.run("process", spin, str(tmp_path / "pid"))

    hurried.start()
    asyncio.run(run())
    hurried.close()


def test_more_fits_than_may_wait_are_refused():
    few = Fits(replace(Settings(), fit_workers=1, fit_queue=1))
    gate = threading.Event()

    def wait():
        assert gate.wait(10)
        return b""

    async def run():
        tasks = [asyncio.create_task(few.run("thread", wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as caught:
            await few.run("thread", wait)
        assert caught.value.retry_after > 0
        gate.set()
        assert await asyncio.gather(*tasks) == [b"", b""]

    asyncio.run(run())
    few.close()


def test_fits_of_streams_wait_where_requests_are_refused_and_let_first_fits_pass():
    few = Fits(replace(Settings(), fit_workers=1, fit_queue=0))
    gate, order = threading.Event(), []

    def fit(name):
        assert gate.wait(10)
        order.append(name)

    async def run():
        retrains = [asyncio.create_task(few.run_for_stream("thread", False, fit, at)) for at in range(100)]
        await asyncio.sleep(0)
        first = asyncio.create_task(few.run_for_stream("thread", True, fit, "first"))
        asked = asyncio.create_task(few.run("thread", fit, "asked"))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*retrains, first, asked)

    asyncio.run(run())
    few.close()
    assert [name for name in order if name not in {"first", "asked"}] == list(range(100))
    assert max(order.index("first"), order.index("asked")) < 30


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
