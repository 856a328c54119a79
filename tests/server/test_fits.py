"""Where fits run, how they end, and what is left after one dies."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

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


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
