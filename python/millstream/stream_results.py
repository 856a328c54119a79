"""What a stream says about the rows of one call."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millstream.stream_state import Bools, Floats, Scored, StreamResult

_PIECE = 2_048  # rows made at once while iterating


@dataclass(frozen=True, slots=True)
class StreamResults:
    """What a stream says about the rows of one call: arrays of one value a row, and iterable row by row.

    `score` and `raw_score` are NaN, and `is_anomaly` False, while there was no model. `imputed` (rows, columns) marks
    the values that were missing, None when none was.
    """

    score: Floats
    is_anomaly: Bools
    is_alert: Bools
    raw_score: Floats
    samples_until_ready: NDArray[np.int64]
    imputed: Bools | None
    columns: tuple[str, ...]

    @classmethod
    def of(cls, parts: list[Scored], columns: tuple[str, ...]) -> StreamResults:
        """Those of all rows of `parts`."""
        return cls(
            score=np.concatenate([part.score for part in parts]),
            is_anomaly=np.concatenate([part.is_anomaly for part in parts]),
            is_alert=np.concatenate([part.is_alert for part in parts]),
            raw_score=np.concatenate([part.raw_score for part in parts]),
            samples_until_ready=np.concatenate([part.samples_until_ready for part in parts]),
            imputed=_joined([part.missing for part in parts], [len(part.score) for part in parts], len(columns)),
            columns=columns,
        )

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, index: int) -> StreamResult:
        at = range(len(self))[index]
        return self.between(at, at + 1)[0]

    def __iter__(self) -> Iterator[StreamResult]:
        starts = range(0, len(self), _PIECE)
        return itertools.chain.from_iterable(self.between(start, start + _PIECE) for start in starts)

    def between(self, start: int, end: int) -> list[StreamResult]:
        """The rows from `start` to `end` (left out), made at once: a fifth of what they take one by one."""
        names = self._imputed(start, end)
        columns = (self.score, self.is_anomaly, self.is_alert, self.raw_score, self.samples_until_ready)
        rows = zip(*(column[start:end].tolist() for column in columns), strict=True)
        results = []
        for at, (score, anomaly, alert, raw, until) in enumerate(rows, start):
            if math.isnan(score):  # there was no model
                results.append(StreamResult(at, None, None, alert, None, until, names.get(at, ())))
            else:
                results.append(StreamResult(at, score, anomaly, alert, raw, until, names.get(at, ())))
        return results

    def _imputed(self, start: int, end: int) -> dict[int, tuple[str, ...]]:
        if self.imputed is None:
            return {}
        rows = start + np.flatnonzero(self.imputed[start:end].any(axis=1))
        return {row: tuple(self.columns[at] for at in np.flatnonzero(self.imputed[row])) for row in rows.tolist()}


def _joined(parts: list[Bools | None], lengths: list[int], columns: int) -> Bools | None:
    if all(part is None for part in parts):
        return None
    blank = [
        np.zeros((n, columns), dtype=np.bool_) if part is None else part for part, n in zip(parts, lengths, strict=True)
    ]
    return np.concatenate(blank)
