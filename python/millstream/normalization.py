"""From raw scores to the three kinds of scores, and the thresholds learned for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from millstream.errors import InvalidRequestError
from millstream.percentiles import percentiles
from millstream.scaling import LARGEST, SQUARABLE

Floats = NDArray[np.float64]
Normalization = Literal["standardization", "zscore", "raw"]
_ROUNDING = 8 * float(np.finfo(np.float64).eps)
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)


@dataclass(frozen=True)
class ScoreStatistics:
    """What the training scores say: center and width of each kind, and its learned threshold."""

    median: float
    iqr: float  # the standard deviation where it is 0, then 1
    mean: float
    std: float  # 1 where it is 0
    thresholds: tuple[float, float, float]  # in the order of NORMALIZATIONS

    @classmethod
    def checked(cls, parts: Mapping[str, Any]) -> ScoreStatistics:
        """The statistics in `parts`, read from a file; ValueError, KeyError or TypeError if they cannot be any."""
        median, iqr, mean, std = (_finite(parts[name]) for name in ("median", "iqr", "mean", "std"))
        first, second, third = (_finite(threshold) for threshold in parts["thresholds"])
        if iqr <= 0 or std <= 0:
            raise ValueError("scores have no width")
        return cls(median, iqr, mean, std, (first, second, third))

    def normalize(self, raw: Floats, kind: str) -> Floats:
        """The scores of that kind. standardization: 1/(1+exp(-(r-median)/(2 IQR))), zscore: (r-mean)/std, raw: r."""
        return _normalize(raw, kind, self.median, self.iqr, self.mean, self.std)

    def threshold(self, kind: str) -> float:
        """The learned threshold of that kind."""
        return self.thresholds[NORMALIZATIONS.index(checked(kind))]


def _finite(value: Any) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return value


def learn(raw: Floats, contamination: float) -> ScoreStatistics:
    """Statistics of the training scores; a threshold is their (1 - contamination) percentile, interpolated."""
    largest = float(np.max(np.abs(raw), initial=0.0))
    unit = largest if largest > SQUARABLE else 1.0
    parts = raw / unit
    rank = 100 * (1 - contamination)
    low, median, high, limit = (value * unit for value in percentiles(parts, (25, 50, 75, rank)))
    mean, std = float(np.mean(parts)) * unit, float(np.std(parts)) * unit
    rounding = _ROUNDING * largest  # equal scores differ by their last digits, and a mean from what it is the mean of
    iqr = _beyond(min(high - low, LARGEST), rounding) or _beyond(std, rounding) or 1.0
    if std <= rounding:
        mean, std = median, 1.0
    first, second = (
        percentiles(_normalize(raw, kind, median, iqr, mean, std), [rank])[0] for kind in NORMALIZATIONS[:2]
    )
    return ScoreStatistics(median, iqr, mean, std, (first, second, limit))


def _beyond(width: float, rounding: float) -> float:
    return width if width > rounding else 0.0


def checked(kind: str) -> Normalization:
    """`kind` if it is one of the three."""
    for known in NORMALIZATIONS:
        if kind == known:
            return known
    raise InvalidRequestError(
        f"'normalization' is {kind!r}; allowed are {', '.join(NORMALIZATIONS)}; choose one.", loc=("normalization",)
    )


def _normalize(raw: Floats, kind: str, median: float, iqr: float, mean: float, std: float) -> Floats:
    match checked(kind):
        case "standardization":
            with np.errstate(over="ignore"):
                return np.asarray(1 / (1 + np.exp(-(raw / 2 - median / 2) / iqr)))  # halves: no overflow
        case "zscore":
            with np.errstate(over="ignore"):
                return np.asarray(np.clip((raw - mean) / std, -LARGEST, LARGEST))
        case "raw":
            return raw
