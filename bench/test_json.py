"""Rows in and out: JSON bytes and arrays to columns, columns to JSON, against orjson, msgspec, Polars and memcpy."""

from __future__ import annotations

import io
from typing import Any

import millstream as ms
import msgspec
import numpy as np
import orjson
import polars as pl
from conftest import Compare
from millstream._core import read_body, read_rows
from ratio import SMOKE
from results import Reach

COLUMNS = ("cpu", "memory", "disk_io", "network")
RNG = np.random.default_rng(0)
ROWS = [
    dict(zip(COLUMNS, (round(value, 2) for value in row), strict=True))
    for row in RNG.uniform(0, [100, 100, 500, 1_000], size=(1_000, 4)).tolist()
]
ARRAY = orjson.dumps(ROWS)
BODY = b'{"data":' + ARRAY + b"}"


def _ours() -> Any:
    """What an append's body goes through: envelope and rows in one pass."""
    return read_body(BODY, "data").table()


def _assert_same(frame: pl.DataFrame) -> None:
    assert pl.DataFrame(_ours()).equals(frame)


def test_1_000_json_rows_beside_read_json(compare: Compare) -> None:
    """Polars' own reader, of the rows alone."""

    def peer() -> pl.DataFrame:
        return pl.read_json(io.BytesIO(ARRAY))

    _assert_same(peer())
    compare(_ours, peer, "pl.read_json", Reach(5))


def test_1_000_json_rows_beside_orjson_and_polars(compare: Compare) -> None:
    """orjson, then a frame of the dictionaries."""

    def peer() -> pl.DataFrame:
        return pl.DataFrame(orjson.loads(ARRAY))

    _assert_same(peer())
    compare(_ours, peer, "orjson + pl.DataFrame", Reach(5))


def test_1_000_json_rows_beside_msgspec_and_polars(compare: Compare) -> None:
    """msgspec told the types, then a frame of the dictionaries."""
    decoder = msgspec.json.Decoder(list[dict[str, float]])

    def peer() -> pl.DataFrame:
        return pl.DataFrame(decoder.decode(ARRAY))

    _assert_same(peer())
    compare(_ours, peer, "msgspec + pl.DataFrame", Reach(5))


def test_1_000_json_rows_beside_bare_orjson(compare: Compare) -> None:
    """orjson to dictionaries, no columns."""
    assert orjson.loads(ARRAY) == pl.DataFrame(_ours()).to_dicts()
    compare(_ours, lambda: orjson.loads(ARRAY), "orjson.loads", Reach(3))


MATRIX = RNG.normal(size=(10_000, 4))


def test_an_array_to_columns(compare: Compare) -> None:
    """10,000 rows of 4, row by row in memory."""
    target = np.empty_like(MATRIX)
    np.testing.assert_array_equal(read_rows(MATRIX).matrix(), MATRIX)
    compare(lambda: read_rows(MATRIX), lambda: np.copyto(target, MATRIX), "memcpy", Reach(share=3))


def test_an_array_in_fortran_order_to_columns(compare: Compare) -> None:
    """10,000 rows of 4, column by column in memory."""
    fortran, target = np.asfortranarray(MATRIX), np.empty_like(MATRIX)
    np.testing.assert_array_equal(read_rows(fortran).matrix(), MATRIX)
    compare(lambda: read_rows(fortran), lambda: np.copyto(target, MATRIX), "memcpy", Reach(share=3))


def test_76_columns_to_json(compare: Compare) -> None:
    """Features of 10,000 rows; the peer writes row dictionaries."""
    buffer = ms.Buffer(10_000, columns=list(COLUMNS))
    buffer.append(MATRIX[:200] if SMOKE else MATRIX)
    table = buffer.features(rolling_windows=(10, 50, 200), lag_periods=(1, 5, 10), include_deltas=True)
    frame = pl.DataFrame(table)

    def peer() -> bytes:
        return orjson.dumps(frame.to_dicts())

    assert orjson.loads(table.to_json()) == orjson.loads(peer())
    compare(table.to_json, peer, "orjson of row dictionaries", Reach(3))
