"""Streams: one row, many rows, many streams."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import millstream as ms
import numpy as np
import pytest
import rcf3
from conftest import Compare, CompareHttp, Record
from ratio import SMOKE, Ratio, interleave, summarize
from results import Reach
from river import anomaly
from server_cpu import Exchange, Server

COLUMNS = ("cpu", "memory", "disk_io", "network")
Row = dict[str, float]


def rows(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Gaussian rows of four columns."""
    return np.random.default_rng(seed).normal(size=(count, len(COLUMNS)))


def mappings(count: int) -> list[Row]:
    """The same as mappings."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows(count).tolist()]


def ready(**settings: Any) -> ms.Stream:
    """An ecod stream of window 1000, full, with a model. It retrains in the call: that share is in every figure."""
    stream = ms.Stream(**{"columns": COLUMNS, "background": False} | settings)
    stream.update_many(rows(1500, seed=1))
    assert stream.update(mappings(1)[0]).score is not None
    return stream


def each(call: Callable[[Row], object]) -> Callable[[], object]:
    """`call` with the next row, over and over."""
    following = itertools.cycle(mappings(5000))
    return lambda: call(next(following))


def river_trees() -> Callable[[Row], object]:
    """HalfSpaceTrees as its documentation uses it, limits given, score and learning."""
    trees: Any = anomaly.HalfSpaceTrees(seed=0, limits=dict.fromkeys(COLUMNS, (-5.0, 5.0)))

    def step(row: Row) -> object:
        score = trees.score_one(row)
        trees.learn_one(row)
        return score

    return step


def cut_forest() -> Callable[[Row], object]:
    """The random cut forest of rcf3 with its defaults, scoring and learning, on lists as it takes them."""
    forest = rcf3.Forest(len(COLUMNS), seed=0)
    for row in rows(1500).tolist():
        forest.update(row)
    return lambda row: forest.update_and_score(list(row.values()))


def test_one_row_against_half_space_trees(compare: Compare) -> None:
    """One row through ecod, window 1000, 4 columns; calibration and the share of retraining are in it."""
    stream, trees = ready(), river_trees()
    for row in mappings(600):
        trees(row)
    compare(each(stream.update), each(trees), "river HalfSpaceTrees", Reach(times=8, ours=3000))


def test_one_row_against_a_random_cut_forest(compare: Compare) -> None:
    """The same against Rust."""
    compare(each(ready().update), each(cut_forest()), "rcf3 Forest", Reach(times=1, ours=3000))


def test_one_row_with_windows_and_lags(compare: Compare) -> None:
    """Rolling windows 5, 10, 20 and three lags: 60 more features, live and seen by the backend."""
    derived = ready(rolling_windows=[5, 10, 20], lag_periods=[1, 2, 3])
    compare(each(derived.update), each(ready().update), "the row alone", Reach(share=4))


def test_one_row_retrained_in_the_background(compare: Compare) -> None:
    """As a service has it: the refit is in a thread of the same process, whose CPU counts."""
    compare(each(ready(background=True).update), each(ready().update), "in the call", Reach(share=1.5))


def many(stream: ms.Stream) -> Callable[[], object]:
    batch = rows(1000 if SMOKE else 100_000)
    return lambda: stream.update_many(batch)


def per_row(ratio: Ratio, count: int) -> Ratio:
    return Ratio(ratio.ours_ns / count, ratio.peer_ns / count, ratio.times, ratio.pairs)


def test_a_row_of_many(record: Record, benchmark: Any) -> None:
    """A row of `update_many` with 100,000, against the same rows one by one."""
    count, batched, single = 1000 if SMOKE else 100_000, ready(background=True), ready(background=True)
    one_by_one = mappings(count)

    def singly() -> None:
        for row in one_by_one:
            single.update(row)

    benchmark.pedantic(many(ready()), rounds=1)
    record("row by row", per_row(interleave(many(batched), singly), count), Reach(ours=1500))


def test_a_row_of_many_with_windows_and_lags(record: Record, benchmark: Any) -> None:
    """The same with rolling windows 5, 10, 20 and three lags."""
    count = 1000 if SMOKE else 100_000
    derived = ready(background=True, rolling_windows=[5, 10, 20], lag_periods=[1, 2, 3])
    plain = ready(background=True)
    benchmark.pedantic(many(derived), rounds=1)
    record("the rows alone", per_row(interleave(many(derived), many(plain)), count), Reach(ours=6000))


STREAM = "/v1/ml/anomaly/stream"


def test_a_batch_of_a_thousand_rows_over_http(
    millstream_server: Server, echo_server: Server, compare_http: CompareHttp
) -> None:
    """Server CPU for 1,000 rows in a body: parsed, scored, answered one by one, with a retrain after each batch."""
    body = {"model": "thousand", "data": mappings(1000)}
    ours, peer = millstream_server.post(STREAM, body), echo_server.post("/echo", body)
    ours.send()
    assert all(0 < result["score"] < 1 for result in ours.json()["results"])
    compare_http(ours, peer, Reach(ours=4e6))


def slowest_of_a_hundred(exchange: Exchange, count: int = 100 if SMOKE else 300) -> float:
    """The 99th percentile of the time until an answer, in ns."""
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        exchange.send()
        times.append(time.perf_counter_ns() - start)
    return float(np.percentile(times, 99))


BUSY = """
import http.client, json, sys, time

