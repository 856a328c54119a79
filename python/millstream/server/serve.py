"""`millstream serve`: the service on uvicorn, from start to a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from millstream.errors import InvalidRequestError
from millstream.server.app import build
from millstream.server.bounded_protocol import bounded
from millstream.server.service import Service
from millstream.settings import Settings

_log = logging.getLogger("millstream")
_SPARE_SECONDS = 1.5  # between the end of patience with requests and the end of the process


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        lambda: build(Service(settings)),
        factory=True,  # made when the event loop runs: entries belong to it
        interface="asgi3",
        host=settings.host,
        port=settings.port,
        http=bounded(settings),
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(settings.keep_alive_seconds),
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
        backlog=2048,
    )
    logging.getLogger("blacksheep.server").setLevel(logging.WARNING)
    _make_folder(settings.models_dir)
    QuietServer(config, settings).run(_listen(settings.host, settings.port))
    return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequestError(
            f"The folder {str(folder)!r} cannot be made ({_reason(error)}); "
            "set LF_DATA_DIR or --data-dir to a folder that can."
        ) from None


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, before anything else begins."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            port = one.getsockname()[1]  # a free one was found: the same for the next address
    except OSError as error:
        for one in sockets:
            one.close()
        raise InvalidRequestError(
            f"Cannot listen on {host}:{port} ({_reason(error)}); "
            "end what listens there, or choose another address with --host and --port."
        ) from None
    return sockets


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


class QuietServer(uvicorn.Server):
    """uvicorn's server, but a signal ends it with exit code 0, and in time whatever still runs."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take the signals; uvicorn would raise them again at the end and so die by them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a thread that works on does not hold the process up."""
        super().handle_exit(sig, frame)
        _exit_in(self._settings.shutdown_seconds + _SPARE_SECONDS)

    async def startup(self, sockets: Any = None) -> None:
        """Begin as uvicorn does, and say where."""
        await super().startup(sockets)
        for one in sockets:
            host, port = one.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            _log.info("millstream is running on http://%s:%d", shown, port)

    async def shutdown(self, sockets: Any = None) -> None:
        """End as uvicorn does, then drop what did not end in time."""
        await super().shutdown(sockets)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        _exit_in(_SPARE_SECONDS)


def _exit_in(seconds: float) -> None:
    """End the process then, even if a thread works on."""
    last = threading.Timer(seconds, os._exit, (0,))
    last.daemon = True
    last.start()
