"""The Rust core: tables, buffers, rolling features, and rows in and out of JSON."""

from collections.abc import Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

# A default written `...` is () or all four statistics; "data" for `key`.
__all__ = [
    "MAX_CAPACITY",
    "MAX_PERIODS",
    "Body",
    "Buffer",
    "Table",
    "Window",
    "WindowRows",
    "lags",
    "read_body",
    "read_rows",
    "rolling",
]

MAX_CAPACITY: int  # rows of a buffer
MAX_PERIODS: int  # windows or lags of one list

@final
class Table:
    """Immutable columns with missing values. A slice of a buffer, features, or rows that came in.

    Float columns hold NaN where a value is missing. Never changes; outlives the buffer it came from.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def kinds(self) -> tuple[Literal["float64", "boolean", "string", "null"], ...]: ...
    @property
    def named(self) -> bool: ...  # False: rows came as arrays; columns are column_0, column_1, ...
    def __len__(self) -> int: ...
    def __getitem__(
        self, name: str, /
    ) -> NDArray[Any]: ...  # read-only; float64 without a copy where one chunk holds it
    # Of a text column: the place of each row's text among the distinct texts (int32, -1: missing), and those texts.
    def codes(self, name: str) -> tuple[NDArray[np.int32], list[str]] | None: ...
    def first_other(self, name: str) -> int | None: ...  # the first row that came with text or a boolean
    def matrix(self, columns: Sequence[str] | None = None) -> NDArray[np.float64]: ...  # (n, d), C order, missing = NaN
    def slice(self, offset: int, length: int) -> Table: ...  # from 0; no more than the rows there are
    def to_json(self) -> bytes: ...  # array of row objects, missing = null
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...

@final
class Buffer:
    """A ring of the newest `capacity` rows, with rolling statistics, lags and deltas kept live."""

    def __new__(
        cls,
        capacity: int = 10_000,
        columns: Sequence[str] | None = None,
        rolling_windows: Sequence[int] = ...,
        lag_periods: Sequence[int] = ...,
        min_samples: int | None = None,
    ) -> Buffer: ...
    def append(self, data: object) -> int: ...
    def snapshot(self, tail: int | None = None) -> Table: ...
    def features(
        self,
        rolling_windows: Sequence[int] | None = None,
        include_rolling_stats: Sequence[str] = ...,
        lag_periods: Sequence[int] | None = None,
        include_lags: bool = True,
        include_deltas: bool = False,
        min_samples: int | None = None,
        tail: int | None = None,
    ) -> Table: ...
    def newest(self) -> dict[str, float | None]: ...
    def clear(self) -> None: ...
    @property
    def newest_values(self) -> NDArray[np.float64]: ...
    @property
    def feature_names(self) -> tuple[str, ...]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def numeric_columns(self) -> tuple[str, ...]: ...
    @property
    def rolling_windows(self) -> tuple[int, ...]: ...
    @property
    def lag_periods(self) -> tuple[int, ...]: ...
    @property
    def memory_bytes(self) -> int: ...
    @property
    def append_count(self) -> int: ...  # rows ever accepted; clear does not reset it
    def __len__(self) -> int: ...

@final
class Window:
    """A buffer of numbers as a stream uses it: each row taken in comes out with its features.

    `width` numbers a row: the values of all columns, then column by column its rolling statistics and lags. `row`, a
    writable float64 array of that length, is where `take` leaves them.
    """

    def __new__(
        cls,
        capacity: int,
        columns: Sequence[str],
        rolling_windows: Sequence[int],
        lag_periods: Sequence[int],
        row: NDArray[np.float64],
    ) -> Window: ...
    # False, and nothing happens, unless the row is a dict of just the columns, or a list, tuple or float64 array as
    # wide, of finite numbers.
    def take(self, row: object) -> bool: ...
    def take_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]: ...  # (n, columns) -> (n, width)
    def snapshot(self) -> WindowRows: ...
    def resume(self, first: int, places: NDArray[np.float64]) -> None: ...  # of an empty window; InvalidRequestError
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def memory_bytes(self) -> int: ...
    def __len__(self) -> int: ...

@final
class WindowRows:
    """The rows a window held at one moment; they never change."""

    @property
    def first(self) -> int: ...  # the number of the first row since the window was made
    def columns(self) -> NDArray[np.float64]: ...  # (width, n)
    def columns_into(self, out: NDArray[np.float64]) -> None: ...  # the same, into a writable C-ordered array
    def places(self) -> NDArray[np.float64]: ...  # (all that is stored, n), for Window.resume
    def __len__(self) -> int: ...

@final
class Body:
    """One HTTP request body, read once. JSON errors are raised by `read_body`, row errors by `table`."""

    @property
    def envelope(self) -> bytes: ...  # the JSON object without the rows; the last of duplicate keys
    @property
    def form(self) -> Literal["absent", "null", "mapping", "mappings", "lists", "empty", "other"]: ...  # of the rows
    # InvalidRequestError with loc (key, row, column) for the first bad cell. Columns named in `text` come as the
    # text that was sent, whatever they hold (rows="text" only); columns not in `only` are left out, whatever they hold.
    # The same names at every call.
    def table(self, text: Sequence[str] = ..., only: Sequence[str] | None = None) -> Table: ...

def read_body(body: bytes, key: str | None = ..., rows: Literal["typed", "numeric", "text"] = "typed") -> Body: ...

# typed: a column's type is that of its first value, another type is refused (buffers).
# numeric: numbers and null only (streams, list rows).
# text: columns that mix types become text, each value its JSON text (detectors with a schema).

def read_rows(
    data: object,
    columns: Sequence[str] | None = None,
    rows: Literal["typed", "numeric", "text"] = "typed",
    text: Sequence[str] = ...,
    only: Sequence[str] | None = None,
) -> Table: ...
def rolling(
    values: object,
    windows: Sequence[int],
    stats: Sequence[str] = ...,
    min_samples: int | None = None,
) -> Table: ...
def lags(values: object, periods: Sequence[int], deltas: bool = False) -> Table: ...
