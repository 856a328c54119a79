"""Fits as clients meet them: refits while others score, a client that leaves, a full queue, a child that dies."""

import json
import select
import socket
import threading

import numpy as np
import psutil
import pytest

from tests.contract.rule import check_problem
from tests.contract.server_process import ServerProcess

pytestmark = pytest.mark.timeout(600)  # children begin with scikit-learn, which takes a busy machine its time
ANOMALY = "/v1/ml/anomaly"
TRAINING = [np.random.default_rng(n).normal(n, 1 + n, size=(80, 2)).tolist() for n in range(2)]
ROWS = [[0.0, 0.5], [1.0, 1.0], [9.0, -3.0]]
MANY = np.random.default_rng(3).normal(size=(20_000, 4)).round(6).tolist()
SLOW = {"model": "slow", "backend": "one_class_svm", "contamination": 0.5, "data": MANY}  # 9 s of CPU
QUICK = {"model": "quick", "backend": "isolation_forest", "data": TRAINING[0], "params": {"n_estimators": 5}}


def post(server, route, body):
    return server.ask("POST", ANOMALY + route, body)


def test_who_scores_while_others_refit_gets_one_model_or_the_other_whole(server):
    fits = [
        {"model": "refit", "backend": "ecod", "data": data, "overwrite": True, "normalization": kind}
        for data, kind in zip(TRAINING, ("zscore", "raw"), strict=True)
    ]
    whole = []
    for fit in fits:
        assert post(server, "/fit", fit).status == 200
        whole.append(post(server, "/score", {"model": "refit", "data": ROWS}).json)
    assert whole[0]["data"] != whole[1]["data"]
    done, seen, torn = threading.Event(), [0, 0], []

    def score():
        while not done.is_set():
            answer = post(server, "/score", {"model": "refit", "data": ROWS})
            if answer.status == 200 and answer.json in whole:
                seen[whole.index(answer.json)] += 1
            else:
                torn.append(answer)

    clients = [threading.Thread(target=score) for _ in range(4)]
    for client in clients:
        client.start()
    for n in range(24):
        assert post(server, "/fit", fits[n % 2]).status == 200
    done.set()
    for client in clients:
        client.join()
    assert not torn, torn[0].body
    assert min(seen) > 0


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A server with one child and no queue."""
    made = ServerProcess(tmp_path_factory.mktemp("narrow"), MILLSTREAM_FIT_WORKERS="1", MILLSTREAM_FIT_QUEUE="0")
    assert post(made, "/fit", QUICK).status == 200  # the child is there
    yield made
    assert made.stop() == 0, "".join(made.log)


def begin_slow(server):
    """Send a slow fit; its socket once the child is at work on it, and the refusal of another fit meanwhile."""
    body = json.dumps(SLOW).encode()
    request = f"POST {ANOMALY}/fit HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    while True:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=120)
        connection.sendall(request)
        while (answer := post(server, "/fit", QUICK)).status == 200 and not select.select([connection], [], [], 0)[0]:
            pass
        if answer.status == 503:
            return connection, answer
        connection.close()  # a quick fit was at work when it came, and it was refused itself


def children(server):
    """The processes that fit: the only ones that run below the requests' priority."""
    return [p for p in psutil.Process(server.process.pid).children(recursive=True) if p.nice() == 10]


def test_a_full_queue_is_503_and_a_client_that_leaves_frees_it(narrow):
    connection, refused = begin_slow(narrow)
    check_problem(refused)
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    assert "MILLSTREAM_FIT_QUEUE" in refused.json["detail"]
    assert (
        post(narrow, "/fit", QUICK | {"backend": "ecod", "params": {}}).status == 200
    )  # fits in threads have their own
    (busy,) = children(narrow)
    connection.close()
    busy.wait(60)
    while (answer := post(narrow, "/fit", QUICK)).status == 503:
        pass
    assert answer.status == 200
    assert "slow" not in {model["base_name"] for model in narrow.ask("GET", ANOMALY + "/models").json["data"]}


def test_a_child_that_is_killed_fails_its_one_fit_with_a_sentence(narrow):
    connection, _ = begin_slow(narrow)
    (busy,) = children(narrow)
    busy.kill()
    with connection, connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        text = file.read(600).decode()
    assert status == 503
    assert "The process that fitted the model died" in text
    while (answer := post(narrow, "/fit", QUICK)).status == 503:
        pass
    assert answer.status == 200


def test_a_fit_has_a_deadline(tmp_path):
    hurried = ServerProcess(tmp_path, MILLSTREAM_FIT_WORKERS="1", MILLSTREAM_FIT_SECONDS="1")
    answer = post(hurried, "/fit", SLOW)
    check_problem(answer)
    assert answer.status == 413
    assert "MILLSTREAM_FIT_SECONDS" in answer.json["detail"]
    assert hurried.stop() == 0
