"""Rows into a buffer and live features out of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import millstream as ms
import numpy as np
import polars as pl
import pytest
from conftest import Compare, CompareHttp, Record
from ratio import SMOKE, Ratio, statement
from results import Reach
from server_cpu import Server

ROW = {"cpu": 45.25, "memory": 62.5, "disk_io": 120.0, "network": 500.75}
COLUMNS = list(ROW)
WINDOWS = (10, 50, 200)
LAGS = (1, 5, 10)
VALUES = np.random.default_rng(0).normal(100, 10, (10_000, 4)).round(2)


def filled(windows: tuple[int, ...] = WINDOWS, lags: tuple[int, ...] = (), capacity: int = 10_000) -> ms.Buffer:
    """A full buffer of four columns that has turned over once."""
    buffer = ms.Buffer(capacity, COLUMNS, windows, lags)
    for _ in range(1 if SMOKE else 2 * max(1, capacity // len(VALUES))):
        buffer.append(VALUES)
    return buffer


@pytest.mark.parametrize("windows", [(), WINDOWS], ids=["plain", "48_features"])
def test_append_a_dict(compare: Compare, windows: tuple[int, ...]) -> None:
    """One row of four numbers; Polars' `extend` into a frame that nobody else holds is its cheapest append."""
    buffer = filled(windows)
    frame = pl.DataFrame([ROW])
    ours = statement("append(row)", append=buffer.append, row=ROW)
    peer = statement("frame.extend(pl.DataFrame([row]))", frame=frame, pl=pl, row=ROW)
    ours.timeit(1)
    peer.timeit(1)
    assert pl.DataFrame(buffer.snapshot(tail=1)).row(0) == frame.row(-1) == tuple(ROW.values())
    compare(ours, peer, "pl.DataFrame.extend", Reach(times=60, ours=250))


@pytest.mark.parametrize("capacity", [1_000, 10_000, 1_000_000])
def test_newest_values(compare: Compare, capacity: int) -> None:
    """48 live features of the newest row, against Polars' aggregate of the last windows."""
    buffer = filled(capacity=capacity)
    frame = pl.DataFrame(buffer.snapshot(tail=1_000))
    stats: dict[str, Callable[[pl.Expr], pl.Expr]] = {
        "mean": pl.Expr.mean, "std": pl.Expr.std, "min": pl.Expr.min, "max": pl.Expr.max,
    }  # fmt: skip
    of_windows = [
        stat(pl.col(column).tail(window)).alias(f"{column}_rolling_{name}_{window}")
        for column in COLUMNS for window in WINDOWS for name, stat in stats.items()
    ]  # fmt: skip
    aggregated = frame.select(of_windows)
    assert tuple(aggregated.columns) == buffer.feature_names
    np.testing.assert_allclose(buffer.newest_values, aggregated.row(0), rtol=1e-9)
    ours = statement("buffer.newest_values", buffer=buffer)
    compare(ours, lambda: frame.select(of_windows), "pl.DataFrame.select", Reach(ours=250))


def test_declared_features_of_10_000_rows_to_polars(compare: Compare) -> None:
    """76 columns, none of them copied, against `pl.DataFrame` of a ready Arrow batch of that shape."""
    buffer = filled(WINDOWS, LAGS)

    def ours() -> pl.DataFrame:
        return pl.DataFrame(buffer.features(include_deltas=True))

    batch = ours().rechunk().to_arrow().to_batches()[0]
    assert ours().equals(pl.DataFrame(batch))
    assert ours().shape == (10_000, 76)
    compare(ours, lambda: pl.DataFrame(batch), "pl.DataFrame(ready batch)", Reach(share=1.5))


@pytest.mark.parametrize("form", ["numpy", "arrow"])
def test_a_million_rows_in(compare: Compare, form: str) -> None:
    """Four columns into a full buffer, against a plain copy of the same bytes."""
    values = np.tile(VALUES, (10 if SMOKE else 100, 1))
    buffer = ms.Buffer(len(values), COLUMNS)
    data: Any = values if form == "numpy" else pl.DataFrame(values, schema=COLUMNS)
    target = np.empty_like(values)
    for _ in range(2):
        assert buffer.append(data) == len(values)
    np.testing.assert_array_equal(buffer.snapshot().matrix(), values)
    compare(lambda: buffer.append(data), lambda: np.copyto(target, values), "memcpy", Reach(share=3))


GROWTH = """
import os

import numpy as np
import millstream as ms

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

values = np.random.default_rng(0).normal(size=(10_000, 4))
ms.Buffer(10, ["a", "b", "c", "d"]).append(values)
before = resident()
buffer = ms.Buffer(1_000_000, ["a", "b", "c", "d"])
for _ in range(200):
    assert buffer.append(values) == 10_000
print(resident() - before, buffer.memory_bytes)
"""


def test_memory_of_a_full_buffer(record: Record) -> None:
    """What a process grows by for 1,000,000 x 4 values, against the values themselves."""
    done = subprocess.run([sys.executable, "-c", GROWTH], check=True, capture_output=True, text=True)
    grown, told = (int(figure) for figure in done.stdout.split())
    raw = 1_000_000 * 4 * 8
    assert abs(told - grown) <= 0.2 * grown
    record("raw values", Ratio(float(grown), float(raw), raw / grown, 1), Reach(share=1.4), unit="B")


def test_memory_of_an_empty_buffer_of_ten_million(record: Record, benchmark: Any) -> None:
    """What it counts itself, against 8 KiB."""
    buffer = ms.Buffer(10_000_000, COLUMNS)
    benchmark.pedantic(lambda: buffer.memory_bytes, rounds=1)
    held = buffer.memory_bytes
    record("8 KiB", Ratio(float(held), 8192.0, 8192 / held, 1), Reach(share=1), unit="B")


