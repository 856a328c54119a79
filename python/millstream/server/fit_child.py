"""The process that fits: the forkserver imports this module once, and every child begins with `begin`.

A child is polite (requests come first), dies with its server, and may take so much memory more than it begins with.
torch is left to the first autoencoder of each child: it would cost every server 2 s of CPU before its first fit and
500 MB, for a backend whose training takes longer than the import.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sklearn.cluster
import sklearn.covariance
import sklearn.ensemble
import sklearn.neighbors
import sklearn.svm  # noqa: F401 - what the backends fit with, imported once for all children

from millstream.detector import FitRows, FitSettings, fit_to_bytes
from millstream.errors import TooLargeError
from millstream.warm_up import load_kernels

load_kernels()

R = TypeVar("R")
NICENESS = 10


def begin(memory_bytes: int) -> None:
    """Make this process a fit's: polite, mortal, bounded; and fit a small model, so that a first fit loads nothing."""
    _die_with_server()
    rows = FitRows(np.arange(40.0).reshape(20, 2), ("a", "b"), False, None)
    fit_to_bytes(FitSettings(backend="isolation_forest"), rows)
    _limit_memory(memory_bytes)
    os.nice(NICENESS)


def run(memory_bytes: int, fit: Callable[..., R], *arguments: Any) -> R:
    """`fit(*arguments)`; memory beyond the limit is an error that says so."""
    try:
        return fit(*arguments)
    except MemoryError:
        raise TooLargeError(
            f"The fit needs more than {memory_bytes} bytes of memory (MILLSTREAM_FIT_MEMORY_BYTES); "
            "send fewer rows or choose a backend that takes less."
        ) from None


def _die_with_server() -> None:
    """Have the system kill this process when the server ends, however it ends and whatever runs here.

    The server alone holds the other end of a pipe; its end is a signal here. (The forkserver, whose child this is,
    does not end before its children, so its death says nothing.)
    """
    server = multiprocessing.parent_process()
    if server is None or not hasattr(fcntl, "F_SETSIG"):  # Linux has it; elsewhere a fit runs to its end
        return
    pipe = server.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if not server.is_alive():  # it ended before the pipe was set
        os._exit(1)


def _limit_memory(memory_bytes: int) -> None:
    """Bound what is allocated from now on; libraries that are mapped, torch's gigabytes above all, do not count."""
    with contextlib.suppress(OSError, ImportError):  # no /proc, no resource: no limit
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[5])
        most = pages * resource.getpagesize() + memory_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
