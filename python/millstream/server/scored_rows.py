"""The rows in the answers of `/score` and `/detect`."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray

from millstream.detector import Detection

Places = NDArray[np.intp]


class Scored(Struct, kw_only=True):
    """The score of one row."""

    index: int
    score: float
    is_anomaly: bool
    raw_score: float
    imputed: list[str] | UnsetType = UNSET


class Detected(Struct, kw_only=True):
    """One row whose score is above the threshold."""

    index: int
    score: float
    raw_score: float
    imputed: list[str] | UnsetType = UNSET


R = TypeVar("R", Scored, Detected)


def scored(found: Detection, places: Places) -> list[Scored]:
    """The rows at `places` with whether they are anomalies."""
    columns = (places, found.score[places], found.is_anomaly[places], found.raw_score[places])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return _marked([Scored(index=i, score=s, is_anomaly=a, raw_score=r) for i, s, a, r in rows], found)


def detected(found: Detection, places: Places) -> list[Detected]:
    """The rows at `places`, all of them anomalies."""
    columns = (places, found.score[places], found.raw_score[places])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return _marked([Detected(index=i, score=s, raw_score=r) for i, s, r in rows], found)


def _marked(rows: list[R], found: Detection) -> list[R]:
    """`rows` with the names of the columns that were filled in."""
    if found.imputed is not None:
        for row in rows:
            missing = found.imputed[row.index].nonzero()[0]
            if len(missing):
                row.imputed = [found.columns[at] if found.named else str(at) for at in missing]
    return rows
