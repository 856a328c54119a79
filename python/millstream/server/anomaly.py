"""Handlers of batch detection: `/v1/ml/anomaly/*` but the streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType, field

from millstream.backend.registry import backend_class, backends, check_backend
from millstream.detector import Detection, Detector, FitSettings, fit_to_bytes, prepare
from millstream.encoding import ENCODINGS, checked_schema
from millstream.errors import Refusal
from millstream.server.endpoint import Answer, Call, Nothing
from millstream.server.limits import NAME, raise_all
from millstream.server.long_answer import LongAnswer, with_rows
from millstream.server.model_store import LATEST, Stored
from millstream.server.scored_rows import Detected, Places, Scored, detected, scored
from millstream.server.service import Service

Normalization = Literal["standardization", "zscore", "raw"]
ModelName = Annotated[str, Meta(pattern=NAME.replace("127", "159"))]  # a version, or <base>-latest
Text = Annotated[str, Meta(max_length=10_000)]
Encoded = Annotated[Any, Meta(extra_json_schema={"enum": list(ENCODINGS)})]  # `checked_schema` says what is wrong


class Fit(Struct, kw_only=True):
    """The training rows are under `data`."""

    model: Annotated[str, Meta(pattern=NAME)] = "default"
    backend: str = "isolation_forest"
    schema_: dict[str, Encoded] | None = field(default=None, name="schema")
    contamination: Annotated[float, Meta(gt=0, le=0.5)] = 0.1
    normalization: Normalization = "standardization"
    epochs: Annotated[int, Meta(ge=1)] = 100
    batch_size: Annotated[int, Meta(ge=1)] = 32
    overwrite: bool = False
    description: Text | None = None
    params: dict[str, Any] = {}
    missing: Literal["reject", "median"] = "reject"


class Encoder(Struct):
    """How columns become numbers: encoding by column, and the names of the numbers."""

    schema_: dict[str, str] = field(name="schema")
    features: list[str]


class FitResult(Answer, kw_only=True):
    """A model was fitted and is stored."""

    object: Literal["fit_result"] = "fit_result"
    model: str
    base_name: str
    versioned_name: str
    overwrite: bool
    backend: str
    samples_fitted: int
    training_time_ms: float
    model_params: dict[str, Any]
    encoder: Encoder | None
    saved_path: str
    status: Literal["fitted"] = "fitted"


class Score(Struct, kw_only=True):
    """The rows to score are under `data`."""

    model: ModelName = "default"
    backend: str | None = None
    schema_: dict[str, Encoded] | None = field(default=None, name="schema")
    normalization: Normalization | None = None
    threshold: float | None = None


class ScoreSummary(Struct):
    """What all rows came to."""

    total_points: int
    anomaly_count: int
    anomaly_rate: float
    threshold: float


class ScoreResult(Answer, kw_only=True):
    """The scores of all rows."""

    object: Literal["list"] = "list"
    model: str
    resolved: str
    backend: str
    data: list[Scored]
    total_count: int
    summary: ScoreSummary


class DetectSummary(Struct):
    """What all rows came to."""

    anomalies_detected: int
    threshold: float


class DetectResult(Answer, kw_only=True):
    """The anomalies among the rows."""

    object: Literal["list"] = "list"
    model: str
    resolved: str
    backend: str
    data: list[Detected]
    total_count: int
    summary: DetectSummary


class Save(Struct, kw_only=True):
    """Which model to keep under its plain name."""

    model: ModelName
    backend: str | None = None
    description: Text | None = None


class SaveResult(Answer, kw_only=True):
    """The model is kept."""

    object: Literal["save_result"] = "save_result"
    model: str
    backend: str
    filename: str
    path: str
    encoder_path: str | None
    status: Literal["saved"] = "saved"


class Load(Struct, kw_only=True):
    """Which model to load."""

    model: ModelName
    backend: str | None = None


class LoadResult(Answer, kw_only=True):
    """The model is in memory."""

    object: Literal["load_result"] = "load_result"
    model: str
    resolved: str
    backend: str
    normalization: str
    filename: str
    is_fitted: Literal[True] = True
    threshold: float
    encoder_loaded: bool
    encoder_schema: dict[str, str] | None
    status: Literal["loaded"] = "loaded"


class ModelFile(Struct, kw_only=True, omit_defaults=True):
    """A stored model."""

    filename: str
    name: str
    base_name: str
    backend: str
    size_bytes: int
    modified: float
    created: str
    is_versioned: bool
    path: str
    description: str | None = None


class ModelList(Answer, kw_only=True):
    """All stored models, the newest first."""

    object: Literal["list"] = "list"
    data: list[ModelFile]
    models_dir: str
    total: int


class ParameterEntry(Struct):
    """One hyperparameter."""

    type: str
    default: Any
    description: str


class BackendEntry(Struct, kw_only=True):
    """What a backend tells about itself."""

    backend: str
    name: str
    description: str
    category: str
    speed: str
    memory: str
    parameters: list[str]
    parameter_info: dict[str, ParameterEntry]
    best_for: str
    is_legacy: bool
    available: bool


class Backends(Answer, kw_only=True):
    """All backends."""

    object: Literal["list"] = "list"
    data: list[BackendEntry]
    total: int
    categories: list[str]


class ModelDeleted(Answer, kw_only=True):
    """The model is gone."""

    object: Literal["delete_result"] = "delete_result"
    filename: str
    deleted: Literal[True] = True


async def fit(call: Call[Fit]) -> FitResult:
    """Fit a model and store it."""
    ask, service = call.ask, call.service
    await service.kernels()
    settings = _settings(call)
    await service.in_thread(service.models.check_base, ask.model)
    unused = settings.schema is not None and call.body is not None and call.body.form == "lists"
    if unused:
        settings = replace(settings, schema=None)
    table = await call.rows(settings.schema)
    raise_all(service.limits.columns("data", len(table.columns)))
    started = time.perf_counter()
    most = service.settings.max_categories, service.settings.max_columns
    rows = await service.in_thread(prepare, settings, table, *most)
    data = await service.fits.run(backend_class(ask.backend).fit_in, fit_to_bytes, settings, rows)
    milliseconds = 1000 * (time.perf_counter() - started)
    stored, detector = await service.in_thread(_store, service, ask, data)
    return FitResult(
        model=ask.model,
        base_name=ask.model,
        versioned_name=stored.labels.name,
        overwrite=ask.overwrite,
        backend=ask.backend,
        samples_fitted=len(table),
        training_time_ms=milliseconds,
        model_params=_params(detector),
        encoder=_encoder(detector),
        saved_path=str(stored.path),
        warnings=["'schema' was ignored: it names columns, and the rows are lists"] if unused else UNSET,
    )


async def score(call: Call[Score]) -> Answer | LongAnswer:
    """Score rows with a stored model."""
    stored, found, warnings = await _detect(call)
    total, count = len(found.score), int(found.is_anomaly.sum())
    result = ScoreResult(
        model=call.ask.model,
        resolved=stored.labels.name,
        backend=stored.labels.backend,
        data=[],
        total_count=total,
        summary=ScoreSummary(total, count, count / total if total else 0.0, found.threshold),
        warnings=warnings,
    )
    return await _with_rows(call, result, scored, found, np.arange(total))


async def detect(call: Call[Score]) -> Answer | LongAnswer:
    """The anomalies among rows, by a stored model."""
    stored, found, warnings = await _detect(call)
    places = found.is_anomaly.nonzero()[0]
    result = DetectResult(
        model=call.ask.model,
        resolved=stored.labels.name,
        backend=stored.labels.backend,
        data=[],
        total_count=len(places),
        summary=DetectSummary(len(places), found.threshold),
        warnings=warnings,
    )
    return await _with_rows(call, result, detected, found, places)


async def save(call: Call[Save]) -> SaveResult:
    """Keep the model under its plain name, beside its versions."""
    ask, models = call.ask, call.service.models
    _check_backend(ask.backend)
    kept = await call.service.in_thread(models.keep, ask.model, ask.backend, ask.description)
    encoder = models.encoder_path(kept)
    return SaveResult(
        model=ask.model,
        backend=kept.labels.backend,
        filename=kept.filename,
        path=str(kept.path),
        encoder_path=str(encoder) if encoder else None,
    )


async def load(call: Call[Load]) -> LoadResult:
    """Read a stored model into memory."""
    stored, detector = await _find(call, call.ask)
    schema = _encoder(detector)
    return LoadResult(
        model=call.ask.model,
        resolved=stored.labels.name,
        backend=stored.labels.backend,
        normalization=detector.normalization,
        filename=stored.filename,
        threshold=detector.threshold(),
        encoder_loaded=schema is not None,
        encoder_schema=schema.schema_ if schema is not None else None,
    )


async def list_models(call: Call[Nothing]) -> ModelList:
    """All stored models, the newest first."""
    models = call.service.models
    data = [_model_file(stored) for stored in await call.service.in_thread(models.list)]
    return ModelList(data=data, models_dir=str(models.folder), total=len(data))


async def list_backends(call: Call[Nothing]) -> Backends:
    """All backends, from their classes."""
    await call.service.kernels()
    data = [msgspec.convert(info, BackendEntry, from_attributes=True) for info in backends()]
    return Backends(data=data, total=len(data), categories=list(dict.fromkeys(entry.category for entry in data)))


async def delete(call: Call[Nothing]) -> ModelDeleted:
    """Delete a stored model."""
    filename = call.path["filename"]
    await call.service.in_thread(call.service.models.delete, filename)
    return ModelDeleted(filename=filename)


def _settings(call: Call[Fit]) -> FitSettings:
    """What the detector is fitted with, checked before any row is read."""
    ask = call.ask
    raise_all([*call.service.limits.epochs(ask.epochs), *_bad_name(ask.model)])
    return FitSettings(
        backend=ask.backend,
        contamination=ask.contamination,
        normalization=ask.normalization,
        schema=ask.schema_,
        params=ask.params,
        missing=ask.missing,
        epochs=ask.epochs,
        batch_size=ask.batch_size,
    ).check()


def _bad_name(model: str) -> Iterator[Refusal]:
    if model.endswith(LATEST):
        message = f"'model' is '{model}'; allowed are names that do not end in '{LATEST}'; choose another."
        yield Refusal(("model",), message)


def _store(service: Service, ask: Fit, data: bytes) -> tuple[Stored, Detector]:
    detector = Detector.from_bytes(data)
    labels = {"backend": ask.backend, "description": ask.description}
    return service.models.save(ask.model, labels, data, ask.overwrite, detector), detector


def _check_backend(name: str | None) -> None:
    """A backend that does not exist is refused before its name becomes part of a file's."""
    if name is not None:
        check_backend(name)


