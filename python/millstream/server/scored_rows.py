"""The rows in the answers of `/score` and `/detect`.

Few become structs, on the event loop. Many are turned into JSON in pieces, in a thread: a million rows as structs would
take 300 MB and hold every other request up for a second, where pieces take their JSON and a moment each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType
from numpy.typing import NDArray

from millstream.detector import Detection

Places = NDArray[np.intp]
_PIECE = 2_048  # 2 ms of work between two looks at what else waits
_encode = msgspec.json.Encoder().encode


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


def in_pieces(rows_at: Callable[[Detection, Places], Sequence[Any]], found: Detection, places: Places) -> list[Any]:
    """What `rows_at` gives for `places`, as JSON that stands where the list would."""
    text = bytearray(b"[")
    for start in range(0, len(places), _PIECE):
        text += b"," if start else b""
        text += memoryview(_encode(rows_at(found, places[start : start + _PIECE])))[1:-1]
    text += b"]"
    return cast(list[Any], Raw(text))


def _marked(rows: list[R], found: Detection) -> list[R]:
    """`rows` with the names of the columns that were filled in."""
    if found.imputed is not None:
        for row in rows:
            missing = found.imputed[row.index].nonzero()[0]
            if len(missing):
                row.imputed = [found.columns[at] if found.named else str(at) for at in missing]
    return rows
