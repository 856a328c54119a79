"""Streams of a server under load: order, limits, and retrains that keep out of the way."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.contract.server_process import ServerProcess

STREAM = "/v1/ml/anomaly/stream"


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(**environment):
        servers.append(ServerProcess(tmp_path, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def send(server, name, data, **fields):
    return server.ask("POST", STREAM, {"model": name, "data": data} | fields)


def rows(count, columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, columns)).tolist()


def test_rows_of_several_clients_are_taken_in_whole_batches_none_lost_or_counted_twice(serve):
    server = serve()
    batches = [("one" if at % 2 else "two", rows(1 + at % 5, seed=at)) for at in range(60)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda batch: send(server, *batch, min_samples=10, retrain_interval=10), batches))
    assert {answer.status for answer in answers} == {200}
    for name in ("one", "two"):
        sent = sum(len(data) for to, data in batches if to == name)
        assert server.ask("GET", f"{STREAM}/{name}").json["total_processed"] == sent
        ends = [a.json["samples_collected"] for a, (to, _) in zip(answers, batches, strict=True) if to == name]
        assert len(set(ends)) == len(ends)  # each batch saw a window of its own: one at a time


def test_a_batch_of_many_rows_starts_one_retrain(serve):
    server = serve()
    assert send(server, "many", rows(20_000), retrain_interval=10).status == 200
    while (stats := server.ask("GET", f"{STREAM}/many").json)["status"] == "retraining":
        pass  # each answer takes a while, and the retrain ends without waiting for anything here
    assert (stats["model_version"], stats["samples_since_retrain"]) == (2, 0)


def test_beyond_the_number_of_detectors_new_ones_are_503_and_the_others_work(serve):
    server = serve(MILLSTREAM_MAX_STREAMS="2")
    for name in ("a", "b"):
        assert send(server, name, rows(1)).status == 200
    refused = send(server, "c", rows(1))
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    assert send(server, "a", rows(1)).status == 200
    assert server.ask("DELETE", f"{STREAM}/b").status == 200
    assert send(server, "c", rows(1)).status == 200


def test_beyond_their_memory_growing_detectors_are_503_and_full_ones_work(serve):
    server = serve(MILLSTREAM_MAX_STREAM_BYTES="30000")
    assert send(server, "full", rows(60), window_size=50).status == 200
    assert send(server, "large", rows(900)).status == 200
    for name in ("large", "new"):
        refused = send(server, name, rows(1))
        assert refused.status == 503
        assert "MILLSTREAM_MAX_STREAM_BYTES" in refused.json["detail"]
        assert int(refused.headers["retry-after"]) > 0
    assert send(server, "full", rows(1)).status == 200
    assert server.ask("DELETE", f"{STREAM}/large").status == 200
    assert send(server, "new", rows(1)).status == 200


def test_a_million_rows_in_a_body_are_taken(serve):
    server = serve()
    body = b'{"model":"million","data":[' + b",".join([b"[1]", b"[2]"] * 500_000) + b"]}"
    answer = server.ask("POST", STREAM, body)
    assert answer.status in {200, 413}
    assert answer.status == 200 or "MILLSTREAM" in answer.json["detail"]
    assert send(server, "million", rows(1, columns=1)).status == 200
