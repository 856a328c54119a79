"""A stream is data that events change.

The state holds a window of rows, the model that scores them, the calibration of its scores, the open alert episode and
the counters. It changes through events alone, each applied whole by `StreamState.apply`: rows came, a fit started, its
model takes over, it failed, settings changed, reset. `apply` reads neither clock nor randomness and starts no work, so
the same events always give the same scores, in a replay, after a restore, or on the server.

Fitting is the driver's part. When `fit_due`, it applies `FitStarted`, takes `training_rows`, runs `fit_model` wherever
it likes (in the call, in a thread, in another process) and feeds the outcome back as `ModelFitted` or `FitFailed`.
Scoring goes on with the old model in between. A fit is known by the row it was trained up to: one that comes back after
a reset belongs to nothing any more and is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from millstream._core import Buffer
from millstream.calibration import Calibration, mark_alerts, window_bounds
from millstream.detector import Detector
from millstream.stream_settings import StreamSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_NEVER = 1 << 60  # rows since the last alert of a stream that had none


@dataclass(frozen=True, slots=True)
class StreamModel:
    """A fitted detector and what the calibration needs to know about it.

    `training_scores` are its own, ascending; `bounds` (2, d) the lowest and highest value of each column it was
    trained on, without derived features.
    """

    detector: Detector
    training_scores: Floats
    bounds: Floats


def fit_model(settings: StreamSettings, rows: Floats, columns: int) -> StreamModel:
    """Fit on `rows` (n, features), of which the first `columns` are the stream's own. A function of its arguments."""
    detector = new_detector(settings).fit(rows)
    return describe(detector, rows, columns)


def new_detector(settings: StreamSettings) -> Detector:
    """The detector a stream with these settings fits; missing values become the median of their column."""
    return Detector(
        backend=settings.backend,
        contamination=settings.contamination,
        normalization=settings.normalization,
        missing="median",
        seed=settings.seed,
    )


def describe(detector: Detector, rows: Floats, columns: int) -> StreamModel:
    """The model around a detector that was fitted on `rows`, here or in another process."""
    return StreamModel(detector, np.sort(detector.training_raw_scores), window_bounds(rows[:, :columns]))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows arrived: values (n, d), NaN where missing. `columns` and `named` fix the stream's when it has none yet."""

    values: Floats
    columns: tuple[str, ...]
    named: bool


@dataclass(frozen=True, slots=True)
class FitStarted:
    """A fit starts on the window as it is; its outcome names `sequence` of this moment."""


@dataclass(frozen=True, slots=True)
class ModelFitted:
    """A fit succeeded on the window as it was after row number `trained_to`; the model takes over now."""

    model: StreamModel
    trained_to: int


@dataclass(frozen=True, slots=True)
class FitFailed:
    """A fit on the window as it was after row number `trained_to` failed; the old model stays."""

    message: str
    trained_to: int


@dataclass(frozen=True, slots=True)
class Configured:
    """The settings changed, to what `StreamSettings.changed` allowed."""

    settings: StreamSettings


@dataclass(frozen=True, slots=True)
class Reset:
    """Columns, rows, model, history and counters are forgotten; settings stay."""


Change = FitStarted | ModelFitted | FitFailed | Configured | Reset
Event = Rows | Change


@dataclass(frozen=True, slots=True)
class Scored:
    """What `Rows` came to, one value a row: NaN in `score` and `raw_score` while there was no model.

    `missing` (n, d) marks the cells without a value; None when every cell had one. `samples_until_ready` counts the
    rows still missing to the first model after each.
    """

    score: Floats
    raw_score: Floats
    is_anomaly: Bools
    is_alert: Bools
    missing: Bools | None
    samples_until_ready: NDArray[np.int64]


