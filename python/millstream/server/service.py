"""What the handlers work on: the store of buffers, streams, models and fits of one server process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from millstream.server.entries import Entries
from millstream.server.fits import Fits
from millstream.server.limits import Limits
from millstream.server.model_codec import DetectorCodec
from millstream.server.model_store import ModelStore
from millstream.server.named_buffer import NamedBuffer
from millstream.server.named_stream import NamedStream
from millstream.server.stream_memory import StreamMemory
from millstream.settings import Settings
from millstream.warm_up import load_kernels

_log = logging.getLogger("millstream")


class Service:
    """The state of one server process. Made on the event loop; `start` begins what warms up, `close` ends it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = Limits(settings)
        self.threads = ThreadPoolExecutor(max(4, os.cpu_count() or 1), thread_name_prefix="work")
        self.fits = Fits(settings)
        self.models = ModelStore(settings.models_dir, settings.model_memory_bytes, DetectorCodec())
        self.buffers: Entries[NamedBuffer] = Entries(
            "Buffer", "Create it with POST /v1/ml/polars/buffers.", settings.max_buffers, self.threads
        )
        self.streams: Entries[NamedStream] = Entries(
            "Detector", "Send its first rows with POST /v1/ml/anomaly/stream.", settings.max_streams, self.threads
        )
        self.stream_memory = StreamMemory(settings.max_stream_bytes)
        self.ready = False
        self._kernels = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Get ready to answer behind the first requests, then warm up."""
        self.spawn(self._warm_up())

    async def close(self) -> None:
        """End the children and refuse fits that wait."""
        self.ready = False
        for task in self._tasks:
            task.cancel()
        await asyncio.to_thread(self.fits.close)
        self.threads.shutdown(wait=False, cancel_futures=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` behind the requests; it ends with the server."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def kernels(self) -> None:
        """Wait until the kernels are loaded: what needs one earlier would hold the event loop up until they are."""
        if not self.ready:
            await self._kernels.wait()

    async def in_thread(self, work: Any, *arguments: Any) -> Any:
        """The result of `work(*arguments)`, computed beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    async def _warm_up(self) -> None:
        try:
            await self.in_thread(self.models.open)
        except OSError:
            _log.exception("the folder of models cannot be used; fits will fail until it can")
        try:
            await self.in_thread(load_kernels)
        except Exception:
            _log.exception("loading the kernels failed; the first fits and scores will be slower")
        self._kernels.set()
        self.ready = True
        try:
            await self.in_thread(self.fits.start)
            settle_memory()
        except Exception:
            _log.exception("warming up failed; the first fits and scores will be slower")


def settle_memory() -> None:
    """Take everything loaded so far out of the garbage collector's rounds, and make the rounds rarer.

    numba alone leaves half a million objects that every full round walks through: measured, they took half of the time
    of a stream row.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
