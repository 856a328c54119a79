"""`millstream serve`: from start to a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

import uvloop

from millstream.errors import InvalidRequestError
from millstream.server.app import Application
from millstream.server.connection import Connection, Connections
from millstream.server.service import Service
from millstream.settings import Settings

_log = logging.getLogger("millstream")
_SPARE_SECONDS = 1.5  # between the end of patience with requests and the end of the process
_BACKLOG = 2048


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    Raises
    ------
    InvalidRequestError
        The address cannot be listened on.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvloop.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    ending = asyncio.Event()
    _end_on_signals(ending, settings)
    service = Service(settings)
    connections = Connections(Application(service), settings)
    listener = await _listen(connections, settings)
    await service.start()
    await ending.wait()
    _log.info("ending")
    listener.close()
    await _finish(connections, settings)
    await service.close()
    _exit_in(_SPARE_SECONDS)


async def _listen(connections: Connections, settings: Settings) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        listener = await loop.create_server(
            lambda: Connection(connections), settings.host, settings.port, backlog=_BACKLOG
        )
    except OSError as error:
        raise InvalidRequestError(
            f"Cannot listen on {settings.host} port {settings.port} ({error.strerror}); "
            "end what listens there or choose another with --port."
        ) from error
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _log.info("running on http://%s:%d", host, listener.sockets[0].getsockname()[1])
    return listener


def _end_on_signals(ending: asyncio.Event, settings: Settings) -> None:
    def end() -> None:
        if not ending.is_set():
            _exit_in(settings.shutdown_seconds + _SPARE_SECONDS)
        ending.set()

    for sig in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sig, end)


def _exit_in(seconds: float) -> None:
    """End the process then, even if a thread works on."""
    last = threading.Timer(seconds, os._exit, (0,))
    last.daemon = True
    last.start()


async def _finish(connections: Connections, settings: Settings) -> None:
    """Let requests in flight finish within the time the settings give, then answer the rest with 503."""
    for connection in list(connections.open):
        connection.end()
    if not await _all_closed(connections, settings.shutdown_seconds):
        for connection in list(connections.open):
            connection.cancel()
        await _all_closed(connections, _SPARE_SECONDS / 3)


async def _all_closed(connections: Connections, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while connections.open and loop.time() < end:
        await asyncio.sleep(0.02)
    return not connections.open
