"""What every backend is: an algorithm whose fitted state is arrays, and its description.

`fit` writes, `score` only reads and is safe from many threads; a higher score is more anomalous. Rows arrive scaled and
without missing values. A row's score never depends on the other rows of its call.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from reprlib import repr as short
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from millstream.errors import InvalidRequestError
from millstream.scaling import Scaling

Floats = NDArray[np.float64]
Scorer = Callable[[Floats, Floats], bool]

# Backends of squared distances clip values here, 10^75 interquartile ranges out, so that no square overflows.
WIDEST = 1e75


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter: its type in words, default, meaning and range.

    `at_least` and `at_most` bound numbers, and every number of "ints" (a list of 1 to 16 integers). `choices` are the
    words allowed: the only values of type "str", and allowed beside numbers of type "int" and "float". A default of
    None means that the fit decides; null asks for the same.
    """

    type: Literal["int", "float", "bool", "str", "ints"]
    default: Any
    description: str
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackendInfo:
    """What a backend tells about itself. `available`: it can be fitted here; if not, `extra` names what brings it."""

    backend: str
    name: str
    description: str
    category: str
    speed: str
    memory: str
    best_for: str
    parameter_info: Mapping[str, Parameter] = field(default_factory=dict)
    is_legacy: bool = False
    available: bool = True
    extra: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the hyperparameters."""
        return tuple(self.parameter_info)


@dataclass(frozen=True)
class FitContext:
    """What a fit is told besides its rows and its own parameters."""

    contamination: float = 0.1
    seed: int = 0
    epochs: int = 100
    batch_size: int = 32


class StreamKernels(Protocol):
    """What streams do with a backend row by row, fused: same numbers, fewer passes. A module of functions is one."""

    def score_row(self, live: Floats, packed: Floats) -> tuple[float, float, bool]:
        """Score, raw score and alert of the row in `live`."""

    def score_rows(self, live: Floats, packed: Floats, rows: Floats, out: Floats) -> None:
        """Write score, raw score and alert (3, n) of rows (n, f), as they came, NaN where missing."""

    def fit(
        self,
        columns: Floats,
        own: int,
        contamination: float,
        before: NDArray[np.int32] | None,
        shift: int,
        into: tuple[Floats, NDArray[np.int32]] | None,
    ) -> tuple[Floats, NDArray[np.int32]] | None:
        """Fit on columns (f, n), the first `own` of which are the row's own; None: the general path has to.

        Returns the packed model of calibration.py and the order of each column (f, n), which the fit on the window
        `shift` rows later may be given as `before` to take less time. The model is the same without. `into` are arrays
        of an earlier fit, to be written anew.
        """

    def arrays(self, packed: Floats) -> dict[str, NDArray[Any]]:
        """The fitted state in a packed model, as `Backend.arrays` gives it."""


class Backend(ABC):
    """One algorithm. A fitted backend is its `arrays`; nothing else of it is stored."""

    info: ClassVar[BackendInfo]
    fit_in: ClassVar[Literal["thread", "process"]] = "thread"
    least_rows: ClassVar[int] = 2
    reads_every_column: ClassVar[bool] = True  # False: the last columns may play no part in the fit

    def __init__(self, params: Mapping[str, Any], context: FitContext) -> None:
        self.params = checked_params(self.info, params)
        self.context = context

    @property
    @abstractmethod
    def width(self) -> int:
        """How many columns of a row `score` reads: a file that claims fewer is refused. Known once fitted or taken."""

    def is_for(self, columns: int) -> bool:
        """Whether the fitted state is one of rows of so many columns: kernels trust that."""
        return self.width == columns or (self.width < columns and not self.reads_every_column)

    @abstractmethod
    def fit(self, rows: Floats) -> Floats:
        """Fit on `rows` (n, d) and return their raw scores (n)."""

    @abstractmethod
    def score(self, rows: Floats) -> Floats:
        """The raw scores of `rows` (n, d), C order."""

    def scorer(self, scaling: Scaling) -> Scorer:
        """The function to score many times with: made once, so that a call pays for no import and no packing.

        It takes values (n, d) as they came, NaN where one is missing, C order, and fills n scores, all finite; it
        returns False, and the scores mean nothing, when a value is infinite or the width is not that of the model.
        """
        from millstream.scaling_kernels import make_finite, scale_rows

        packed = scaling.packed()

        def score_values(values: Floats, scores: Floats) -> bool:
            rows = np.empty(values.shape)
            if not scale_rows(packed, values, rows):
                return False
            scores[:] = self.score(rows)
            make_finite(scores)
            return True

        return score_values

    @classmethod
    def stream_kernels(cls) -> StreamKernels | None:
        """Fused kernels for streams; None, and streams take the general path, where a backend has none."""
        return None

    def stream_part(self, rows: int, features: int) -> Floats | None:
        """What the fused kernels want of the fitted state in the packed model; None where there are none.

        Raises ValueError when the state is not that of a fit on so many rows and features: kernels trust it.
        """
        return None

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fitted state."""

    @abstractmethod
    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become the fitted state `arrays`. Raises ValueError or KeyError when they do not fit together."""


class FusedBackend(Backend):
    """A backend whose kernel fills in, scales and scores in one pass: separate passes cost 2 us a call."""

    @abstractmethod
    def scorer(self, scaling: Scaling) -> Scorer:
        """See `Backend.scorer`."""

    def score(self, rows: Floats) -> Floats:
        """The raw scores of `rows` (n, d), C order. Who calls this often keeps a scorer instead."""
        scores = np.empty(len(rows))
        self.scorer(Scaling.identity(rows.shape[1]))(rows, scores)
        return scores


def checked_array(arrays: Mapping[str, NDArray[Any]], name: str, dtype: type[np.generic], ndim: int) -> NDArray[Any]:
    """The array of that name, in C order; ValueError when it is of another type or has other dimensions."""
    array = arrays[name]
    if array.dtype != dtype or array.ndim != ndim:
        raise ValueError(f"the array {name!r} is {array.dtype} with {array.ndim} dimensions")
    return np.ascontiguousarray(array)


def checked_params(info: BackendInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with `given`; an unknown or bad one is refused and the valid ones are listed."""
    if not isinstance(given, Mapping):
        raise InvalidRequestError(
            f"'params' is {short(given)}; allowed is a mapping from names to values; send one.", loc=("params",)
        )
    taken: dict[str, Any] = {}
    for name, value in given.items():
        known = info.parameter_info.get(name)
        if known is None:
            valid = ", ".join(info.parameters) or "none"
            raise InvalidRequestError(
                f"'params' has {name!r}, which {info.backend} does not know; allowed are: {valid}; leave it out.",
                loc=("params", name),
            )
        if value is None:
            continue  # as if not given
        taken[name] = _plain(known, value)
        if not _fits(known, taken[name]):
            raise InvalidRequestError(
                f"'params' has {name} = {short(value)}; allowed is {_allowed(known)}; correct it.", loc=("params", name)
            )
    return {name: known.default for name, known in info.parameter_info.items()} | taken