class StreamState:
    """The whole of a stream. Read its attributes freely; change it through `apply` only."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self.sequence = 0  # rows ever taken; a reset does not turn it back, so it names a moment for good
        self._clear()

    def _clear(self) -> None:
        self.columns: tuple[str, ...] | None = None
        self.named = False
        self.window: Buffer | None = None
        self.model: StreamModel | None = None
        self.calibration = Calibration(self.settings.contamination, self.settings.window_size)
        self.model_version = 0
        self.total_processed = 0
        self.samples_since_retrain = 0
        self.since_alert = _NEVER
        self.fitting: int | None = None  # `sequence` a fit under way was given
        self.fit_attempted = False
        self.retrain_failures = 0
        self.last_error: str | None = None

    @overload
    def apply(self, event: Rows) -> Scored: ...

    @overload
    def apply(self, event: Change) -> None: ...

    def apply(self, event: Event) -> Scored | None:
        """Change by one event, whole or not at all; `Rows` are scored."""
        match event:
            case Rows():
                return self._take(event)
            case FitStarted():
                self._start_fit()
            case ModelFitted():
                self._swap(event)
            case FitFailed():
                self._note_failure(event)
            case Configured():
                self._configure(event.settings)
            case Reset():
                self._clear()
        return None

    @property
    def status(self) -> str:
        """`collecting` until the first model, then `ready`, or `retraining` while a fit is under way."""
        if self.model is None:
            return "collecting"
        return "ready" if self.fitting is None else "retraining"

    @property
    def samples_collected(self) -> int:
        """Rows in the window."""
        return 0 if self.window is None else len(self.window)

    @property
    def samples_until_ready(self) -> int:
        """Rows still missing to the first model; 0 from then on."""
        return 0 if self.model is not None or self.fitting is not None else self.rows_until_fit

    @property
    def rows_until_fit(self) -> int:
        """How many more rows make a fit due, at least 1: where a driver that fits in the call cuts a batch."""
        if self.fit_attempted:
            return max(1, self.settings.retrain_interval - self.samples_since_retrain)
        return max(1, self.settings.min_samples - self.samples_collected)

    @property
    def fit_due(self) -> bool:
        """Whether the rows for the next fit are there and none is under way."""
        if self.fitting is not None:
            return False
        if self.fit_attempted:
            return self.samples_since_retrain >= self.settings.retrain_interval
        return self.samples_collected >= self.settings.min_samples

    def training_rows(self) -> Floats:
        """The window as a model sees it: a copy (n, features) of its rows, NaN where a value is missing."""
        assert self.window is not None, "a stream without rows has nothing to fit"
        return self._features(len(self.window))

    def _take(self, rows: Rows) -> Scored:
        if self.window is None and len(rows.values):
            self.window = new_window(self.settings, rows.columns)
            self.columns, self.named = rows.columns, rows.named
        missing_rows = self.samples_until_ready
        pieces = [self._take_piece(piece) for piece in self._pieces(rows.values)]
        score, raw_score = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        missing = np.isnan(rows.values)
        return Scored(
            score=score,
            raw_score=raw_score,
            is_anomaly=score > self.settings.threshold,
            is_alert=self._mark_alerts(score),
            missing=missing if missing.any() else None,
            samples_until_ready=np.maximum(missing_rows - np.arange(1, len(score) + 1), 0),
        )

    def _pieces(self, values: Floats) -> list[Floats]:
        """Derived features are read back from the window, so no more rows may go in at once than it holds."""
        size = self.settings.window_size if self._derives else max(1, len(values))
        return [values[at : at + size] for at in range(0, max(1, len(values)), size)]

    def _take_piece(self, values: Floats) -> tuple[Floats, Floats]:
        """Append rows and return their scores and raw scores under the current model."""
        if self.window is not None and len(values):
            self.window.append(values)
        self.sequence += len(values)
        self.total_processed += len(values)
        self.samples_since_retrain += len(values)
        if self.model is None:
            return np.full(len(values), np.nan), np.full(len(values), np.nan)
        raw = self.model.detector.raw_score_of(self._features(len(values)) if self._derives else values)
        return self.calibration.score(raw, values), raw

    @property
    def _derives(self) -> bool:
        return bool(self.settings.rolling_windows or self.settings.lag_periods)

    def _features(self, tail: int) -> Floats:
        assert self.window is not None, "features are read from a window"
        if self._derives:
            windows, lags = self.settings.rolling_windows, self.settings.lag_periods
            derived = self.window.features(windows, lag_periods=lags, include_lags=bool(lags), tail=tail)
            return derived.matrix()
        return self.window.snapshot(tail).matrix()

    def _mark_alerts(self, score: Floats) -> Bools:
        alerts = np.empty(len(score), dtype=np.bool_)
        settings = self.settings
        self.since_alert = mark_alerts(score, settings.threshold, settings.quiet_rows, self.since_alert, alerts)
        return alerts

    def _start_fit(self) -> None:
        self.fitting = self.sequence
        self.fit_attempted = True
        self.samples_since_retrain = 0

    def _swap(self, event: ModelFitted) -> None:
        if event.trained_to != self.fitting:
            return
        self.fitting = None
        self.model = event.model
        self.calibration.follow(event.model.training_scores, event.model.bounds)
        self.model_version += 1
        self.last_error = None

    def _note_failure(self, event: FitFailed) -> None:
        if event.trained_to != self.fitting:
            return
        self.fitting = None
        self.retrain_failures += 1
        self.last_error = event.message

    def _configure(self, settings: StreamSettings) -> None:
        if self.window is None:
            self.calibration = Calibration(settings.contamination, settings.window_size)
        elif settings.contamination != self.calibration.contamination:
            self.calibration.change_contamination(settings.contamination)
        self.settings = settings


def new_window(settings: StreamSettings, columns: tuple[str, ...]) -> Buffer:
    """An empty window for rows of these columns, its derived features live."""
    return Buffer(settings.window_size, columns, settings.rolling_windows, settings.lag_periods)
