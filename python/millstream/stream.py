"""`ms.Stream`: rows in, scores out, the model retrained as the window slides.

`Stream` drives a `StreamState`: it reads rows, decides where fits run, and shows results. With `background=True` a fit
runs in a thread and its model takes over when it is done; with `background=False` it runs in the call, at the very row
that fills the interval, so that a replay gives the same scores every time.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from millstream import model_file, stream_file
from millstream._core import read_rows
from millstream.errors import InvalidRequestError, counted
from millstream.stream_results import StreamResults
from millstream.stream_rows import numbers, read_table
from millstream.stream_settings import StreamSettings
from millstream.stream_state import (
    Configured,
    FitFailed,
    FitJob,
    FitStarted,
    ModelFitted,
    Reset,
    Rows,
    Scored,
    StreamResult,
    StreamState,
)


class Stream:
    """A detector that follows a stream of rows: it trains itself, slides its window and retrains.

    The first `min_samples` rows train version 1 in the call that brings the last of them; the next row is the first
    one scored. From then on the model is fitted anew on the window every `retrain_interval` rows. A score rests on
    earlier rows only, and about `contamination` of the rows score above 0.5.

    Parameters
    ----------
    backend : str
        Name of the algorithm; `ms.backends()` lists them.
    min_samples, retrain_interval, window_size : int
        Rows to the first model, rows between retrains, rows a model is trained on.
    threshold : float
        A row is an anomaly when its score is above, 0 to 1.
    contamination : float
        Share of the rows that shall score above 0.5, above 0 and at most 0.5.
    normalization : str
        Accepted as everywhere; a stream's score is calibrated instead.
    rolling_windows, lag_periods : sequence of int
        Rolling statistics and lags of every column that the backend sees besides the row.
    columns : sequence of str, optional
        Names of the values of array rows. By default the first row fixes the columns.
    seed : int
        Seed of the fits.
    quiet_rows : int
        An anomaly opens an alert when none of the last `quiet_rows` rows did.
    background : bool
        Retrain in a thread while scoring goes on (True), or in the call, reproducibly (False).

    Notes
    -----
    Calls from several threads take turns. A missing value (null, NaN, an absent key) counts as the median of its column
    over the window the model was trained on.
    """

    def __init__(
        self,
        backend: str = "ecod",
        min_samples: int = 50,
        retrain_interval: int = 100,
        window_size: int = 1000,
        threshold: float = 0.5,
        contamination: float = 0.1,
        normalization: str = "standardization",
        rolling_windows: Sequence[int] = (),
        lag_periods: Sequence[int] = (),
        columns: Sequence[str] | None = None,
        seed: int = 0,
        quiet_rows: int = 100,
        background: bool = True,
    ) -> None:
        settings = StreamSettings(
            backend=backend,
            min_samples=min_samples,
            retrain_interval=retrain_interval,
            window_size=window_size,
            threshold=threshold,
            contamination=contamination,
            normalization=normalization,
            rolling_windows=tuple(rolling_windows),
            lag_periods=tuple(lag_periods),
            seed=seed,
            quiet_rows=quiet_rows,
        )
        self._start(StreamState(settings), None if columns is None else _names(columns), background)

    def _start(self, state: StreamState, names: tuple[str, ...] | None, background: bool) -> None:
        self._state = state
        self._names = names
        self._background = background
        self._turn = threading.RLock()
        self._fit: Future[None] | None = None
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        state = self._state
        model = f"model {state.model_version}, " if state.model_version else ""
        return f"<Stream: {state.settings.backend}, {state.status}, {model}{counted(state.total_processed, 'row')}>"

    def update(self, row: object) -> StreamResult:
        """Take one row, a mapping or a list or 1-D array of numbers, and return what the stream says about it."""
        with self._turn:
            state = self._state
            result = state.take_row(row)
            if result is None:
                return self.update_many([row])[0]
            if state.sequence >= state.due_at:
                self._start_fit(not self._background)
            return result

    def update_many(self, rows: object) -> StreamResults:
        """Take rows in order (a sequence of rows, a 2-D array, an Arrow table, JSON bytes) and return their results.

        All rows are taken or, when one is not allowed, none. The scores are those of `update` row by row.

        Raises
        ------
        InvalidRequestError
            A value is neither a finite number nor missing; row and column are named.
        """
        with self._turn:
            taken = self._read(rows)
            return StreamResults.of(self._take(taken), taken.columns)

    def configure(self, **changes: Any) -> None:
        """Change parameters by name.

        `threshold`, `contamination`, `retrain_interval`, `quiet_rows` and `normalization` may change at any time,
        `min_samples` until the first model, the others until the first row.

        Raises
        ------
        ConflictError
            The parameter is fixed by now; `reset` frees it.
        """
        with self._turn:
            state = self._state
            settings = state.settings.changed(
                changes, has_rows=state.window is not None, has_model=state.model_version > 0
            )
            state.apply(Configured(settings))

    def reset(self) -> None:
        """Forget columns, rows, model, history and counters; the parameters stay."""
        with self._turn:
            self._state.apply(Reset())

    def wait(self, timeout: float | None = None) -> None:
        """Return when no retrain is under way; `TimeoutError` after `timeout` seconds."""
        if (fit := self._fit) is not None:
            fit.result(timeout)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the stream to a file, after a retrain under way has ended."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Stream:
        """Read a stream from a file; it goes on with the scores the saved one would have given.

        Raises
        ------
        NotFoundError
            There is no such file.
        ModelFileError
            The file is no stream, or damaged. Loading one never runs code.
        """
        return cls.from_bytes(model_file.read(path), Path(path).name)

    def to_bytes(self) -> bytes:
        """The bytes of the stream's file."""
        while True:
            self.wait()
            with self._turn:
                if self._state.fitting is None:
                    return stream_file.encode(self._state, names=self._names, background=self._background)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the stream file") -> Stream:
        """The stream in the bytes of a file; `name` is for messages."""
        state, beside = stream_file.decode(data, name)
        stream = cls.__new__(cls)
        names = beside.get("names")
        stream._start(state, tuple(names) if names else None, bool(beside.get("background", True)))
        return stream

    @property
    def status(self) -> str:
        """`collecting`, `ready`, or `retraining` while a fit is under way in the background."""
        return self._state.status

    @property
    def model_version(self) -> int:
        """How many models there have been; 0 before the first."""
        return self._state.model_version

    @property
    def total_processed(self) -> int:
        """Rows taken since the start or the last reset."""
        return self._state.total_processed

    @property
    def samples_collected(self) -> int:
        """Rows in the window."""
        return self._state.samples_collected

    @property
    def samples_since_retrain(self) -> int:
        """Rows since the last fit started."""
        return self._state.samples_since_retrain

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the columns; None before the first row."""
        return self._state.columns

    @property
    def settings(self) -> StreamSettings:
        """The parameters as they are now."""
        return self._state.settings

    @property
    def retrain_failures(self) -> int:
        """How many fits failed; the model before stayed each time."""
        return self._state.retrain_failures

    @property
    def last_error(self) -> str | None:
        """Why the last fit failed; None when it did not."""
        return self._state.last_error

    def _read(self, data: object) -> Rows:
        first = _first_row(data)
        once = hasattr(data, "__arrow_c_stream__")  # such a stream may be read up by now
        known = None if once else self._state.columns or self._names or first
        table, left_out = numbers(known, lambda mode, only: read_rows(data, rows=mode, only=only))
        read = read_table(self._state, table, first, self._names)
        for key in (*read.ignored, *left_out):
            if key not in self._warned:
                self._warned.add(key)
                warnings.warn(f"the stream has no column {key!r}; it was ignored", stacklevel=4)
        return read.rows

    def _take(self, rows: Rows) -> list[Scored]:
        """Score rows, cut where a fit has to run in the call: for the first model, and without `background` for all."""
        parts: list[Scored] = []
        at = 0
        while not parts or at < len(rows.values):
            in_call = not self._background or self._state.model is None
            end = min(len(rows.values), at + self._state.rows_until_fit) if in_call else len(rows.values)
            parts.append(self._state.apply(Rows(rows.values[at:end], rows.columns, rows.named)))
            at = end
            if self._state.fit_due:
                self._start_fit(in_call)
        return parts

    def _start_fit(self, in_call: bool) -> None:
        job = self._state.fit_job()
        self._state.apply(FitStarted())
        if in_call:
            self._run_fit(job)
        else:
            self._fit = _threads().submit(self._run_fit, job)

    def _run_fit(self, job: FitJob) -> None:
        outcome: ModelFitted | FitFailed
        try:
            outcome = ModelFitted(job.run(), job.trained_to)
        except Exception as error:  # whatever a backend raises: the old model stays and `last_error` says why
            outcome = FitFailed(f"{type(error).__name__}: {error}", job.trained_to)
        with self._turn:
            self._state.apply(outcome)


def _first_row(data: object) -> tuple[str, ...] | None:
    """The keys of the first row when rows are mappings: they fix the columns, those of later rows do not."""
    first = data[0] if isinstance(data, Sequence) and len(data) else data
    return tuple(first) if isinstance(first, Mapping) else None


def _names(columns: Sequence[str]) -> tuple[str, ...]:
    names = tuple(columns)
    if not names or len(set(names)) < len(names):
        raise InvalidRequestError(f"columns is {list(names)}; give at least one name, each once", ("columns",))
    return names


@cache
def _threads() -> ThreadPoolExecutor:
    """The threads in which all streams of this process retrain."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="millstream-fit")
