"""A streaming detector in the store: its state, and a call's rows as one event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np

from millstream._core import Body, Table
from millstream.errors import InvalidRequestError, MillstreamError
from millstream.server.entries import Pause
from millstream.server.limits import Limits, raise_all
from millstream.stream_results import StreamResults
from millstream.stream_rows import numbers, read_table
from millstream.stream_settings import StreamSettings
from millstream.stream_state import (
    Change,
    Configured,
    FitFailed,
    FitJob,
    FitStarted,
    ModelFitted,
    Rows,
    Scored,
    StreamResult,
    StreamState,
)

Outcome = ModelFitted | FitFailed
T = TypeVar("T")
Steps = Generator[FitJob, Outcome, T]


@dataclass(frozen=True, slots=True)
class Batch:
    """One call: the parameters it sent and its rows, still unread; `again` reads them in another mode.

    The event waits for `fit`, the first one."""

    body: Body
    again: Callable[[Literal["numeric", "text"], tuple[str, ...] | None], Table]
    sent: Mapping[str, Any]
    first_row: Callable[[], tuple[str, ...] | None]
    limits: Limits
    fit: Callable[[FitJob], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch came to, and how the stream stood right after it. One row's result is a list, cheaper to make."""

    results: StreamResults | list[StreamResult]
    ignored: tuple[str, ...]
    status: str
    model_version: int
    samples_collected: int
    samples_until_ready: int
    threshold: float
    job: FitJob | None


class NamedStream:
    """The state of one stream; changed by `apply` only."""

    __slots__ = ("counted", "state")

    def __init__(self, settings: StreamSettings) -> None:
        self.state = StreamState(settings)
        self.counted: int | None = 0  # its bytes in the server's count; None once it was deleted

    @property
    def is_full(self) -> bool:
        """Whether more rows need no more memory."""
        return self.state.samples_collected >= self.state.settings.window_size

    def apply(self, event: Batch | Change) -> Taken | Pause | None:
        """Change by one event, whole or not at all; a batch is scored, and waits where the first model is fitted."""
        if isinstance(event, Batch):
            return _advance(self._take(event), event, None)
        self.state.apply(event)
        return None

    def may_fit(self, rows: int) -> bool:
        """Whether that many rows may complete the first model, which takes its time."""
        return self.state.model is None and self.state.rows_until_fit <= rows

    def _take(self, batch: Batch) -> Steps[Taken]:
        state = self.state
        settings = state.settings.changed(
            batch.sent, has_rows=state.window is not None, has_model=state.model_version > 0
        )
        rows, ignored = self._read(batch)
        before = state.settings
        if settings is not before:
            state.apply(Configured(settings))
        try:
            results = yield from self._results(rows)
        except MillstreamError:  # columns and features that do not go together: the one refusal left, of a first row
            state.apply(Configured(before))
            raise
        job = state.fit_job() if state.fit_due else None
        if job is not None:
            state.apply(FitStarted())
        return Taken(
            results=results,
            ignored=ignored,
            status=state.status,
            model_version=state.model_version,
            samples_collected=state.samples_collected,
            samples_until_ready=state.samples_until_ready,
            threshold=state.settings.threshold,
            job=job,
        )

    def _read(self, batch: Batch) -> tuple[Rows, tuple[str, ...]]:
        table, left_out = self._table(batch)
        if not len(table):
            columns = self.state.columns or ()
            return Rows(np.empty((0, len(columns))), columns, self.state.named), ()
        first = batch.first_row() if self.state.columns is None else None
        try:
            read = read_table(self.state, table, first)
        except InvalidRequestError as error:
            raise error.under("data") from None
        raise_all([*batch.limits.columns("data", len(read.rows.columns))])
        batch.limits.rows_of_answer(len(read.rows.values))
        return read.rows, (*read.ignored, *left_out)

    def _table(self, batch: Batch) -> tuple[Table, tuple[str, ...]]:
        try:
            return batch.body.table(), ()
        except InvalidRequestError:
            return numbers(self.state.columns or batch.first_row(), batch.again)

    def _results(self, rows: Rows) -> Steps[StreamResults | list[StreamResult]]:
        if len(rows.values) == 1 and (result := self.state.take_row(rows.values[0])) is not None:
            return [result]
        return StreamResults.of((yield from self._score(rows)), rows.columns)

    def _score(self, rows: Rows) -> Steps[list[Scored]]:
        """Score rows, cut where the first model has to be fitted: the row after it is the first one scored."""
        state = self.state
        parts: list[Scored] = []
        at = 0
        while not parts or at < len(rows.values):
            end = len(rows.values)
            if state.model is None:
                end = min(end, at + state.rows_until_fit)
            parts.append(state.apply(Rows(rows.values[at:end], rows.columns, rows.named)))
            at = end
            if state.fit_due and state.model is None:
                job = state.fit_job()
                state.apply(FitStarted())
                state.apply((yield job))
        return parts


def _advance(steps: Steps[Taken], batch: Batch, outcome: Outcome | None) -> Taken | Pause:
    """Run a batch up to its end or to the next fit it waits for."""
    try:
        job = next(steps) if outcome is None else steps.send(outcome)
    except StopIteration as end:
        taken: Taken = end.value
        return taken
    return Pause(partial(batch.fit, job), partial(_advance, steps, batch))