async def _find(call: Call[Any], ask: Score | Load) -> tuple[Stored, Detector]:
    """The stored model asked for and its detector; without leaving the event loop when both are in memory."""
    models = call.service.models
    _check_backend(ask.backend)
    await call.service.kernels()
    stored = models.known(ask.model, ask.backend)
    detector = models.cached(stored) if stored is not None else None
    if stored is None or detector is None:
        stored, detector = await call.service.in_thread(models.get, ask.model, ask.backend)
    return stored, detector


async def _detect(call: Call[Score]) -> tuple[Stored, Detection, list[str] | UnsetType]:
    ask = call.ask
    checked_schema(ask.schema_ or {})
    stored, detector = await _find(call, ask)
    encoder = detector.encoder
    rows = await call.rows(encoder.schema if encoder is not None else None)

    def work() -> Detection:
        return detector.detect(rows, threshold=ask.threshold, normalization=ask.normalization)

    found = work() if len(rows) <= _INLINE_ROWS else await call.service.in_thread(work)
    fitted = encoder.schema if encoder is not None else {}
    other = [column for column, kind in (ask.schema_ or {}).items() if fitted.get(column) != kind]
    return stored, found, [_OTHER_SCHEMA.format(", ".join(other[:20]))] if other else UNSET


_OTHER_SCHEMA = "'schema' differs from the one the model was fitted with, which was used, in: {}"
_INLINE_ROWS = 100  # half a millisecond with the slowest of the backends that score from trees


async def _with_rows(
    call: Call[Score], answer: Answer, rows_of: Callable[..., Any], found: Detection, places: Places
) -> Answer | LongAnswer:
    call.service.limits.rows_of_answer(len(places))
    return await with_rows(
        call.service, answer, "data", lambda start, end: rows_of(found, places[start:end]), len(places)
    )


def _params(detector: Detector) -> dict[str, Any]:
    settings = detector.settings
    return {
        "backend": settings.backend,
        "contamination": settings.contamination,
        "threshold": detector.threshold(),
        "input_dim": len(detector.columns),
        "normalization": settings.normalization,
        "seed": settings.seed,
        **detector.params,
    }


def _encoder(detector: Detector) -> Encoder | None:
    encoder = detector.encoder
    return Encoder(dict(encoder.schema), list(encoder.features)) if encoder is not None else None


def _model_file(stored: Stored) -> ModelFile:
    labels = stored.labels
    return ModelFile(
        filename=stored.filename,
        name=labels.name,
        base_name=labels.base_name,
        backend=labels.backend,
        size_bytes=stored.size_bytes,
        modified=stored.modified,
        created=stored.created,
        is_versioned=labels.name != labels.base_name,
        path=str(stored.path),
        description=labels.description,
    )