def example(name: str) -> dict[str, float]:
    """The figures an example of the core prints."""
    command = ["cargo", "run", "--release", "--quiet", "--locked", "--package", "millstream-core", "--example", name]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return {key: float(value) for key, value in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.skipif(SMOKE, reason="builds an example, which is no matter of seconds")
def test_upkeep_of_48_features_in_the_core(record: Record, benchmark: Any) -> None:
    """Nanoseconds a row, with everything stored in a buffer of 10,000 rows, against the bare upkeep."""
    figures = benchmark.pedantic(example, ("upkeep",), rounds=1)
    alone, stored = figures["upkeep_ns"], figures["stored_ns"]
    record("upkeep alone", Ratio(stored, alone, alone / stored, 1), Reach(ours=120, peer=60))


@pytest.mark.skipif(SMOKE, reason="builds an example, which is no matter of seconds")
def test_a_writer_beside_four_readers(record: Record, benchmark: Any) -> None:
    """CPU time of the writer's row while four threads take snapshots and read their newest 1,000 rows without a pause,
    against four threads that do so in a buffer nobody writes.

    Cores are as far apart as a line of the cache takes to the other and back. Where they were near at one time and far
    at another, the row is of the kind that was there longer, and tells of both."""
    figures = benchmark.pedantic(example, ("readers",), rounds=1)
    rounds = {kind: int(figures[f"{kind}_rounds"]) for kind in ("near", "far")}

    def apart(kind: str) -> str:
        return f"{figures[f'{kind}_there_and_back_ns']:.0f} ns apart in {rounds[kind]} rounds"

    kind, other = sorted(rounds, key=lambda kind: -rounds[kind])
    peer = f"writer beside readers of another buffer, cores {apart(kind)}"
    if rounds[other]:
        peer += f"; {figures[f'{other}_slower']:.2f}x {apart(other)}"
    elsewhere, beside = (figures[f"{kind}_beside_{whom}_ns"] for whom in ("others", "readers"))
    record(peer, Ratio(beside, elsewhere, 1 / figures[f"{kind}_slower"], 1), Reach(share=1.2))


MILLISECOND = 1e6
POLARS = "/v1/ml/polars"


@pytest.mark.parametrize(("rows", "most"), [(1, 1), (1_000, 5)])
def test_append_over_http(
    millstream_server: Server, echo_server: Server, compare_http: CompareHttp, rows: int, most: int
) -> None:
    """Rows of four numbers to a buffer with 48 live features."""
    name = f"append-{rows}-{time.monotonic_ns()}"
    declared = {"buffer_id": name, "window_size": 10_000, "rolling_windows": WINDOWS}
    with millstream_server.post(POLARS + "/buffers", declared) as create:
        create.send()
    data = [dict(zip(COLUMNS, row, strict=True)) for row in VALUES[:rows].tolist()]
    body = {"buffer_id": name, "data": data if rows > 1 else data[0]}
    ours, peer = millstream_server.post(POLARS + "/append", body), echo_server.post("/echo", body)
    assert ours.json()["appended"] == rows
    compare_http(ours, peer, Reach(ours=most * MILLISECOND))


@pytest.mark.parametrize(("what", "most"), [("features", 10), ("data", 5)])
def test_read_over_http(
    millstream_server: Server, echo_server: Server, compare_http: CompareHttp, what: str, most: int
) -> None:
    """The newest 100 of 1,000 rows of four numbers, plain or with three windows, three lags and deltas."""
    name = f"read-{what}-{time.monotonic_ns()}"
    data = [dict(zip(COLUMNS, row, strict=True)) for row in VALUES[:1_000].tolist()]
    with millstream_server.post(POLARS + "/buffers", {"buffer_id": name}) as create:
        create.send()
    with millstream_server.post(POLARS + "/append", {"buffer_id": name, "data": data}) as append:
        append.send()
    if what == "features":
        body = {"buffer_id": name, "rolling_windows": WINDOWS, "include_deltas": True, "tail": 100}
        ours = millstream_server.post(POLARS + "/features", body)
    else:
        ours = millstream_server.get(f"{POLARS}/buffers/{name}/data?tail=100")
    assert ours.json()["rows"] == 100
    compare_http(ours, echo_server.get("/echo"), Reach(ours=most * MILLISECOND))


def test_76_columns_of_10_000_rows_over_http(
    millstream_server: Server, echo_server: Server, compare_http: CompareHttp
) -> None:
    """Three windows, three lags and deltas of all rows as JSON, the whole request."""
    rows = 100 if SMOKE else len(VALUES)
    name = f"read-all-{time.monotonic_ns()}"
    with millstream_server.post(POLARS + "/buffers", {"buffer_id": name, "window_size": 10_000}) as create:
        create.send()
    data = [dict(zip(COLUMNS, row, strict=True)) for row in VALUES[:rows].tolist()]
    with millstream_server.post(POLARS + "/append", {"buffer_id": name, "data": data}) as append:
        append.send()
    body = {"buffer_id": name, "rolling_windows": WINDOWS, "lag_periods": LAGS, "include_deltas": True}
    ours = millstream_server.post(POLARS + "/features", body)
    answer = ours.json()
    assert (answer["rows"], len(answer["data"]), len(answer["data"][-1])) == (rows, rows, 76)
    compare_http(ours, echo_server.get("/echo"), Reach(ours=40 * MILLISECOND))
