"""Streams of a server under load: order, limits, and retrains that keep out of the way."""

import contextlib
import os
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


def stats(server, name):
    return server.ask("GET", f"{STREAM}/{name}").json


def settled(server, name):
    """How the stream stands when no retrain is under way."""
    while (now := stats(server, name))["status"] == "retraining":
        pass  # each answer takes a while, and the retrain ends without waiting for anything here
    return now


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A server, and a context in which a retrain is under way and stays so: see held_fits.py."""
    folder = tmp_path_factory.mktemp("held")
    pipe = folder / "pipe"
    os.mkfifo(pipe)

    @contextlib.contextmanager
    def holding():
        with pipe.open("wb"):  # opens when the fit does
            yield

    server = ServerProcess(folder, "tests.server.held_fits", HELD_FITS=str(pipe))
    yield server, holding
    server.kill()


def test_while_a_retrain_runs_its_detector_others_and_health_are_answered(held):
    server, holding = held
    for name in ("a", "b"):
        assert send(server, name, rows(50), retrain_interval=10).status == 200
    assert send(server, "a", rows(10), normalization="raw").json["status"] == "retraining"
    with holding():
        for name, status in (("a", "retraining"), ("b", "ready")):
            answer = send(server, name, rows(1)).json
            assert (answer["status"], answer["model_version"]) == (status, 1)
            assert answer["results"][0]["score"] is not None
        assert server.ask("GET", "/health").status == 200
        assert server.ask("GET", f"{STREAM}/detectors").json["total"] == 2
        assert send(server, "new", rows(1)).json["status"] == "collecting"
        assert send(server, "a", rows(10)).json["samples_collected"] == 71
        assert stats(server, "a")["samples_since_retrain"] == 11
    assert settled(server, "a")["model_version"] == 2


def test_a_batch_of_many_rows_leaves_one_retrain(held):
    server, holding = held
    assert send(server, "many", rows(50), retrain_interval=10).status == 200
    assert send(server, "many", rows(100_000), normalization="raw").json["status"] == "retraining"
    with holding():
        assert send(server, "many", rows(1000)).json["model_version"] == 1
        now = stats(server, "many")
        assert (now["status"], now["samples_since_retrain"], now["total_processed"]) == ("retraining", 1000, 101_050)
    assert settled(server, "many")["model_version"] == 2


def test_a_retrain_that_fails_keeps_the_model_is_shown_and_tried_again(held):
    server, _ = held
    assert send(server, "s", rows(50), retrain_interval=10).status == 200
    for failures in (1, 2):
        send(server, "s", rows(10), normalization="zscore")
        now = settled(server, "s")
        assert (now["status"], now["model_version"], now["retrain_failures"]) == ("ready", 1, failures)
        assert now["last_error"] == "ValueError: as asked"
        assert send(server, "s", []).json["model_version"] == 1
    answer = send(server, "s", rows(9), normalization="standardization").json
    assert None not in [result["score"] for result in answer["results"]]
    assert settled(server, "s")["model_version"] == 1
    send(server, "s", rows(1))
    now = settled(server, "s")
    assert (now["model_version"], now["retrain_failures"], now["last_error"]) == (2, 2, None)


def test_more_first_fits_at_once_than_the_server_has_threads_all_end(serve):
    server = serve()
    names = [f"s{at}" for at in range(4 * max(4, os.cpu_count() or 1))]
    with ThreadPoolExecutor(len(names)) as clients:  # mcd is fitted in a process, and brought back in a thread
        ready = list(clients.map(lambda name: send(server, name, rows(20), min_samples=20, backend="mcd"), names))
    assert {(answer.status, answer.json["status"]) for answer in ready} == {(200, "ready")}


def test_streams_that_are_due_together_are_all_retrained(serve):
    server = serve(MILLSTREAM_FIT_QUEUE="0", MILLSTREAM_FIT_WORKERS="1")
    names = [f"s{at}" for at in range(100)]
    for name in names:
        assert send(server, name, rows(20), min_samples=20, retrain_interval=10).status == 200
    for name in names:
        assert send(server, name, rows(10)).status == 200
    assert {(now["model_version"], now["retrain_failures"]) for now in (settled(server, n) for n in names)} == {(2, 0)}


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
