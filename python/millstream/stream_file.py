"""A stream as a file: window, model, calibration, counters and settings, in the codec of model files.

A restored stream goes on with the scores the saved one would have given, to the last bit: what its features rest on
lies in the rows held, and the order of a fit's inputs is that of the window. A checksum shows damage, not intent, so
everything a kernel will trust is checked here or where it is taken.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream import model_file, stream_model
from millstream.errors import MillstreamError, ModelFileError
from millstream.stream_settings import StreamSettings
from millstream.stream_state import StreamState

Arrays = dict[str, NDArray[Any]]

_COUNTERS = ("sequence", "started_at", "fit_at", "model_version", "retrain_failures")


def encode(state: StreamState, **beside: Any) -> bytes:
    """The bytes of a stream with no fit under way; `beside` (JSON) is given back by `decode`."""
    assert state.fitting is None, "a fit under way belongs to the process it runs in"
    arrays: Arrays = {"calibration": state.calibration.learnt}
    meta: dict[str, Any] = {
        "object": "stream",
        "settings": asdict(state.settings),
        "columns": state.columns,
        "named": state.named,
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "fit_attempted": state.fit_attempted,
        "last_error": state.last_error,
        "beside": beside,
        "versions": model_file.versions(),
    }
    if state.window is not None:
        rows = state.window.snapshot()
        meta["first"] = rows.first
        arrays["window"] = rows.places()
    if state.model is not None:
        arrays |= {f"model.{name}": array for name, array in state.model.arrays().items()}
    return model_file.encode(meta, arrays)


def decode(data: bytes, name: str = "the stream file") -> tuple[StreamState, dict[str, Any]]:
    """The stream in the bytes of a file, and what was saved beside it.

    Raises
    ------
    ModelFileError
        The file is foreign, damaged or newer, or its parts do not fit together.
    """
    meta, arrays = model_file.decode(data, name)
    try:
        return _state(meta, arrays), dict(meta["beside"])
    except (MillstreamError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ModelFileError(_no_stream(name, meta)) from error


def _no_stream(name: str, meta: object) -> str:
    if isinstance(meta, dict) and "statistics" in meta:
        return f"The file '{name}' holds a detector, not a stream; load it with Detector.load."
    return f"The file '{name}' is no millstream stream; delete it or start a new stream."


def _state(meta: dict[str, Any], arrays: Arrays) -> StreamState:
    state = StreamState(StreamSettings(**meta["settings"]))
    if meta["columns"] is not None:
        state.open(_columns(meta["columns"]), _boolean(meta["named"]))
    for name in _COUNTERS:
        setattr(state, name, _count(meta["counters"][name]))
    if not state.started_at <= state.fit_at <= state.sequence:
        raise ValueError("the counters contradict each other")
    state.fit_attempted = _boolean(meta["fit_attempted"])
    state.last_error = None if meta["last_error"] is None else str(meta["last_error"])
    state.calibration.go_on_from(arrays["calibration"])
    if state.window is not None:
        state.window.resume(_count(meta["first"]), np.ascontiguousarray(arrays["window"], np.float64))
    if state.model_version:
        state.follow(_model(state, arrays))
    state.plan_fit()
    return state


def _model(state: StreamState, arrays: Arrays) -> stream_model.StreamModel:
    named = {key.removeprefix("model."): array for key, array in arrays.items() if key.startswith("model.")}
    if state.columns is None:
        raise ValueError("a model without columns")
    return stream_model.restore(state.settings, named, len(state.columns), state.width)


def _columns(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("the columns are no names")
    return tuple(names)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError("a counter is no whole number")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("a mark is neither true nor false")
    return value
