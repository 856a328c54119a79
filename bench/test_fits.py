"""Latency of a server while a slow backend fits, against the same server at rest."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from conftest import Record
from ratio import SMOKE, Ratio
from results import Reach
from server_cpu import Exchange, Server

ANOMALY = "/v1/ml/anomaly"
ROUNDS = 1 if SMOKE else 4
REQUESTS = 20 if SMOKE else 300
CHANCE = np.random.default_rng(5)
BUSY_NS = 20_000_000 if SMOKE else 500_000_000  # of CPU, more than reading the request takes: the fit has begun
FITS: dict[str, dict[str, Any]] = {
    "one_class_svm": {
        "data": CHANCE.normal(size=(2_000 if SMOKE else 20_000, 4)).round(6).tolist(),
        "contamination": 0.5,
    },
}
if not SMOKE:  # 300 requests must be over before they are; torch alone takes seconds to begin
    FITS["suod"] = {"data": CHANCE.normal(size=(80_000, 4)).round(6).tolist()}
    FITS["autoencoder"] = {"data": CHANCE.normal(size=(5_000, 8)).round(6).tolist(), "epochs": 60}


@contextmanager
def fitting(server: Server, backend: str) -> Iterator[None]:
    """A client that asks for a fit, and leaves before it is done."""
    body = {"model": backend, "backend": backend} | FITS[backend]
    before = server.cpu_ns()
    with closing(HTTPConnection("127.0.0.1", server.port)) as client:
        client.request("POST", ANOMALY + "/fit", json.dumps(body))
        while server.cpu_ns() - before < BUSY_NS:
            time.sleep(0.005)
        yield
        answered = select.select([client.sock], [], [], 0)[0]
        assert SMOKE or not answered, "the fit was over before the requests were"
    server._settle()


def latencies(exchange: Exchange) -> list[int]:
    """Wall time of requests one after the other: the only row in which what counts is the time a client waits."""
    times = []
    for _ in range(REQUESTS):
        start = time.perf_counter_ns()
        exchange.send()
        times.append(time.perf_counter_ns() - start)
    return times


def while_fitting(server: Server, exchange: Exchange, backend: str) -> Ratio:
    """The 99th percentile while `backend` fits (ours) and at rest (the peer), in turns."""
    busy, rest = list[int](), list[int]()
    with exchange:
        exchange.send()
        for _ in range(ROUNDS):
            rest += latencies(exchange)
            with fitting(server, backend):
                busy += latencies(exchange)
    ours, peer = float(np.percentile(busy, 99)), float(np.percentile(rest, 99))
    return Ratio(ours, peer, peer / ours, ROUNDS)


@pytest.mark.parametrize("backend", FITS)
def test_health_while_fitting(millstream_server: Server, record: Record, backend: str) -> None:
    """The 99th percentile of GET /health."""
    exchange = millstream_server.get("/health")
    record("at rest, p99", while_fitting(millstream_server, exchange, backend), Reach(ours=50e6))


@pytest.mark.parametrize("backend", FITS)
def test_score_100_rows_with_ecod_while_fitting(millstream_server: Server, record: Record, backend: str) -> None:
    """The 99th percentile of POST /score."""
    rows = CHANCE.normal(size=(1_000, 4)).tolist()
    with millstream_server.post(ANOMALY + "/fit", {"model": "beside", "backend": "ecod", "data": rows}) as fit:
        fit.send()
    exchange = millstream_server.post(ANOMALY + "/score", {"model": "beside", "data": rows[:100]})
    assert exchange.json()["total_count"] == 100
    record("at rest, p99", while_fitting(millstream_server, exchange, backend), Reach(share=2.0))
