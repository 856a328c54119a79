"""Requests over HTTP, in CPU of the server."""

from __future__ import annotations

import numpy as np
from conftest import CompareHttp
from results import Reach
from server_cpu import Server

COLUMNS = ("cpu", "memory", "disk_io", "network")


def rows(count: int) -> list[dict[str, float]]:
    """Seeded rows of four numbers with two decimals."""
    values = np.random.default_rng(0).normal((40, 60, 120, 500), (10, 5, 30, 80), (count, 4)).round(2)
    return [dict(zip(COLUMNS, row, strict=True)) for row in values.tolist()]


def test_stream_row(millstream_server: Server, echo_server: Server, compare_http: CompareHttp) -> None:
    """One row to a ready ecod stream of window 1000; one request in a hundred starts a retrain, which counts too."""
    path = "/v1/ml/anomaly/stream"
    bodies = [{"model": "row", "data": row} for row in rows(5000)]
    with millstream_server.post(path, {"model": "row", "data": rows(1500)}) as first:
        first.send()
    ours, peer = millstream_server.post(path, *bodies), echo_server.post("/echo", *bodies)
    answer = ours.json()
    assert answer["samples_collected"] == 1000
    assert 0 < answer["results"][0]["score"] < 1
    assert peer.json() == {"object": "echo", "status": "ok", "rows": 1}
    compare_http(ours, peer, Reach(share=1.6))
