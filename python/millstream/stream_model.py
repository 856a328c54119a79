"""The model of a stream: what a fit on a window makes, packed for the kernels that score and judge rows.

Two paths lead to the same numbers. The general one takes any backend: a kernel scales the rows, the backend scores
them, a kernel judges. Where a backend offers `stream_kernels`, one fused kernel does it all, and fits the window too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, FitContext
from millstream.backend.registry import backend_class
from millstream.calibration import (
    COLUMNS,
    FEATURES,
    HEAD,
    ROW,
    SCORES,
    judge_row,
    judge_rows,
    pack,
    window_bounds,
)
from millstream.detector import Detector
from millstream.scaling import Scaling
from millstream.stream_settings import StreamSettings

Floats = NDArray[np.float64]


class StreamModel:
    """A fitted backend and, in `packed`, all that scoring and judging a row needs besides it."""

    __slots__ = ("_kernels", "_raw", "_scorer", "backend", "packed")

    def __init__(self, backend: Backend, packed: Floats) -> None:
        self.backend = backend
        self.packed = packed
        self._kernels = backend.stream_kernels()
        self._raw = np.empty(1)
        if self._kernels is None:
            self._scorer = backend.scorer(self._scaling)

    def score_row(self, live: Floats) -> tuple[float, float, bool]:
        """Score, raw score and alert of the row in `live`, which moves over it."""
        if self._kernels is not None:
            return self._kernels.score_row(live, self.packed)
        self._scorer(live[ROW : ROW + self.width].reshape(1, -1), self._raw)
        raw = float(self._raw[0])
        score, alert = judge_row(live, self.packed, raw)
        return score, raw, alert

    def score_rows(self, live: Floats, rows: Floats) -> Floats:
        """Score, raw score and alert (3, n) of rows (n, f), which `live` moves over."""
        out = np.empty((3, len(rows)))
        if self._kernels is not None:
            self._kernels.score_rows(live, self.packed, rows, out)
        elif len(rows):
            raw = np.empty(len(rows))
            self._scorer(rows, raw)
            judge_rows(live, self.packed, rows, raw, out)
        return out

    @property
    def _scaling(self) -> Scaling:
        centers, widths = self.packed[HEAD : HEAD + 2 * self.width].reshape(2, -1)
        return Scaling(centers, widths)

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.packed[FEATURES])

    @property
    def memory_bytes(self) -> int:
        """What its arrays hold."""
        own = [array for array in self.backend.arrays().values() if not np.may_share_memory(array, self.packed)]
        return self.packed.nbytes + sum(array.nbytes for array in own)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The model as named arrays, for a file."""
        n, d, f = (int(self.packed[slot]) for slot in (SCORES, COLUMNS, FEATURES))
        cuts = np.cumsum([HEAD, f, f, 2 * d, n])
        _, centers, widths, bounds, training_scores = np.split(self.packed[: cuts[-1]], cuts[:-1])
        backend = {f"backend.{name}": array for name, array in self.backend.arrays().items()}
        named = {"centers": centers, "widths": widths, "bounds": bounds.reshape(2, d)}
        return {**named, "training_scores": training_scores, **backend}


def fit_model(settings: StreamSettings, columns: Floats, own: int) -> StreamModel:
    """Fit on a window (f, n) whose first `own` columns are the row's own. A function of its arguments."""
    kernels = backend_class(settings.backend).stream_kernels()
    if kernels is not None and (fitted := kernels.fit(columns, own)) is not None:
        backend = _new_backend(settings)
        backend.take(fitted.arrays)
        return StreamModel(backend, fitted.packed)
    detector = new_detector(settings).fit(np.ascontiguousarray(columns.T))
    return describe(detector, columns[:own])


def new_detector(settings: StreamSettings) -> Detector:
    """The detector a stream with these settings fits; missing values become the median of their column."""
    return Detector(
        backend=settings.backend,
        contamination=settings.contamination,
        normalization=settings.normalization,
        missing="median",
        seed=settings.seed,
    )


def describe(detector: Detector, own: Floats) -> StreamModel:
    """The model around a detector that was fitted on a window whose own columns are `own` (d, n)."""
    ascending = np.sort(detector.training_raw_scores)
    scale, backend = detector.scaling, detector.fitted_backend
    part = backend.stream_part(len(ascending), len(scale.centers))
    return StreamModel(backend, pack(scale.centers, scale.widths, window_bounds(own), ascending, part))


def restore(settings: StreamSettings, arrays: Mapping[str, NDArray[Any]], columns: int, width: int) -> StreamModel:
    """The model in the `arrays` of a file; `KeyError` or `ValueError` when they do not fit together."""
    parts = {name: np.ascontiguousarray(arrays[name], np.float64) for name in _PARTS}
    centers, widths, bounds, scores = (parts[name] for name in _PARTS)
    shapes = {"centers": (width,), "widths": (width,), "bounds": (2, columns), "training_scores": (scores.size,)}
    if any(part.shape != shapes[name] or not np.isfinite(part).all() for name, part in parts.items()):
        raise ValueError("the arrays of the model do not fit the stream")
    if not scores.size or not (np.diff(scores) >= 0).all() or not (widths > 0).all():
        raise ValueError("the training scores or the widths of the model are none")
    backend = _new_backend(settings)
    backend.take({key.removeprefix("backend."): array for key, array in arrays.items() if key.startswith("backend.")})
    if backend.width > width:
        raise ValueError("the backend reads more columns than there are")
    part = backend.stream_part(len(scores), width)
    return StreamModel(backend, pack(centers, widths, bounds, scores, part))


_PARTS = ("centers", "widths", "bounds", "training_scores")


def _new_backend(settings: StreamSettings) -> Backend:
    return backend_class(settings.backend)({}, FitContext(settings.contamination, settings.seed))
