"""A stream is data that events change.

The state holds a window of rows, the model that scores them, the calibration of its scores, the open alert episode and
the counters. It changes through events alone, each applied whole by `StreamState.apply`: rows came, a fit started, its
model takes over, it failed, settings changed, reset. `apply` reads neither clock nor randomness and starts no work, so
the same events always give the same scores, in a replay, after a restore, or on the server. `take_row` is the event of
one plain row on the shortest way; it says what `apply` would.

Fitting is the driver's part. When `fit_due`, it takes `fit_job`, applies `FitStarted`, runs the job wherever it
likes (in the call, in a thread, in another process) and feeds the outcome back as `ModelFitted` or `FitFailed`. Scoring
goes on with the old model in between. A fit is known by the row it was trained up to: one that comes back after a reset
belongs to nothing any more and is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from millstream._core import Window, WindowRows
from millstream.calibration import ROW, Calibration
from millstream.errors import InvalidRequestError
from millstream.stream_model import StreamModel, fit_model
from millstream.stream_settings import StreamSettings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_NEVER = 1 << 62
_OBJECTS = 4096  # bytes of a stream beside its numbers, about
_WORTH_KEEPING = 128 * 1024  # bytes from which malloc takes fresh pages from the system
_SCRATCH_KEPT = 8 * 1024 * 1024
_PIECE = 8192  # rows whose features stand in memory at the same time
_UNSCORED = np.array([[np.nan], [np.nan], [0.0]])


class StreamResult(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a stream says about one row.

    `index` is the row's place in the call, `samples_until_ready` the rows missing to the first model after this one.
    `score` (0 to 1), `is_anomaly` and `raw_score` are None until there is a model. `is_alert` marks the first anomaly
    of an episode, `imputed` names the columns that had no value.
    """

    index: int
    score: float | None
    is_anomaly: bool | None
    is_alert: bool
    raw_score: float | None
    samples_until_ready: int
    imputed: tuple[str, ...] = ()


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
    """A fit succeeded on the window as it was after row number `trained_to`; the model takes over now.

    `seconds` is how long it took and `ended_at` when it ended (seconds of the epoch), by the driver's clock.
    """

    model: StreamModel
    trained_to: int
    seconds: float | None = None
    ended_at: float | None = None


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


@dataclass(frozen=True, slots=True)
class FitJob:
    """What a fit is made from, and the row it is trained up to. The rows never change: read them anywhere."""

    settings: StreamSettings
    rows: WindowRows
    own: int
    width: int
    trained_to: int
    before: StreamModel | None
    spare: StreamModel | None

    def run(self) -> StreamModel:
        """The model."""
        columns = _scratch(self.width, len(self.rows))
        self.rows.columns_into(columns)
        return fit_model(self.settings, columns, self.own, self.rows.first, self.before, self.spare)


