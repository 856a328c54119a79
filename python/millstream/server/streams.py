"""Handlers of `/v1/ml/anomaly/stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from millstream._core import read_body
from millstream.errors import InvalidRequestError
from millstream.server.endpoint import Answer, Call, Nothing
from millstream.server.entries import Entry
from millstream.server.limits import NAME, raise_all
from millstream.server.long_answer import LongAnswer, with_rows
from millstream.server.named_stream import Batch, NamedStream, Taken
from millstream.server.service import Service
from millstream.server.stream_fits import outcome, retrain
from millstream.server.utc import utc
from millstream.stream_settings import StreamSettings
from millstream.stream_state import Reset, StreamResult

RESERVED = "detectors"
DEFAULT_LAGS = (1, 2, 3)
_AT_ONCE = 500  # entries of a list described before others have their turn


class StreamRows(Struct, kw_only=True):
    """The rows are under `data`; a parameter not sent keeps its value."""

    model: Annotated[str, Meta(pattern=NAME)] = "default-stream"
    backend: str | UnsetType = UNSET
    min_samples: Annotated[int, Meta(ge=10)] | UnsetType = UNSET
    retrain_interval: Annotated[int, Meta(ge=10)] | UnsetType = UNSET
    window_size: Annotated[int, Meta(ge=50)] | UnsetType = UNSET
    threshold: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    contamination: Annotated[float, Meta(gt=0, le=0.5)] | UnsetType = UNSET
    normalization: Literal["standardization", "zscore", "raw"] | UnsetType = UNSET
    rolling_windows: list[Annotated[int, Meta(ge=1)]] | UnsetType = UNSET
    include_lags: bool | UnsetType = UNSET
    lag_periods: list[Annotated[int, Meta(ge=1)]] | UnsetType = UNSET
    quiet_rows: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class StreamingResult(Answer, kw_only=True):
    """What a stream says about the rows of a call."""

    object: Literal["streaming_result"] = "streaming_result"
    model: str
    status: str
    results: list[StreamResult]
    model_version: int
    samples_collected: int
    samples_until_ready: int
    threshold: float


class StreamStats(Answer, kw_only=True):
    """How a stream stands.

    `alarm_rate` is the share of the last window's rows that scored above 0.5 (null before the first score): on data
    like its past about `contamination`; one that stays far above says that the data changed, or an anomaly lasts.
    `samples_collected` counts the rows in the window, `total_processed` all since the start or the last reset.
    `last_retrain_at` and `last_retrain_ms` are of the newest model, its fit alone; `retrain_failures` counts fits that
    failed, and `last_error` says why the last one did, null once a fit has succeeded again. `memory_bytes` counts the
    window, the model and the calibration.
    """

    object: Literal["streaming_detector"] = "streaming_detector"
    model_id: str
    backend: str
    status: str
    model_version: int
    samples_collected: int
    total_processed: int
    samples_since_retrain: int
    min_samples: int
    retrain_interval: int
    window_size: int
    threshold: float
    is_ready: bool
    contamination: float
    quiet_rows: int
    columns: list[str]
    rolling_windows: list[int]
    lag_periods: list[int]
    alarm_rate: float | None
    retrain_failures: int
    last_error: str | None
    last_retrain_at: str | None
    last_retrain_ms: float | None
    memory_bytes: int


class StreamList(Answer, kw_only=True):
    """All streams."""

    object: Literal["list"] = "list"
    data: list[StreamStats]
    total: int


class StreamReset(Answer, kw_only=True):
    """The stream starts anew; its parameters stay."""

    object: Literal["reset_result"] = "reset_result"
    model: str
    status: Literal["collecting"] = "collecting"
    reset: Literal[True] = True


class StreamDeleted(Answer, kw_only=True):
    """The stream is gone."""

    object: Literal["delete_result"] = "delete_result"
    model: str
    deleted: Literal[True] = True


_FIELDS = StreamRows.__struct_fields__  # `model` first
_UNSENT = (UNSET,) * (len(_FIELDS) - 1)


async def send(call: Call[StreamRows]) -> Answer | LongAnswer:
    """Send rows to a stream, which the first call creates, and get their scores."""
    name, service = call.ask.model, call.service
    await service.kernels()
    sent = _sent(call)
    batch = Batch(
        _body(call),
        lambda mode, only: read_body(call.raw, "data", mode).table(only=only),
        sent,
        lambda: _first_row(call.raw),
        service.limits,
        partial(outcome, service),
    )
    most = call.size // 3 + 1  # a row takes three bytes at least

    def here(stream: NamedStream) -> bool:
        return call.short and not stream.may_fit(most)

    def new() -> NamedStream:
        service.stream_memory.check(None)
        return NamedStream(StreamSettings(**sent))

    if (known := service.streams.find(name)) is not None:
        service.stream_memory.check(known.value)
    taken: Taken = await service.streams.send_or_create(name, new, batch, here)
    if (entry := service.streams.find(name)) is not None:  # else it was deleted meanwhile
        if len(taken.results) > 1 or not entry.value.is_full:  # else it holds what it held
            service.stream_memory.recount(entry.value)
        if taken.job is not None:
            service.spawn(retrain(service, entry, taken.job))
    return await _answer(service, name, taken)


async def list_all(call: Call[Nothing]) -> StreamList:
    """How all streams stand."""
    data: list[StreamStats] = []
    for at, entry in enumerate(call.service.streams):
        data.append(_stats(entry))
        if at % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)  # others have their turn
    return StreamList(data=data, total=len(data))


async def stats(call: Call[Nothing]) -> StreamStats:
    """How one stream stands."""
    return _stats(call.service.streams.get(call.path["model"]))


async def reset(call: Call[Nothing]) -> StreamReset:
    """Forget rows, columns, model and counters."""
    name = _unreserved(call.path["model"])
    entry = call.service.streams.get(name)
    await call.service.streams.send(name, Reset())
    call.service.stream_memory.recount(entry.value)
    return StreamReset(model=name)


async def delete(call: Call[Nothing]) -> StreamDeleted:
    """Delete a stream."""
    name = _unreserved(call.path["model"])
    call.service.stream_memory.forget(await call.service.streams.delete(name))
    return StreamDeleted(model=name)


def _sent(call: Call[StreamRows]) -> dict[str, Any]:
    """The parameters of a stream that the call sent, checked on their own."""
    ask, limits = call.ask, call.service.limits
    _unreserved(ask.model)
    asked = msgspec.structs.astuple(ask)
    if asked[1:] == _UNSENT:
        return {}
    sent = {name: value for name, value in zip(_FIELDS[1:], asked[1:], strict=True) if value is not UNSET}
    include = sent.pop("include_lags", None)
    if include is False and sent.get("lag_periods"):
        raise InvalidRequestError(
            "'include_lags' is false and 'lag_periods' asks for lags; leave one out.", loc=("include_lags",)
        )
    if include is not None:
        sent.setdefault("lag_periods", DEFAULT_LAGS if include else ())
    raise_all([*limits.size("window_size", sent.get("window_size", 0))])
    raise_all([w for field in ("rolling_windows", "lag_periods") for w in limits.windows(field, sent.get(field, ()))])
    return {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}


def _unreserved(model: str) -> str:
    if model == RESERVED:
        raise InvalidRequestError(f"'model' is '{RESERVED}', which is reserved; choose another.", loc=("model",))
    return model


def _body(call: Call[StreamRows]) -> Any:
    assert call.body is not None
    return call.body


def _first_row(raw: bytes) -> tuple[str, ...] | None:
    """The keys of the first row when it is an object: they fix the columns. The body was read as JSON before."""
    data = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["data"]
    if bytes(data).lstrip()[:1] == b"[":
        data = msgspec.json.decode(data, type=list[msgspec.Raw])[0]
    first = msgspec.json.decode(data)
    return tuple(first) if isinstance(first, Mapping) else None


async def _answer(service: Service, name: str, taken: Taken) -> Answer | LongAnswer:
    results = taken.results
    answer = StreamingResult(
        model=name,
        status=taken.status,
        results=results if isinstance(results, list) else [],
        model_version=taken.model_version,
        samples_collected=taken.samples_collected,
        samples_until_ready=taken.samples_until_ready,
        threshold=taken.threshold,
    )
    if taken.ignored:
        answer.warnings = [f"column '{column}' is none of the stream's and was ignored" for column in taken.ignored]
    if isinstance(results, list):
        return answer
    return await with_rows(service, answer, "results", results.between, len(results))


def _stats(entry: Entry[NamedStream]) -> StreamStats:
    state = entry.value.state
    settings, fit = state.settings, state.last_fit
    return StreamStats(
        model_id=entry.name,
        backend=settings.backend,
        status=state.status,
        model_version=state.model_version,
        samples_collected=state.samples_collected,
        total_processed=state.total_processed,
        samples_since_retrain=state.samples_since_retrain,
        min_samples=settings.min_samples,
        retrain_interval=settings.retrain_interval,
        window_size=settings.window_size,
        threshold=settings.threshold,
        is_ready=state.model is not None,
        contamination=settings.contamination,
        quiet_rows=settings.quiet_rows,
        columns=list(state.columns or ()),
        rolling_windows=list(settings.rolling_windows),
        lag_periods=list(settings.lag_periods),
        alarm_rate=state.calibration.alarm_rate,
        retrain_failures=state.retrain_failures,
        last_error=state.last_error,
        last_retrain_at=utc(fit.ended_at) if fit is not None and fit.ended_at is not None else None,
        last_retrain_ms=1000 * fit.seconds if fit is not None and fit.seconds is not None else None,
        memory_bytes=state.memory_bytes,
    )
