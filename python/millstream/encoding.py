"""From columns of any type to numbers: the six encodings, fitted on training rows and then data."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from millstream._core import Table
from millstream.errors import InvalidRequestError

Floats = NDArray[np.float64]
Encoding = Literal["numeric", "hash", "label", "onehot", "binary", "frequency"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
HASH_SIZE = 1_000_000
MOST_ONEHOT = 100
MOST_INFERRED_LABELS = 100
_TRUE = frozenset({"true", "yes", "1", "on", "t", "y"})


@dataclass(frozen=True)
class Encoder:
    """The schema by column, and what training taught: categories of label and onehot, shares of frequency."""

    schema: Mapping[str, str]
    categories: Mapping[str, Sequence[str]]
    shares: Mapping[str, Mapping[str, float]]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the numbers, in order."""
        return tuple(name for column, kind in self.schema.items() for name in self._names(column, kind))

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns read as text, whatever they hold."""
        return tuple(column for column, kind in self.schema.items() if kind != "numeric")

    def _names(self, column: str, kind: str) -> list[str]:
        if kind != "onehot":
            return [column]
        return [f"{column}_{category}" for category in self.categories[column]]

    def encode(self, table: Table) -> Floats:
        """The numbers (n, features); a column that is absent counts as null everywhere."""
        blocks = [self._encode(table, column, kind) for column, kind in self.schema.items()]
        return np.ascontiguousarray(np.column_stack(blocks)) if blocks else np.empty((len(table), 0))

    def _encode(self, table: Table, column: str, kind: str) -> Floats:
        if kind == "numeric":
            return _numbers(table, column)
        texts = _texts(table, column)
        match kind:
            case "hash":
                return _mapped(texts, {text: _hash(text) for text in set(texts) if text is not None}, 0.0)
            case "label":
                return _mapped(texts, {text: at for at, text in enumerate(self.categories[column], 1)}, 0.0)
            case "frequency":
                shares = self.shares[column]
                return _mapped(texts, shares, min(shares.values(), default=1.0) / 2)
            case "binary":
                return np.array([float(text is not None and text.strip().lower() in _TRUE) for text in texts])
        codes = [[float(text == category) for category in self.categories[column]] for text in texts]
        return np.array(codes).reshape(len(texts), len(self.categories[column]))

    def to_json(self) -> str:
        """The encoder as JSON; the order of columns is kept."""
        parts = {"schema": dict(self.schema), "categories": dict(self.categories), "shares": dict(self.shares)}
        return json.dumps(parts, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Encoder:
        """The encoder that `to_json` wrote."""
        parts = json.loads(text)
        return cls(checked_schema(parts["schema"]), parts["categories"], parts["shares"])


def checked_schema(schema: Mapping[str, str]) -> dict[str, str]:
    """`schema` if it names known encodings."""
    for column, kind in schema.items():
        if kind not in ENCODINGS:
            raise InvalidRequestError(
                f"'schema' has {kind!r} for column {column!r}; allowed are {', '.join(ENCODINGS)}; choose one.",
                loc=("schema", column),
            )
    return dict(schema)


def infer(table: Table) -> dict[str, str]:
    """A schema for `table`: numbers numeric, booleans binary, text label, or hash over 100 distinct values."""
    schema = {}
    for column, kind in zip(table.columns, table.kinds, strict=True):
        if kind == "string":
            distinct = {text for text in table[column].tolist() if text is not None}
            schema[column] = "label" if len(distinct) <= MOST_INFERRED_LABELS else "hash"
        else:
            schema[column] = "binary" if kind == "boolean" else "numeric"
    return schema


def learn(table: Table, schema: Mapping[str, str]) -> Encoder:
    """The encoder for `schema`, its categories and shares taken from the training rows."""
    categories, shares = {}, {}
    for column, kind in schema.items():
        if kind not in ("label", "onehot", "frequency"):
            continue
        texts = _texts(table, column)
        counts = Counter(text for text in texts if text is not None)
        if kind == "frequency":
            shares[column] = {text: count / len(texts) for text, count in counts.items()}
        else:
            categories[column] = sorted(counts)[: MOST_ONEHOT if kind == "onehot" else None]
    return Encoder(dict(schema), categories, shares)


def _numbers(table: Table, column: str) -> Floats:
    if column not in table.columns:
        return np.full(len(table), np.nan)
    kind = table.kinds[table.columns.index(column)]
    if kind in ("float64", "null"):
        return np.asarray(table[column], dtype=np.float64)
    values = table[column].tolist()
    row = next((at for at, value in enumerate(values) if value is not None and not _is_number(value)), None)
    if row is not None:
        raise InvalidRequestError(
            f"Column {column!r} is numeric and has {str(values[row])[:80]!r} in row {row}; "
            "allowed are numbers and null; correct it or declare another encoding.",
            loc=("data", row, column),
        )
    return np.array([np.nan if value is None else float(value) for value in values])


def _is_number(value: Any) -> bool:
    """Whether a cell of a column that mixes types held a number: numbers came as their JSON text."""
    if not isinstance(value, str):
        return False
    try:
        return isinstance(json.loads(value), int | float) and not isinstance(json.loads(value), bool)
    except ValueError:
        return False


def _texts(table: Table, column: str) -> list[str | None]:
    if column not in table.columns:
        return [None] * len(table)
    return [_text(value) for value in table[column].tolist()]


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def _mapped(texts: Sequence[str | None], codes: Mapping[str, float], unseen: float) -> Floats:
    return np.array([unseen if text is None else codes.get(text, unseen) for text in texts], dtype=np.float64)


def _hash(text: str) -> float:
    return float(int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8], 16) % HASH_SIZE)