def integer(value: Any) -> int | None:
    """The integer that `value` is, 3.0 being 3, for JSON has one kind of number; None for what is none."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, float | np.floating) and float(value).is_integer() else None


def _plain(parameter: Parameter, value: Any) -> Any:
    """`value` as Python's own number, or list of them, where it reads as what is asked."""
    if parameter.type == "ints" and isinstance(value, list | tuple):
        return [_plain(replace(parameter, type="int"), item) for item in value]
    whole = integer(value) if parameter.type == "int" else None
    if whole is None and isinstance(value, np.generic):
        return value.item()
    return value if whole is None else whole


def _fits(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, str):
        return value in parameter.choices
    if parameter.type == "ints":
        return isinstance(value, list | tuple) and 1 <= len(value) <= 16 and all(_in_range(parameter, v) for v in value)
    if parameter.type == "bool":
        return isinstance(value, bool)
    return parameter.type != "str" and _in_range(parameter, value)


def _in_range(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float if parameter.type == "float" else int):
        return False
    low, high = parameter.at_least, parameter.at_most
    return (low is None or value >= low) and (high is None or value <= high) and abs(value) < math.inf


def _allowed(parameter: Parameter) -> str:
    low, high = parameter.at_least, parameter.at_most
    limits = f" from {low:,} to {high:,}" if high is not None else f" of at least {low:,}" if low is not None else ""
    kinds = {"int": "an integer", "float": "a number", "bool": "true or false", "ints": "a list of 1 to 16 integers"}
    ways = [kinds[parameter.type] + limits] if parameter.type in kinds else []
    ways += [repr(choice) for choice in parameter.choices]
    if parameter.default is None:
        ways.append("null")
    return " or ".join(ways)
