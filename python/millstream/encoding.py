"""From columns of any type to numbers: the six encodings, fitted on training rows and then data.

Whatever a categorical column costs is paid once for each distinct text, not for each cell: the core gives the distinct
texts and for each row the place of its text among them, and an encoding is a table of numbers looked up by place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from millstream._core import Table
from millstream.errors import ConflictError, InvalidRequestError

Floats = NDArray[np.float64]
Encoding = Literal["numeric", "hash", "label", "onehot", "binary", "frequency"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
HASH_SIZE = 1_000_000
MOST_ONEHOT = 100
MOST_INFERRED_LABELS = 100
MOST_CATEGORIES = 100_000
MOST_FEATURES = 10_000
_TRUE = frozenset({"true", "yes", "1", "on", "t", "y"})


@dataclass(frozen=True)
class Encoder:
    """The schema by column, and what training taught: categories of label and onehot, shares of frequency."""

    schema: Mapping[str, str]
    categories: Mapping[str, Sequence[str]]
    shares: Mapping[str, Mapping[str, float]]

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of the numbers, in order."""
        return tuple(name for column, kind in self.schema.items() for name in self._names(column, kind))

    @cached_property
    def text_columns(self) -> tuple[str, ...]:
        """Columns read as text, whatever they hold."""
        return text_columns(self.schema)

    def _names(self, column: str, kind: str) -> list[str]:
        if kind != "onehot":
            return [column]
        return [f"{column}_{category}" for category in self.categories[column]]

    def encode(self, table: Table) -> Floats:
        """The numbers (n, features); a column that is absent counts as null everywhere."""
        out = np.zeros((len(table), len(self.features)))
        at = 0
        for column, kind in self.schema.items():
            if kind == "numeric":
                out[:, at] = _numbers(table, column)
            elif kind == "onehot":
                category = self._looked_up(table, column, kind).astype(np.intp)  # from 1 on, 0 for none
                rows = np.flatnonzero(category)
                out[rows, at - 1 + category[rows]] = 1.0
                at += len(self.categories[column]) - 1
            else:
                out[:, at] = self._looked_up(table, column, kind)
            at += 1
        return out

    def _looked_up(self, table: Table, column: str, kind: str) -> Floats:
        places, texts = _coded(table, column)
        numbers, unseen = self._learned(column, kind)
        return np.append(numbers(texts), unseen)[places]  # missing is place -1, the last one

    def _learned(self, column: str, kind: str) -> tuple[Callable[[Sequence[str]], Any], float]:
        """From texts to their numbers, and the number of what training has not seen."""
        if kind == "hash":
            return _hashes, 0.0
        if kind == "binary":
            return _truths, 0.0
        known, unseen = self._known[column]
        return (lambda texts: [known.get(text, unseen) for text in texts]), unseen

    @cached_property
    def _known(self) -> dict[str, tuple[Mapping[str, float], float]]:
        """The numbers of the texts that training saw, and of all others, by column."""
        known: dict[str, tuple[Mapping[str, float], float]] = {
            column: (shares, min(shares.values(), default=1.0) / 2) for column, shares in self.shares.items()
        }
        for column, texts in self.categories.items():
            known[column] = {text: float(at) for at, text in enumerate(texts, 1)}, 0.0
        return known

    def to_json(self) -> str:
        """The encoder as JSON; the order of columns is kept."""
        parts = {"schema": dict(self.schema), "categories": dict(self.categories), "shares": dict(self.shares)}
        return json.dumps(parts, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Encoder:
        """The encoder that `to_json` wrote. Raises ValueError, KeyError or TypeError for any other text."""
        parts = json.loads(text)
        schema = checked_schema(parts["schema"])
        categories = {column: _checked_texts(parts["categories"][column]) for column in _of(schema, "label", "onehot")}
        shares = {column: _checked_shares(parts["shares"][column]) for column in _of(schema, "frequency")}
        return cls(schema, categories, shares)


def checked_schema(schema: Mapping[str, str]) -> dict[str, str]:
    """`schema` if it names known encodings."""
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"'schema' is {schema!r:.80}; allowed is a mapping from columns to encodings; send one.", loc=("schema",)
        )
    for column, kind in schema.items():
        if kind not in ENCODINGS:
            raise InvalidRequestError(
                f"'schema' has {kind!r:.80} for column {column!r:.80}; allowed are {', '.join(ENCODINGS)}; choose one.",
                loc=("schema", column),
            )
    return dict(schema)


def text_columns(schema: Mapping[str, str]) -> tuple[str, ...]:
    """Columns of `schema` that are read as text, whatever they hold."""
    return tuple(column for column, kind in schema.items() if kind != "numeric")


def wanted_columns(schema: Mapping[str, str] | None) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """What to read for `schema`: the columns that come as text, and all columns that count (None: all there are)."""
    return ((), None) if schema is None else (text_columns(schema), tuple(schema))


def infer(table: Table) -> dict[str, str]:
    """A schema for `table`: numbers numeric, booleans binary, text label, or hash over 100 distinct values."""
    schema = {}
    for column, kind in zip(table.columns, table.kinds, strict=True):
        if kind == "string":
            schema[column] = "label" if len(_coded(table, column)[1]) <= MOST_INFERRED_LABELS else "hash"
        else:
            schema[column] = "binary" if kind == "boolean" else "numeric"
    return schema