client, body = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1])), sys.stdin.readline()
while True:
    client.request("POST", "/v1/ml/anomaly/stream", body)
    client.getresponse().read()
    time.sleep(0.01)
"""


@contextmanager
def busy(server: Server, backend: str, interval: int) -> Iterator[None]:
    """A client of its own process that sends ten rows a hundred times a second, to a stream with a full window."""
    body = {"model": f"{backend}-{interval}", "backend": backend, "retrain_interval": interval}
    with server.post(STREAM, body | {"data": mappings(1000)}) as rows, server.get(f"{STREAM}/{body['model']}") as stats:
        rows.send()
        with subprocess.Popen(
            [sys.executable, "-c", BUSY, str(server.port)], stdin=subprocess.PIPE, text=True
        ) as client:
            assert client.stdin is not None
            client.stdin.write(json.dumps(body | {"data": mappings(10)}) + "\n")
            client.stdin.flush()
            before = stats.json()
            while (now := stats.json())["total_processed"] < before["total_processed"] + 300:
                time.sleep(0.01)
            yield
            client.kill()
        assert (now["model_version"] > 1 or now["status"] == "retraining") == (interval < NEVER)


NEVER = 10**7


@pytest.mark.timeout(400)  # six first fits, of which the autoencoder's take ten seconds each on a machine at work
@pytest.mark.parametrize("backend", [info.backend for info in ms.backends() if not SMOKE or info.backend == "ecod"])
def test_others_while_a_stream_retrains(millstream_server: Server, record: Record, backend: str) -> None:
    """The 99th percentile of a row to another stream, and of /health, beside a stream that takes a thousand rows a
    second and is retrained every hundred, or as often as its backend can; the peer is the same without retrains."""
    others = ({"model": "other", "data": row} for row in mappings(500))
    pairs: tuple[list[tuple[float, float]], ...] = ([], [])
    with millstream_server.post(STREAM, *others) as other, millstream_server.get("/health") as health:
        for _ in range(200):
            other.send()
        for _ in range(1 if SMOKE else 3):
            with busy(millstream_server, backend, NEVER):
                calm = [slowest_of_a_hundred(other), slowest_of_a_hundred(health)]
            with busy(millstream_server, backend, 100):
                loaded = [slowest_of_a_hundred(other), slowest_of_a_hundred(health)]
            for pair, figures in zip(pairs, zip(loaded, calm, strict=True), strict=True):
                pair.append(figures)
    record("the rows alone, p99", summarize(pairs[0]), Reach(share=2))
    record("the rows alone, p99", summarize(pairs[1]), Reach(ours=50e6))


LISTED = 200 if SMOKE else 10_000


def test_list_all_streams(millstream_server: Server, record: Record) -> None:
    """Server CPU of a list of ten thousand streams, against what is asked."""
    row = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    with millstream_server.post(STREAM, *({"model": f"s{at}", "data": row} for at in range(LISTED))) as rows:
        for _ in range(LISTED):
            rows.send()
    with millstream_server.get(STREAM + "/detectors") as listed:
        assert listed.json()["total"] >= LISTED
        before, count = millstream_server.cpu_ns(), 2 if SMOKE else 20
        for _ in range(count):
            listed.send()
        spent = (millstream_server.cpu_ns() - before) / count
    record("the limit", Ratio(spent, 100e6, 100e6 / spent, 1), Reach(ours=100e6))


STREAMS = 200 if SMOKE else 10_000


FLEET = """
import os, sys, time
import numpy as np
import millstream as ms

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

count, columns = int(sys.argv[1]), ["a", "b", "c", "d"]
batch = np.random.default_rng(0).normal(size=(200, 4))
for _ in range(20):
    ms.Stream(columns=columns, background=False).update_many(batch)
before, start = resident(), time.process_time_ns()
streams = [ms.Stream(columns=columns) for _ in range(count)]
created = time.process_time_ns() - start
for stream in streams:
    stream.update_many(batch)
for stream in streams:
    stream.wait()
print(created / count, (resident() - before) / count)
"""


def test_ten_thousand_streams(record: Record) -> None:
    """Creation, memory of each with 200 rows, and a row for one of many at random against a row for one."""
    command = [sys.executable, "-c", FLEET, str(STREAMS)]  # a process of its own: no freed memory hides what it takes
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    created, memory = (float(figure) for figure in done.stdout.split())
    record("the limit", Ratio(created, 1e6, 1e6 / created, 1), Reach(ours=1e6))
    record("the limit", Ratio(memory, 60e3, 60e3 / memory, 1), Reach(ours=60e3), unit="B")
    batch, row = rows(200), mappings(1)[0]
    one, *streams = (ms.Stream(columns=COLUMNS) for _ in range(1 + STREAMS))
    for stream in (one, *streams):
        stream.update_many(batch)
    for stream in (one, *streams):
        stream.wait()
    chosen = itertools.cycle(np.random.default_rng(0).integers(0, STREAMS, 50_000).tolist())
    pair = interleave(lambda: streams[next(chosen)].update(row), lambda: one.update(row))
    record("one stream", pair, Reach(share=3, ours=8000))
