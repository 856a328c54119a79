"""The fits of streams: where each runs, and what comes of it as one event."""

from __future__ import annotations

import logging
import time

import numpy as np

from millstream.backend.registry import backend_class
from millstream.detector import Detector, FitRows, fit_to_bytes
from millstream.errors import MillstreamError
from millstream.server.entries import Entry, GoneError
from millstream.server.named_stream import NamedStream, Outcome
from millstream.server.service import Service
from millstream.stream_model import Floats, StreamModel, describe, fit_settings
from millstream.stream_state import FitFailed, FitJob, ModelFitted

_log = logging.getLogger("millstream")


async def outcome(service: Service, job: FitJob) -> Outcome:
    """Run a fit and say what came of it: the old model, or none, stays when it fails."""
    start = time.perf_counter()
    try:
        model = await _fit(service, job)
    except Exception as error:
        return FitFailed(_described(error), job.trained_to)
    return ModelFitted(model, job.trained_to, time.perf_counter() - start, time.time())


async def retrain(service: Service, entry: Entry[NamedStream], job: FitJob) -> None:
    """Fit on the snapshot in `job` and swap the model in, in one event."""
    result = await outcome(service, job)
    try:
        await entry.send(result)
        service.stream_memory.recount(entry.value)
    except GoneError:
        _log.debug("'%s' was deleted while it was retrained", entry.name)


async def _fit(service: Service, job: FitJob) -> StreamModel:
    settings, first = job.settings, job.before is None
    if backend_class(settings.backend).fit_in == "thread":
        return await service.fits.run_for_stream("thread", first, job.run)
    columns: Floats = await service.in_thread(job.rows.columns)
    names = tuple(str(at) for at in range(len(columns)))
    rows = FitRows(np.ascontiguousarray(columns.T), names, False, None)
    data = await service.fits.run_for_stream("process", first, fit_to_bytes, fit_settings(settings), rows)
    model: StreamModel = await service.in_thread(_decode, data, columns[: job.own])
    return model


def _decode(data: bytes, own: Floats) -> StreamModel:
    return describe(Detector.from_bytes(data), own)


def _described(error: Exception) -> str:
    """What `last_error` says about a fit that failed; what is no error of ours is logged too."""
    if isinstance(error, MillstreamError):
        return str(error)
    _log.error("a fit of a stream failed", exc_info=error)
    return f"{type(error).__name__}: {error}"
