"""Handlers of batch detection: `/v1/ml/anomaly/*` but the streams."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from millstream.detector import Detector, FitSettings, fit_to_bytes
from millstream.errors import InvalidRequestError
from millstream.server.endpoint import Answer, Call, Nothing
from millstream.server.limits import NAME, raise_all
from millstream.server.model_store import LATEST, Stored

Normalization = Literal["standardization", "zscore", "raw"]
# A version's name is up to 16 characters longer than the model's.
ModelName = Annotated[str, Meta(pattern=NAME.replace("127", "159"))]
Text = Annotated[str, Meta(max_length=10_000)]


class Fit(Struct, kw_only=True):
    """The training rows are under `data`."""

    model: Annotated[str, Meta(pattern=NAME)] = "default"
    backend: str = "isolation_forest"
    schema_: dict[str, str] | None = field(default=None, name="schema")
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
    schema_: dict[str, str] | None = field(default=None, name="schema")
    normalization: Normalization | None = None
    threshold: float | None = None


class Scored(Struct, kw_only=True):
    """The score of one row."""

    index: int
    score: float
    is_anomaly: bool
    raw_score: float
    imputed: list[str] | UnsetType = UNSET


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


class Detected(Struct, kw_only=True):
    """One row whose score is above the threshold."""

    index: int
    score: float
    raw_score: float
    imputed: list[str] | UnsetType = UNSET


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


class ModelDeleted(Answer, kw_only=True):
    """The model is gone."""

    object: Literal["delete_result"] = "delete_result"
    filename: str
    deleted: Literal[True] = True


async def fit(call: Call[Fit]) -> FitResult:
    """Fit a model and store it."""
    ask, service = call.ask, call.service
    settings = _settings(call)
    rows = await call.rows()
    started = time.perf_counter()
    data = await service.fits.run(BACKENDS[ask.backend].fit_in, fit_to_bytes, settings, rows)
    milliseconds = 1000 * (time.perf_counter() - started)
    stored, detector = await service.in_thread(_store, service, ask, data)
    return FitResult(
        model=ask.model,
        base_name=ask.model,
        versioned_name=stored.labels.name,
        overwrite=ask.overwrite,
        backend=ask.backend,
        samples_fitted=len(rows),
        training_time_ms=milliseconds,
        model_params=_params(detector, ask),
        encoder=_encoder(detector),
        saved_path=str(stored.path),
    )


async def score(call: Call[Score]) -> ScoreResult:
    """Score rows with a stored model."""
    stored, found = await _detect(call)
    data = [
        Scored(index=i, score=s, is_anomaly=a, raw_score=r)
        for i, (s, a, r) in enumerate(
            zip(found.score.tolist(), found.is_anomaly.tolist(), found.raw_score.tolist(), strict=True)
        )
    ]
    _mark_imputed(data, found)
    count = int(found.is_anomaly.sum())
    summary = ScoreSummary(len(data), count, count / len(data) if data else 0.0, found.threshold)
    return ScoreResult(
        model=call.ask.model,
        resolved=stored.labels.name,
        backend=stored.labels.backend,
        data=data,
        total_count=len(data),
        summary=summary,
    )


async def detect(call: Call[Score]) -> DetectResult:
    """The anomalies among rows, by a stored model."""
    stored, found = await _detect(call)
    at = found.is_anomaly.nonzero()[0]
    scores, raw = found.score[at].tolist(), found.raw_score[at].tolist()
    data = [Detected(index=i, score=s, raw_score=r) for i, s, r in zip(at.tolist(), scores, raw, strict=True)]
    _mark_imputed(data, found)
    return DetectResult(
        model=call.ask.model,
        resolved=stored.labels.name,
        backend=stored.labels.backend,
        data=data,
        total_count=len(data),
        summary=DetectSummary(len(data), found.threshold),
    )


async def save(call: Call[Save]) -> SaveResult:
    """Keep the model under its plain name, beside its versions."""
    ask, models = call.ask, call.service.models
    stored = await call.service.in_thread(models.find, ask.model, ask.backend)
    kept = await call.service.in_thread(models.keep, stored, ask.model.removesuffix(LATEST), ask.description)
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


async def delete(call: Call[Nothing]) -> ModelDeleted:
    """Delete a stored model."""
    filename = call.path["filename"]
    await call.service.in_thread(call.service.models.delete, filename)
    return ModelDeleted(filename=filename)
