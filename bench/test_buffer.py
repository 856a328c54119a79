"""Rows into a buffer, against the cheapest append that Polars has."""

from __future__ import annotations

import millstream as ms
import polars as pl
from conftest import Compare

ROW = {"cpu": 45.25, "memory": 62.5, "disk_io": 120.0, "network": 500.75}


def test_append_a_dict(compare: Compare) -> None:
    """One row of four numbers; Polars' `extend` into a frame that nobody else holds is its cheapest append."""
    buffer = ms.Buffer(10_000, columns=list(ROW))
    frame = pl.DataFrame([ROW])

    def ours() -> int:
        return int(buffer.append(ROW))

    def peer() -> pl.DataFrame:
        return frame.extend(pl.DataFrame([ROW]))

    ours()
    peer()
    assert pl.DataFrame(buffer.snapshot(tail=1)).row(0) == frame.row(-1) == tuple(ROW.values())
    compare(ours, peer, "pl.DataFrame.extend")
