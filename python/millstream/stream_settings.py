"""What a stream is told: its parameters, their limits, and which of them may change when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from millstream import normalization
from millstream._core import MAX_CAPACITY, MAX_PERIODS
from millstream.backend.registry import fittable_class
from millstream.detector import checked_integer, is_number
from millstream.errors import ConflictError, InvalidRequestError

_ROWS_AT_LEAST = {"min_samples": 10, "retrain_interval": 10, "window_size": 50, "quiet_rows": 0}
_FIXED_BY_ROWS = ("backend", "window_size", "rolling_windows", "lag_periods", "seed")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The parameters of a stream, checked. `InvalidRequestError` names the one that is not allowed."""

    backend: str = "ecod"
    min_samples: int = 50
    retrain_interval: int = 100
    window_size: int = 1000
    threshold: float = 0.5
    contamination: float = 0.1
    normalization: str = "standardization"
    rolling_windows: tuple[int, ...] = ()
    lag_periods: tuple[int, ...] = ()
    quiet_rows: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        fittable_class(self.backend)
        normalization.checked(self.normalization)
        for name, least in _ROWS_AT_LEAST.items():
            _set(self, name, checked_integer(name, getattr(self, name), least, MAX_CAPACITY))
        if self.min_samples > self.window_size:
            raise InvalidRequestError(
                f"'min_samples' is {self.min_samples} and 'window_size' {self.window_size}: a window has to"
                " hold the rows of the first model; lower min_samples or raise window_size",
                ("min_samples",),
            )
        if not is_number(self.threshold) or not 0 <= self.threshold <= 1:
            raise InvalidRequestError(f"'threshold' is {self.threshold!r}; it lies from 0 to 1", ("threshold",))
        if not is_number(self.contamination) or not 0 < self.contamination <= 0.5:
            raise InvalidRequestError(
                f"'contamination' is {self.contamination!r}; it is a share of rows above 0 and at most 0.5",
                ("contamination",),
            )
        _set(self, "seed", checked_integer("seed", self.seed, 0, 2**32 - 1))
        for name in ("rolling_windows", "lag_periods"):
            _set(self, name, _periods(name, getattr(self, name), self.window_size))

    def changed(self, sent: Mapping[str, Any], *, has_rows: bool, has_model: bool) -> StreamSettings:
        """Return these settings with the parameters `sent`; those not sent stay.

        Raises
        ------
        ConflictError
            A parameter differs that rows have fixed, or `min_samples` differs after the first model.
        """
        if not sent:
            return self
        asked = replace(self, **sent)
        fixed = (*_FIXED_BY_ROWS, "min_samples") if has_model else _FIXED_BY_ROWS
        for name in fixed if has_rows else ():
            if (old := getattr(self, name)) != (new := getattr(asked, name)):
                raise ConflictError(
                    f"the stream has {name} {_text(old)} and cannot change it to {_text(new)} while it holds rows;"
                    " reset or delete it first"
                )
        return asked


def _set(settings: StreamSettings, name: str, value: object) -> None:
    object.__setattr__(settings, name, value)  # the way a frozen dataclass normalizes what it was given


def _periods(name: str, values: Any, window_size: int) -> tuple[int, ...]:
    periods = tuple(checked_integer(name, value, 1, window_size) for value in values)
    if len(set(periods)) < len(periods):
        raise InvalidRequestError(f"'{name}' is {list(periods)}; each value may stand there once", (name,))
    if len(periods) > MAX_PERIODS:
        raise InvalidRequestError(f"'{name}' has {len(periods)} values; at most {MAX_PERIODS} are allowed", (name,))
    return periods


def _text(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
