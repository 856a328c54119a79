"""The model of a stream: what a fit on a window makes, packed for the kernels that score and judge rows.

Two paths lead to the same numbers. The general one takes any backend: a kernel scales the rows, the backend scores
them, a kernel judges. Where a backend offers `stream_kernels`, one fused kernel does it all, and fits the window too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, FitContext, Scorer, StreamKernels
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
from millstream.detector import Detector, FitSettings
from millstream.scaling import Scaling
from millstream.stream_settings import StreamSettings

Floats = NDArray[np.float64]
Order = NDArray[np.int32]


class StreamModel:
    """A fitted model in `packed`, and who scores with it: the kernels of its backend, or the backend itself.

    `order` and `first` (the number of its first row) describe the window it was fitted on, where its kernels said so.
    """

    __slots__ = ("_kernels", "_scorer", "backend", "first", "order", "packed")

    def __init__(
        self,
        packed: Floats,
        backend: Backend | None,
        kernels: StreamKernels | None,
        order: Order | None = None,
        first: int = 0,
    ) -> None:
        self.packed = packed
        self.backend = backend
        self.order = order
        self.first = first
        self._kernels = kernels
        self._scorer: Scorer | None = None
        if backend is not None:  # made here, where the fit runs: a swap on the event loop must not pay for packing
            centers, widths = packed[HEAD : HEAD + 2 * self.width].reshape(2, -1)
            self._scorer = backend.scorer(Scaling(centers, widths))

    def row_scorer(self, live: Floats) -> Callable[[], tuple[float, float, bool]]:
        """A function that returns score, raw score and alert of the row in `live`, and moves `live` over it."""
        if self._kernels is not None:
            return partial(self._kernels.score_row, live, self.packed)
        assert self._scorer is not None, "a model scores by kernels or by its backend"
        scorer, row, raw = self._scorer, live[ROW : ROW + self.width].reshape(1, -1), np.empty(1)

        def score_row() -> tuple[float, float, bool]:
            scorer(row, raw)
            score, alert = judge_row(live, self.packed, raw[0])
            return score, float(raw[0]), alert

        return score_row

    def score_rows(self, live: Floats, rows: Floats) -> Floats:
        """Score, raw score and alert (3, n) of rows (n, f), which `live` moves over."""
        out = np.empty((3, len(rows)))
        if self._kernels is not None:
            self._kernels.score_rows(live, self.packed, rows, out)
        elif len(rows) and self._scorer is not None:
            raw = np.empty(len(rows))
            self._scorer(rows, raw)
            judge_rows(live, self.packed, rows, raw, out)
        return out

    @property
    def width(self) -> int:
        """Features of a row."""
        return int(self.packed[FEATURES])

    @property
    def memory_bytes(self) -> int:
        """What its arrays hold."""
        order = 0 if self.order is None else self.order.nbytes
        return self.packed.nbytes + order + sum(array.nbytes for array in self._backend_arrays().values())

    def _backend_arrays(self) -> dict[str, NDArray[Any]]:
        return {} if self.backend is None else self.backend.arrays()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The model as named arrays, for a file."""
        n, d, f = (int(self.packed[slot]) for slot in (SCORES, COLUMNS, FEATURES))
        cuts = np.cumsum([HEAD, f, f, 2 * d, n])
        _, centers, widths, bounds, training_scores = np.split(self.packed[: cuts[-1]], cuts[:-1])
        fitted = self._kernels.arrays(self.packed) if self._kernels is not None else self._backend_arrays()
        backend = {f"backend.{name}": array for name, array in fitted.items()}
        named = {"centers": centers, "widths": widths, "bounds": bounds.reshape(2, d)}
        return {**named, "training_scores": training_scores, **backend}


def fit_model(
    settings: StreamSettings,
    columns: Floats,
    own: int,
    first: int = 0,
    before: StreamModel | None = None,
    spare: StreamModel | None = None,
) -> StreamModel:
    """Fit on a window (f, n) whose first `own` columns are the row's own. A function of its arguments.

    `first` is the number of the window's first row. The model `before` this one spares time, and so does a `spare` one
    that nobody uses any more: its memory is written anew.
    """
    kernels = backend_class(settings.backend).stream_kernels()
    if kernels is not None:
        order, shift = (None, 0) if before is None else (before.order, first - before.first)
        into = (spare.packed, spare.order) if spare is not None and spare.order is not None else None
        fitted = kernels.fit(columns, own, settings.contamination, order, shift, into)
        if fitted is not None:
            return StreamModel(fitted[0], None, kernels, fitted[1], first)
    detector = Detector(**asdict(fit_settings(settings))).fit(np.ascontiguousarray(columns.T))
    return describe(detector, columns[:own])


def fit_settings(settings: StreamSettings) -> FitSettings:
    """What the detector of a stream with these settings is told; missing values become the median of their column."""
    return FitSettings(
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
    bounds = window_bounds(own, detector.settings.contamination)
    packed = pack(scale.centers, scale.widths, bounds, ascending, part)
    return _model(backend, packed)


def restore(settings: StreamSettings, arrays: Mapping[str, NDArray[Any]], columns: int, width: int) -> StreamModel:
    """The model in the `arrays` of a file; `KeyError` or `ValueError` when they do not fit together."""
    parts = {name: np.ascontiguousarray(arrays[name], np.float64) for name in _PARTS}
    centers, widths, bounds, scores = (parts[name] for name in _PARTS)
    shapes = {"centers": (width,), "widths": (width,), "bounds": (2, columns), "training_scores": (scores.size,)}
    if any(part.shape != shapes[name] or not np.isfinite(part).all() for name, part in parts.items()):
        raise ValueError("the arrays of the model do not fit the stream")
    if not scores.size or not (np.diff(scores) >= 0).all() or not (widths > 0).all():
        raise ValueError("the training scores or the widths of the model are none")
    backend = backend_class(settings.backend)({}, FitContext(settings.contamination, settings.seed))
    backend.take({key.removeprefix("backend."): array for key, array in arrays.items() if key.startswith("backend.")})
    if not backend.is_for(width):
        raise ValueError("the backend reads other columns than there are")
    part = backend.stream_part(len(scores), width)
    return _model(backend, pack(centers, widths, bounds, scores, part))


_PARTS = ("centers", "widths", "bounds", "training_scores")


def _model(backend: Backend, packed: Floats) -> StreamModel:
    kernels = backend.stream_kernels()
    return StreamModel(packed, None if kernels is not None else backend, kernels)
