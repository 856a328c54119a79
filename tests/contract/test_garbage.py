"""Seeded garbage: every answer is one of ours, none a 5xx, and the server lives."""

import json
import random
from copy import deepcopy

import pytest
from millstream.server.endpoints import ENDPOINTS

from tests.contract.rule import check_problem

BODIES = {
    "/v1/ml/polars/buffers": {"buffer_id": "g", "window_size": 50, "rolling_windows": [3], "lag_periods": [1]},
    "/v1/ml/polars/append": {"buffer_id": "g", "data": [{"a": 1.5, "t": "x", "b": True}, {"a": None}]},
    "/v1/ml/polars/features": {"buffer_id": "g", "rolling_windows": [2, 5], "tail": 3, "min_samples": 1},
    "/v1/ml/buffers": {"name": "h", "columns": ["x", "y"], "max_size": 20},
    "/v1/ml/buffers/{name}/append": {"data": [{"x": 1, "y": 2}]},
}
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    10,
    2**53 + 1,
    10**30,
    1e308,
    0.5,
    "",
    "g",
    "\x00",
    "é" * 300,
    [],
    {},
    [[]],
    [1, "x"],
    [{}],
    {"a": {}},
)


def mutated(body, chance):
    """`body` with a few values, keys or bytes changed."""
    body = json.loads(json.dumps(body))
    for _ in range(chance.randint(1, 3)):
        place = body
        while isinstance(place, dict | list) and place:
            key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
            if chance.random() < 0.5 or not isinstance(place[key], dict | list):
                place[key] = deepcopy(chance.choice(VALUES))
                break
            place = place[key]
    text = bytearray(json.dumps(body).encode())
    if chance.random() < 0.3:
        text[chance.randrange(len(text))] = chance.randrange(256)
    if chance.random() < 0.1:
        del text[chance.randrange(len(text)) :]
    return bytes(text)


def path_of(endpoint, chance):
    names = ["g", "h", "none", "a" * 200, "%00", "..", "%2e%2e%2f", "é".encode().hex(), "a%0Ab"]
    path = endpoint.path
    while "{" in path:
        head, _, rest = path.partition("{")
        path = head + chance.choice(names) + rest.partition("}")[2]
    return path + chance.choice(["", "", "?", "?tail=1", "?tail=-1", "?last=x&last=2", "?%ff=%ff", "?a[]=1&&=&"])


@pytest.mark.parametrize("seed", range(8))
def test_garbage_is_answered_and_never_with_5xx(server, seed):
    chance = random.Random(seed)
    for _ in range(60):
        endpoint = chance.choice(ENDPOINTS)
        if endpoint.path == "/docs":
            continue
        body = mutated(BODIES.get(endpoint.path, {"model": "g", "data": [[1], [2]]}), chance)
        answer = server.ask(endpoint.method, path_of(endpoint, chance), body)
        assert answer.status < 500, (endpoint, body, answer.body)
        if answer.status >= 400:
            check_problem(answer)
        else:
            assert b"NaN" not in answer.body
    assert server.ask("GET", "/health").status == 200


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_on_a_socket_never_kill_the_server(server, seed):
    chance = random.Random(seed)
    good = b'POST /v1/ml/polars/append HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{"buffer_id":'
    for _ in range(30):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for answer in server.send_raw(bytes(data), end=True):
            assert 400 <= answer.status < 500
            assert answer.json["error"]["message"] == answer.json["detail"]
    assert server.ask("GET", "/health").status == 200