def learn(table: Table, schema: Mapping[str, str], most_categories: int = MOST_CATEGORIES) -> Encoder:
    """The encoder for `schema`, its categories and shares taken from the training rows.

    Raises
    ------
    InvalidRequestError
        A column of the schema is in no row, or has more than `most_categories` categories to keep.
    ConflictError
        A one-hot column makes a feature that another one is called.
    """
    _check_present(table, schema)
    categories, shares = {}, {}
    for column in _of(schema, "label", "onehot", "frequency"):
        places, texts = _coded(table, column)
        if schema[column] == "onehot":
            categories[column] = sorted(texts)[:MOST_ONEHOT]
            continue
        _check_categories(column, schema[column], len(texts), most_categories)
        if schema[column] == "label":
            categories[column] = sorted(texts)
        else:
            counts = np.bincount(places[places >= 0], minlength=len(texts))
            shares[column] = dict(zip(texts, (counts / max(1, len(table))).tolist(), strict=True))
    encoder = Encoder(dict(schema), categories, shares)
    _check_distinct(encoder)
    return encoder


def check_features(encoder: Encoder, most: int) -> None:
    """Refuse an encoder whose columns become more than `most` numbers: checked before any row is encoded."""
    if len(encoder.features) > most:
        raise InvalidRequestError(
            f"The columns become {len(encoder.features)} numbers; allowed are {most} (MILLSTREAM_MAX_COLUMNS on a "
            "server); encode columns of many categories with 'hash' or 'frequency' instead of 'onehot'.",
            loc=("schema",),
        )


def _check_present(table: Table, schema: Mapping[str, str]) -> None:
    for column in schema:
        if len(table) and column not in table.columns:
            raise InvalidRequestError(
                f"'schema' has column {column!r}, which no row has; correct the name or leave it out.",
                loc=("schema", column),
            )


def _check_categories(column: str, kind: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidRequestError(
            f"Column {column!r} has {count} categories; '{kind}' takes at most {most}; encode it with 'hash'.",
            loc=("schema", column),
        )


def _check_distinct(encoder: Encoder) -> None:
    made: dict[str, str] = {}
    for column, kind in encoder.schema.items():
        for name in encoder._names(column, kind):
            if name in made:
                raise ConflictError(
                    f"Columns {made[name]!r} and {column!r} would both make a feature called {name!r}; "
                    "rename one, or encode it otherwise."
                )
            made[name] = column


def _of(schema: Mapping[str, str], *kinds: str) -> list[str]:
    return [column for column, kind in schema.items() if kind in kinds]


def _numbers(table: Table, column: str) -> Floats | float:
    if column not in table.columns:
        return float("nan")
    row = table.first_other(column)
    if row is not None:
        raise InvalidRequestError(
            f"Column {column!r} is numeric and has {_shown(table[column][row])} in row {row}; "
            "allowed are numbers and null; correct it or declare another encoding.",
            loc=("data", row, column),
        )
    return np.asarray(table[column], dtype=np.float64)


def _shown(value: object) -> str:
    return repr(value)[:80] if isinstance(value, str) else json.dumps(value)


def _coded(table: Table, column: str) -> tuple[NDArray[np.intp], Sequence[str]]:
    """For each row the place of its text among the distinct texts, -1 where missing; and those texts."""
    if column not in table.columns:
        return np.full(len(table), -1), ()
    codes = table.codes(column)
    if codes is not None:
        return codes[0].astype(np.intp), codes[1]
    return _coded_numbers(np.asarray(table[column]))


def _coded_numbers(values: NDArray[Any]) -> tuple[NDArray[np.intp], Sequence[str]]:
    """The same for numbers and booleans whose text nobody sent, from arrays and frames: whole ones without a point."""
    numbers = values.astype(np.float64)  # None becomes NaN
    present = np.flatnonzero(~np.isnan(numbers))
    places = np.full(len(values), -1)
    distinct, places[present] = np.unique(numbers[present], return_inverse=True)
    return places, [_text(value, values.dtype == object) for value in distinct.tolist()]


def _text(value: float, boolean: bool) -> str:
    if boolean:
        return json.dumps(bool(value))
    return json.dumps(int(value) if value.is_integer() else value)


def _truths(texts: Sequence[str]) -> list[bool]:
    return [text.strip().lower() in _TRUE for text in texts]


def _hashes(texts: Sequence[str]) -> NDArray[np.uint32]:
    digests = [hashlib.md5(text.encode(), usedforsecurity=False).digest()[:4] for text in texts]
    return np.frombuffer(b"".join(digests), dtype=">u4") % HASH_SIZE


def _checked_texts(texts: Any) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("categories are no list of texts")
    return texts


def _checked_shares(shares: Any) -> dict[str, float]:
    if not isinstance(shares, dict) or not all(isinstance(s, float) and 0 < s <= 1 for s in shares.values()):
        raise ValueError("shares are no numbers from 0 to 1")
    return shares
