"""Where models are fitted: in a few threads, or in child processes that can be killed.

A fit is a function of module level, its arguments plain data, its result the bytes of a model file. Backends that
compute without the GIL for milliseconds fit in a thread; those that lean on scikit-learn, PyOD or torch fit in a child:
it keeps their imports and their time away from the server, and a fit can be ended. Children come from a forkserver that
has imported the heavy packages once, and each fits a small model before it takes work, so no request pays for that
(measured: 5 s for a first result without). A child that dies fails its one fit and is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FitTimeout
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from typing import Any, Literal, TypeVar

from pebble import CONSTS, ProcessExpired, ProcessPool

from millstream.errors import FitFailedError, MillstreamError, OverloadedError, TooLargeError
from millstream.settings import Settings

Place = Literal["thread", "process"]
R = TypeVar("R")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_PRELOAD = ["millstream.server.fit_child"]
_AHEAD = 16  # short fits of streams handed to the threads ahead, so that these never wait for the event loop
_PATIENCE = 0.5  # seconds for a start that is under way, when the server ends
CONSTS.term_timeout = 0.3  # a child deep in C does not hear SIGTERM; pebble kills it after this


class Fits:
    """Runs fits for the server. `start` begins the children; until then the first fit in a process does."""

    def __init__(self, settings: Settings) -> None:
        self._workers = settings.fit_workers
        self._queue = settings.fit_queue
        self._seconds = settings.fit_seconds
        self._memory_bytes = settings.fit_memory_bytes
        self._threads = ThreadPoolExecutor(settings.fit_workers, thread_name_prefix="fit")
        self._pool: ProcessPool | None = None
        self._pool_lock = threading.Lock()
        self._first: Future[None] | None = None
        self._closed = False
        self._pending = {"thread": 0, "process": 0}
        turns = {"thread": settings.fit_workers + _AHEAD, "process": settings.fit_workers}
        self._turns = {
            (place, first): asyncio.Semaphore(turns[place]) for place, first in product(turns, (True, False))
        }

    def start(self) -> None:
        """Begin the children and have them warm up. Blocks for a second or more: call it in a thread."""
        pool = self._children()
        with self._pool_lock:
            if self._closed:
                return
            self._first = pool.schedule(_nothing)
        with contextlib.suppress(CancelledError):
            self._first.result()

    async def run(self, place: Place, fit: Callable[..., R], *arguments: Any) -> R:
        """The result of `fit(*arguments)`, for a request. Cancelling the call ends a fit in a process.

        Raises
        ------
        OverloadedError
            As many fits wait as the settings allow.
        TooLargeError
            The fit in a process ran longer, or took more memory, than the settings allow.
        FitFailedError
            The child died, or failed for a reason of its own.
        MillstreamError
            What the fit itself raised.
        """
        self._admit(place)
        self._pending[place] += 1
        try:
            return await self._run(place, fit, arguments)
        finally:
            self._pending[place] -= 1

    async def run_for_stream(self, place: Place, first: bool, fit: Callable[..., R], *arguments: Any) -> R:
        """The result of `fit(*arguments)` for a stream: its `first` fit, which a client waits for, or a retrain.

        It waits for its turn and is never refused: there is at most one per stream, and rows that were taken cannot be
        given back. Only a few at once are handed to the threads or children, so that thousands of streams that are due
        together let requests and first fits pass.
        """
        async with self._turns[place, first]:
            return await self._run(place, fit, arguments)

    async def _run(self, place: Place, fit: Callable[..., R], arguments: tuple[Any, ...]) -> R:
        if place == "thread":
            return await self._in_thread(fit, arguments)
        return await self._in_process(fit, arguments)

    def close(self) -> None:
        """End the children at once, whatever they do. Fits in threads run to their end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._closed = True
        if not self._pool_lock.acquire(timeout=_PATIENCE):
            return  # the forkserver still imports: there are no children yet, and it ends when this process is gone
        try:
            if self._first is not None:
                self._first.cancel()  # who waits in `start` must not outlive the pool
            if self._pool is not None:
                self._pool.stop()
                self._pool.join(timeout=2)
        finally:
            self._pool_lock.release()

    @property
    def pending(self) -> int:
        """Fits of requests that run or wait."""
        return sum(self._pending.values())

    def _admit(self, place: Place) -> None:
        if self._pending[place] >= self._workers + self._queue:
            raise OverloadedError(
                f"{self._pending[place]} fits run or wait, the most this server takes (MILLSTREAM_FIT_QUEUE); "
                "try again in a few seconds.",
                retry_after=5,
            )

    async def _in_thread(self, fit: Callable[..., R], arguments: tuple[Any, ...]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fit, *arguments)

    async def _in_process(self, fit: Callable[..., R], arguments: tuple[Any, ...]) -> R:
        try:
            return await asyncio.wrap_future(await self._scheduled(fit, arguments))
        except MillstreamError:
            raise
        except FitTimeout:
            raise TooLargeError(
                f"The fit did not finish in {self._seconds:g} s (MILLSTREAM_FIT_SECONDS); "
                "send fewer rows or choose a faster backend."
            ) from None
        except (ProcessExpired, BrokenProcessPool):
            raise FitFailedError(
                "The process that fitted the model died, perhaps for want of memory; "
                "try again, with fewer rows if it happens twice."
            ) from None

    async def _scheduled(self, fit: Callable[..., R], arguments: tuple[Any, ...]) -> Future[R]:
        pool = self._pool if self._pool and self._pool.active else await asyncio.to_thread(self._children)
        task = (self._memory_bytes, fit, *arguments)
        work: Future[R] = pool.schedule(_run, args=task, timeout=self._seconds)
        return work

    def _children(self) -> ProcessPool:
        with self._pool_lock:
            if self._pool is None or not self._pool.active:  # a child that dies idle ends pebble's whole pool
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(_PRELOAD)
                with _few_threads(max(1, (os.cpu_count() or 1) // (2 * self._workers))):
                    self._pool = ProcessPool(
                        self._workers, initializer=_begin, initargs=[self._memory_bytes], context=context
                    )
                    self._pool.active  # noqa: B018 - starts the forkserver while the variables are set
            return self._pool


@contextlib.contextmanager
def _few_threads(count: int) -> Iterator[None]:
    """Let processes begun meanwhile use `count` threads each, so that a fit does not take every core."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(memory_bytes: int) -> None:
    from millstream.server import fit_child  # not above: it imports scikit-learn, which the server has no use for

    fit_child.begin(memory_bytes)


def _run(memory_bytes: int, fit: Callable[..., R], *arguments: Any) -> R:
    from millstream.server import fit_child

    return fit_child.run(memory_bytes, fit, *arguments)


def _nothing() -> None:
    """A task that shows that a child is ready."""
