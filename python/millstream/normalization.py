"""From raw scores to the three kinds of scores, and the thresholds learned for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from millstream.errors import InvalidRequestError

Floats = NDArray[np.float64]
Normalization = Literal["standardization", "zscore", "raw"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)


@dataclass(frozen=True)
class ScoreStatistics:
    """What the training scores say: center and width of each kind, and its learned threshold."""

    median: float
    iqr: float  # the standard deviation where it is 0, then 1
    mean: float
    std: float  # 1 where it is 0
    thresholds: tuple[float, float, float]  # in the order of NORMALIZATIONS

    def normalize(self, raw: Floats, kind: str) -> Floats:
        """The scores of that kind. standardization: 1/(1+exp(-(r-median)/(2 IQR))), zscore: (r-mean)/std, raw: r."""
        return _normalize(raw, kind, self.median, self.iqr, self.mean, self.std)

    def threshold(self, kind: str) -> float:
        """The learned threshold of that kind."""
        return self.thresholds[NORMALIZATIONS.index(checked(kind))]


def learn(raw: Floats, contamination: float) -> ScoreStatistics:
    """Statistics of the training scores; a threshold is their (1 - contamination) percentile, interpolated."""
    low, median, high = (float(v) for v in np.percentile(raw, [25, 50, 75]))
    mean, std = float(np.mean(raw)), float(np.std(raw))
    iqr = high - low or std or 1.0
    std = std or 1.0
    kinds = (_normalize(raw, kind, median, iqr, mean, std) for kind in NORMALIZATIONS)
    first, second, third = (float(np.percentile(scores, 100 * (1 - contamination))) for scores in kinds)
    return ScoreStatistics(median, iqr, mean, std, (first, second, third))


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
                return np.asarray(1 / (1 + np.exp(-(raw - median) / (2 * iqr))))
        case "zscore":
            return (raw - mean) / std
        case "raw":
            return raw
