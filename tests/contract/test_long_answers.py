"""Answers with many rows: the same JSON as for few, and nobody waits for them."""

import json
import socket

import numpy as np
import pytest

from tests.contract.server_process import ServerProcess, read_answers

ANOMALY = "/v1/ml/anomaly"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = ServerProcess(tmp_path_factory.mktemp("long"), MILLSTREAM_MAX_ANSWER_VALUES="1000000")
    assert made.ask("POST", f"{ANOMALY}/fit", {"model": "m", "backend": "ecod", "data": ROWS[:500]}).status == 200
    yield made
    assert made.stop() == 0, "".join(made.log)


ROWS = np.random.default_rng(0).normal(size=(5000, 2)).round(3).tolist()
ROWS[1500][0] = ROWS[4321][1] = None


def ask(server, path, data, **fields):
    answer = server.ask("POST", ANOMALY + path, fields | {"data": data})
    assert answer.status == 200, answer.body
    return answer.json


def rows_of_few(server, path, field, **fields):
    """What the rows get in calls of 500, numbered as in one call."""
    found = []
    for start in range(0, len(ROWS), 500):
        part = ask(server, path, ROWS[start : start + 500], **fields)[field]
        found += [row | {"index": row["index"] + start} for row in part]
    return found


@pytest.mark.parametrize("path", ["/score", "/detect"])
def test_the_rows_of_a_long_answer_are_those_of_short_ones(server, path):
    fields = {"model": "m", "threshold": 0.4}
    long = ask(server, path, ROWS, **fields)
    assert long["data"] == rows_of_few(server, path, "data", **fields)
    short = ask(server, path, ROWS[:500], **fields)
    assert list(long) == list(short)
    assert long["total_count"] == len(long["data"]) > 1000


def test_a_long_answer_carries_its_warnings(server):
    schema = {"a": "numeric"}
    assert ask(server, "/score", ROWS[:10], model="m", schema=schema)["warnings"]
    long = ask(server, "/score", ROWS, model="m", schema=schema)
    assert long["warnings"]
    assert len(long["data"]) == len(ROWS)


def test_a_stream_says_the_same_about_many_rows_as_about_few(server):
    fields = {"min_samples": 60, "retrain_interval": 100_000}
    long = ask(server, "/stream", ROWS, model="long", **fields)
    short = rows_of_few(server, "/stream", "results", model="short", **fields)
    assert long["results"] == short
    assert [row["index"] for row in short if "imputed" in row] == [1500, 4321]
    assert long["results"][59]["score"] is None is not long["results"][60]["score"]


def test_a_stream_refuses_rows_whose_answer_would_be_too_large_and_takes_none(server):
    refused = server.ask("POST", f"{ANOMALY}/stream", b'{"model":"huge","data":[' + b"[1]," * 250_000 + b"[1]]}")
    assert refused.status == 413
    assert "MILLSTREAM_MAX_ANSWER_VALUES" in refused.json["detail"]
    assert server.ask("GET", f"{ANOMALY}/stream/huge").status == 404


def test_others_are_answered_while_a_client_takes_its_long_answer_slowly(server):
    body = json.dumps({"model": "m", "data": ROWS * 20}).encode()
    head = f"POST {ANOMALY}/score HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
        slow.sendall(head.encode() + body)
        slow.recv(1, socket.MSG_PEEK)  # the answer has begun, and stands still from here on
        assert server.ask("GET", "/health").status == 200
        assert ask(server, "/score", ROWS[:5], model="m")["total_count"] == 5
        (answer,) = read_answers(slow)
    assert answer.json["total_count"] == len(answer.json["data"]) == len(ROWS) * 20


POLARS = "/v1/ml/polars"


def test_many_values_of_a_buffer_are_those_of_its_parts(server):
    rows = [{"a": float(at), "b": at / 8, "c": None if at % 7 else "text"} for at in range(20_000)]
    assert server.ask("POST", f"{POLARS}/buffers", {"buffer_id": "b", "window_size": 20_000}).status == 200
    assert server.ask("POST", f"{POLARS}/append", {"buffer_id": "b", "data": rows}).status == 200
    long = server.ask("GET", f"{POLARS}/buffers/b/data").json
    assert list(long) == list(server.ask("GET", f"{POLARS}/buffers/b/data?tail=1").json)
    assert long["rows"] == len(rows)
    assert long["data"] == rows
    named = server.ask("GET", "/v1/ml/buffers/b/data?offset=10").json
    assert (named["data"], named["returned_rows"]) == (rows[10:], len(rows) - 10)
