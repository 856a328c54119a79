"""Limits that are settings: each check names the limit, what was given and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from millstream.errors import InvalidRequestError, Refusal, TooLargeError
from millstream.settings import Settings

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?!\n)$"
VERSION_NAME = NAME.replace("127", "143")  # `_YYYYMMDD_HHMMSS` is 16 characters longer
FILENAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}(?!\n)$"
_NAME = re.compile(NAME)
_FILENAME = re.compile(FILENAME)


def check_name(name: str, field: str) -> str:
    """`name` if it may name a model, a buffer or a stream."""
    if not _NAME.match(name):
        raise InvalidRequestError(f"'{field}' is {_shown(name)}; {NAME_RULE}.", loc=(field,))
    return name


def is_filename(name: str) -> bool:
    """Whether `name` may be the name of a model file."""
    return _FILENAME.match(name) is not None


def check_filename(name: str) -> str:
    """`name` if it may be the name of a model file."""
    if not is_filename(name):
        raise InvalidRequestError(
            f"'filename' is {_shown(name)}; allowed are up to 200 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit; list the files with GET /v1/ml/anomaly/models.",
            loc=("filename",),
        )
    return name


NAME_RULE = (
    "allowed are up to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit; choose such a name"
)


def _shown(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[:most] + "...")


@dataclass(frozen=True)
class Limits:
    """The checks against one set of settings. Each yields or raises what it refuses."""

    settings: Settings

    def size(self, field: str, rows: int) -> Iterator[Refusal]:
        """A capacity or window in rows."""
        if rows > self.settings.max_rows:
            yield _beyond(field, rows, self.settings.max_rows, "MILLSTREAM_MAX_ROWS")

    def windows(self, field: str, windows: Sequence[int], size: int | None = None) -> Iterator[Refusal]:
        """Windows or lags: not too many, distinct, none longer than `size`, the capacity they look back over."""
        if len(windows) > self.settings.max_windows:
            most = self.settings.max_windows
            message = f"'{field}' has {len(windows)} values; allowed are {most} (MILLSTREAM_MAX_WINDOWS); send fewer."
            yield Refusal((field,), message)
            return
        first_at: dict[int, int] = {}
        for at, window in enumerate(windows):
            if first_at.setdefault(window, at) != at:
                message = f"'{field}' has {window} twice; allowed are distinct values; send each once."
                yield Refusal((field, at), message)
            elif size is not None and window > size:
                message = (
                    f"'{field}' has {window}; allowed is at most {size}, the rows that the buffer can hold; send less."
                )
                yield Refusal((field, at), message)

    def features(self, columns: int, windows: int, lags: int) -> Iterator[Refusal]:
        """Declared features of one buffer: four statistics a window, a lag and a delta a lag, per column."""
        count = columns * (4 * windows + 2 * lags)
        if count > self.settings.max_features:
            most = self.settings.max_features
            message = (
                f"{columns} columns with {windows} windows and {lags} lags declare {count} features; "
                f"allowed are {most} (MILLSTREAM_MAX_FEATURES); declare fewer."
            )
            yield Refusal(("rolling_windows",), message)

    def columns(self, field: str, count: int) -> Iterator[Refusal]:
        """Columns of a buffer, a stream or a model."""
        if count > self.settings.max_columns:
            most = self.settings.max_columns
            message = f"'{field}' has {count} columns; allowed are {most} (MILLSTREAM_MAX_COLUMNS); send fewer."
            yield Refusal((field,), message)

    def epochs(self, epochs: int) -> Iterator[Refusal]:
        """Training epochs."""
        if epochs > self.settings.max_epochs:
            yield _beyond("epochs", epochs, self.settings.max_epochs, "MILLSTREAM_MAX_EPOCHS")

    def answer(self, rows: int, columns: int) -> None:
        """Values in one answer, checked before they are computed."""
        if rows * columns > self.settings.max_answer_values:
            most = self.settings.max_answer_values
            raise TooLargeError(
                f"The answer would have {rows} rows of {columns} columns; allowed are "
                f"{most} values (MILLSTREAM_MAX_ANSWER_VALUES); ask with 'tail' of at most {max(1, most // columns)}."
            )

    def rows_of_answer(self, rows: int) -> None:
        """Rows of scores in one answer, four values each."""
        most = self.settings.max_answer_values // 4
        if rows > most:
            raise TooLargeError(
                f"The answer would have {rows} rows; allowed are {most} "
                "(MILLSTREAM_MAX_ANSWER_VALUES); send the rows in several requests."
            )


def raise_all(refusals: Iterator[Refusal] | Sequence[Refusal]) -> None:
    """Raise one `InvalidRequestError` for all refusals, if there are any."""
    found = tuple(refusals)
    if found:
        raise InvalidRequestError(found[0].message, refusals=found)


def _beyond(field: str, given: int, most: int, variable: str) -> Refusal:
    return Refusal((field,), f"'{field}' is {given}; allowed is at most {most} ({variable}); send less.")