class StreamState:
    """The whole of a stream. Read its attributes freely; change it through `apply` and `take_row` only."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self.sequence = 0  # rows ever taken; a reset does not turn it back, so it names a moment for good
        self._clear()

    def _clear(self) -> None:
        self.columns: tuple[str, ...] | None = None
        self.named = False
        self.window: Window | None = None
        self.model: StreamModel | None = None
        self._spare: StreamModel | None = None  # the one before, whose memory the next fit writes anew
        self.calibration = _calibration(self.settings, 0)
        self.model_version = 0
        self.started_at = self.sequence
        self.fit_at = self.sequence  # when the last fit started, or the stream
        self.fitting: int | None = None  # `sequence` a fit under way was given
        self.fit_attempted = False
        self.retrain_failures = 0
        self.last_error: str | None = None
        self.last_fit: ModelFitted | None = None
        self.score_row: Callable[[], tuple[float, float, bool]] | None = None  # of the model, on the row in `live`
        self.plan_fit()

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
                self.fitting = self.fit_at = self.sequence
                self.fit_attempted = True
            case ModelFitted():
                self._swap(event)
            case FitFailed():
                self._note_failure(event)
            case Configured():
                self._configure(event.settings)
            case Reset():
                self._clear()
        self.plan_fit()
        return None

    def plan_fit(self) -> None:
        """Set `due_at`: the `sequence` from which on the next fit is due."""
        needed = self.settings.retrain_interval if self.fit_attempted else self.settings.min_samples
        self.due_at = self.fit_at + needed if self.fitting is None else _NEVER

    def follow(self, model: StreamModel) -> None:
        """Score with `model` from now on."""
        self.model = model
        self.score_row = model.row_scorer(self.calibration.live)

    def take_row(self, row: object) -> StreamResult | None:
        """Take one row and return what is said about it; None, and nothing happened, if it is not plain.

        Plain is a mapping of just the columns, or a list as wide, of finite numbers, once there is a model.
        """
        if self.score_row is None or self.window is None or not self.window.take(row):
            return None
        self.sequence += 1
        score, raw, alert = self.score_row()
        return StreamResult(0, score, score > self.settings.threshold, alert, raw, 0)

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
    def total_processed(self) -> int:
        """Rows taken since the start or the last reset."""
        return self.sequence - self.started_at

    @property
    def samples_since_retrain(self) -> int:
        """Rows since the last fit started."""
        return self.sequence - self.fit_at

    @property
    def samples_until_ready(self) -> int:
        """Rows still missing to the first model; 0 from then on."""
        return 0 if self.model is not None or self.fitting is not None else self.rows_until_fit

    @property
    def rows_until_fit(self) -> int:
        """How many more rows make a fit due, at least 1: where a driver that fits in the call cuts a batch."""
        needed = self.settings.retrain_interval if self.fit_attempted else self.settings.min_samples
        return max(1, self.fit_at + needed - self.sequence)

    @property
    def fit_due(self) -> bool:
        """Whether the rows for the next fit are there and none is under way."""
        return self.sequence >= self.due_at

    @property
    def memory_bytes(self) -> int:
        """What window, model and calibration hold."""
        window = 0 if self.window is None else self.window.memory_bytes
        models = sum(model.memory_bytes for model in (self.model, self._spare) if model is not None)
        return window + models + self.calibration.live.nbytes + _OBJECTS

    @property
    def width(self) -> int:
        """Features of a row: its values, and their rolling statistics and lags."""
        return _width(self.settings, self.columns or ())

    def open(self, columns: tuple[str, ...], named: bool) -> None:
        """Make the window for rows of these columns: what the first `Rows` do.

        Raises
        ------
        InvalidRequestError
            The windows and lags of so many columns are too many features.
        ConflictError
            A feature has the name of a column. Nothing has changed then.
        """
        settings = self.settings
        width = _width(settings, columns)
        calibration = _calibration(settings, width)
        row = calibration.live[ROW : ROW + width]
        try:
            window = Window(settings.window_size, columns, settings.rolling_windows, settings.lag_periods, row)
        except InvalidRequestError as error:
            raise error.under("rolling_windows" if settings.rolling_windows else "lag_periods") from None
        self.columns, self.named, self.calibration, self.window = columns, named, calibration, window

    def fit_job(self) -> FitJob:
        """The fit that is due, on the window as it is: nothing is copied before it runs."""
        assert self.window is not None, "a stream without rows has nothing to fit"
        own, spare, self._spare = len(self.columns or ()), self._spare, None
        return FitJob(self.settings, self.window.snapshot(), own, self.width, self.sequence, self.model, spare)

    def _take(self, rows: Rows) -> Scored:
        if self.window is None and len(rows.values):
            self.open(rows.columns, rows.named)
        missing_rows = self.samples_until_ready
        pieces = range(0, max(1, len(rows.values)), _PIECE)
        out = np.concatenate([self._take_piece(rows.values[at : at + _PIECE]) for at in pieces], axis=1)
        missing = np.isnan(rows.values)
        return Scored(
            score=out[0],
            raw_score=out[1],
            is_anomaly=out[0] > self.settings.threshold,
            is_alert=out[2] > 0.0,
            missing=missing if missing.any() else None,
            samples_until_ready=np.maximum(missing_rows - np.arange(1, len(missing) + 1), 0),
        )

    def _take_piece(self, values: Floats) -> Floats:
        """Score, raw score and alert (3, n) of rows, which go into the window."""
        self.sequence += len(values)
        if self.window is not None and len(values):
            values = self.window.take_rows(values)
        if self.model is not None:
            return self.model.score_rows(self.calibration.live, values)
        return np.repeat(_UNSCORED, len(values), axis=1)

    def _swap(self, event: ModelFitted) -> None:
        if event.trained_to != self.fitting:
            return
        self.fitting = None
        if self.model is not None and self.model.packed.nbytes >= _WORTH_KEEPING:
            self._spare = self.model
        self.follow(event.model)
        self.model_version += 1
        self.last_error = None
        self.last_fit = event

    def _note_failure(self, event: FitFailed) -> None:
        if event.trained_to != self.fitting:
            return
        self.fitting = None
        self.retrain_failures += 1
        self.last_error = event.message

    def _configure(self, settings: StreamSettings) -> None:
        self.settings = settings
        if self.window is None:
            self.calibration = _calibration(settings, 0)
        else:
            self.calibration.ask(settings.contamination, settings.threshold, settings.quiet_rows)


def _width(settings: StreamSettings, columns: tuple[str, ...]) -> int:
    return len(columns) * (1 + 4 * len(settings.rolling_windows) + len(settings.lag_periods))


def _calibration(settings: StreamSettings, width: int) -> Calibration:
    return Calibration(settings.contamination, settings.window_size, settings.threshold, settings.quiet_rows, width)


_of_thread = threading.local()


def _scratch(width: int, rows: int) -> Floats:
    """A matrix (width, rows) of this thread, to be used until the next call."""
    held: Floats | None = getattr(_of_thread, "numbers", None)
    if held is None or held.size < width * rows:
        held = np.empty(width * rows)
        _of_thread.numbers = held if held.nbytes <= _SCRATCH_KEPT else None
    return held[: width * rows].reshape(width, rows)
