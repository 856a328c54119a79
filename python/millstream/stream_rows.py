"""Rows as a stream takes them: by the names, or the positions, that its first row fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from millstream._core import Table
from millstream.errors import InvalidRequestError, counted
from millstream.stream_state import Floats, Rows, StreamState


@dataclass(frozen=True, slots=True)
class Read:
    """Rows ready for a stream, and the keys of the input that are none of its columns."""

    rows: Rows
    ignored: tuple[str, ...]


def numbers(
    known: tuple[str, ...] | None, read: Callable[[Literal["numeric", "text"], tuple[str, ...] | None], Table]
) -> tuple[Table, tuple[str, ...]]:
    """The rows as numbers, and the columns left out: those that are not `known` may hold anything.

    `read` reads the rows in a mode, of the columns that are named or all. Only rows that are no numbers throughout are
    read more than once.

    Raises
    ------
    InvalidRequestError
        A column of the stream holds a value that is neither a number nor null.
    """
    try:
        return read("numeric", None), ()
    except InvalidRequestError:
        if known is None:
            raise
        table = read("text", known)
        if not table.named or not {"float64", "null"}.issuperset(table.kinds):
            raise
    return table, tuple(name for name in _names(read) if name not in frozenset(known))


def _names(read: Callable[[Literal["numeric", "text"], tuple[str, ...] | None], Table]) -> tuple[str, ...]:
    """The columns of the rows; of those that no column can hold the first."""
    try:
        return read("text", None).columns
    except InvalidRequestError as error:
        return tuple(str(refusal.loc[-1]) for refusal in error.refusals)


def read_table(
    state: StreamState, table: Table, first_row: tuple[str, ...] | None, names: tuple[str, ...] | None = None
) -> Read:
    """Arrange a numeric table into the columns of the stream, or into those its `first_row` fixes (None: all it has).

    `names` are the columns asked for when the stream was made; they also name rows that came without names.
    """
    columns, named = state.columns, state.named
    if columns is None:
        columns, named = _first_columns(table, first_row, names)
    if len(table) == 0:
        return Read(Rows(np.empty((0, len(columns))), columns, named), ())
    if not table.named:
        return Read(Rows(_by_position(table, columns), columns, named), ())
    if not named:
        raise InvalidRequestError(
            f"the rows of this stream are lists of {len(columns)} numbers and these have names;"
            " send lists, or reset the stream",
            (0,),
        )
    if table.columns == columns:
        return Read(Rows(table.matrix(), columns, named), ())
    known = frozenset(columns)
    ignored = tuple(name for name in table.columns if name not in known)
    return Read(Rows(_by_name(table, columns), columns, named), ignored)


def _first_columns(
    table: Table, first_row: tuple[str, ...] | None, names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], bool]:
    if names is not None:
        return names, True
    if (len(table) and not table.columns) or first_row == ():
        raise InvalidRequestError(
            "the first row is empty, and it fixes the columns of the stream; send at least one", (0,)
        )
    if not table.named:
        return tuple(str(at) for at in range(len(table.columns))), False
    return table.columns if first_row is None else first_row, True


def _by_position(table: Table, columns: tuple[str, ...]) -> Floats:
    values = table.matrix()
    if values.shape[1] != len(columns):
        raise InvalidRequestError(
            f"row 0 has {counted(values.shape[1], 'value')}; the stream has {counted(len(columns), 'column')}: "
            f"{', '.join(columns)}",
            (0,),
        )
    return values


def _by_name(table: Table, columns: tuple[str, ...]) -> Floats:
    values = np.full((len(table), len(columns)), np.nan)
    given = frozenset(table.columns)
    present = [at for at, name in enumerate(columns) if name in given]
    values[:, present] = table.matrix([columns[at] for at in present])
    return values
