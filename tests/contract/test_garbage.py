"""Seeded garbage, bounded in time: every answer is one of ours, none a 5xx, and the server lives."""

import contextlib
import http.client
import itertools
import json
import random
import socket
import threading
from copy import deepcopy

import msgspec
import pytest
from millstream.server.endpoints import ENDPOINTS

from tests.contract.rule import check_problem
from tests.contract.server_process import Answer, ServerProcess, read_answers

ROWS = [[float(n % 7), float(n % 5)] for n in range(30)]
BODIES = {  # one good body for each route that reads one
    "/v1/ml/polars/buffers": {"buffer_id": "g", "window_size": 50, "rolling_windows": [3], "lag_periods": [1]},
    "/v1/ml/polars/append": {"buffer_id": "g", "data": [{"a": 1.5, "t": "x", "b": True}, {"a": None}]},
    "/v1/ml/polars/features": {"buffer_id": "g", "rolling_windows": [2, 5], "tail": 3, "min_samples": 1},
    "/v1/ml/buffers": {"name": "h", "columns": ["x", "y"], "max_size": 20},
    "/v1/ml/buffers/{name}/append": {"data": [{"x": 1, "y": 2}]},
    "/v1/ml/anomaly/fit": {"model": "g", "backend": "ecod", "data": ROWS, "overwrite": True},
    "/v1/ml/anomaly/score": {"model": "g", "data": ROWS[:2]},
    "/v1/ml/anomaly/detect": {"model": "g", "data": ROWS[:2]},
    "/v1/ml/anomaly/save": {"model": "g"},
    "/v1/ml/anomaly/load": {"model": "g"},
    "/v1/ml/anomaly/stream": {"model": "g", "data": [{"x": 1, "y": 2}], "min_samples": 10, "window_size": 50},
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


class Client:
    """Requests over one kept connection, renewed when the server closed it."""

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method, path, body=None):
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, content)
        got = self._connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())

    def close(self):
        self._connection.close()


@pytest.fixture
def client(server):
    with contextlib.closing(Client(server.port)) as made:
        yield made


def check(answer, asked):
    """Whole, ours, and no 5xx."""
    assert answer.status < 500, (asked, answer.body)
    if answer.status >= 400:
        check_problem(answer)
    else:
        assert b"NaN" not in answer.body


def fields(struct):
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def path_of(endpoint, chance):
    names = ["g", "h", "none", "a" * 200, "%00", "..", "%2e%2e%2f", "é".encode().hex(), "a%0Ab"]
    path = endpoint.path
    while "{" in path:
        head, _, rest = path.partition("{")
        path = head + chance.choice(names) + rest.partition("}")[2]
    return path + chance.choice(["", "", "?", "?tail=1", "?tail=-1", "?last=x&last=2", "?%ff=%ff", "?a[]=1&&=&"])


def test_each_route_that_reads_a_body_has_a_good_one_here(client):
    assert set(BODIES) == {e.path for e in ENDPOINTS if e.reads_body}
    for endpoint in ENDPOINTS:
        if endpoint.reads_body:
            answer = client.ask("POST", endpoint.path.replace("{name}", "h"), BODIES[endpoint.path])
            assert answer.status == 200, (endpoint.path, answer.body)


@pytest.mark.parametrize("endpoint", [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS if e.reads_body])
def test_any_value_in_any_field_of_a_body_is_taken_or_refused(client, endpoint):
    body, path = BODIES[endpoint.path], endpoint.path.replace("{name}", "h")
    values = VALUES[1::3] if endpoint.ends_with_client else VALUES  # a fit that is taken waits for the disk
    for field, value in itertools.product({*fields(endpoint.request), *body}, values):
        check(client.ask("POST", path, body | {field: value}), (field, value))
    for left_out in {*body} - {"backend"}:  # its default fits in a child, which may still be warming up
        check(client.ask("POST", path, {k: v for k, v in body.items() if k != left_out}), left_out)
    for whole in VALUES:
        check(client.ask("POST", path, whole), whole)
    assert client.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    "endpoint", [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS if not e.reads_body]
)
def test_any_value_in_a_path_or_a_query_is_taken_or_refused(client, endpoint):
    if endpoint.path == "/docs":
        pytest.skip("a page of scripts")
    names = ("none", "g", "a" * 200, "%00", "..", "..%2F..%2Fetc%2Fpasswd", "%C3%A9", "a%0Ab", "%", "%zz", "detectors")
    values = ("", "1", "-1", "0", "1e3", "x", "true", "null", "9" * 40, "NaN", "%00", "1&tail=2", "[]")
    queries = [f"{field}={value}" for field in fields(endpoint.request) for value in values] or ["x=1"]
    for name, query in itertools.product(names if "{" in endpoint.path else names[:1], queries):
        path = "/".join(name if part.startswith("{") else part for part in endpoint.path.split("/"))
        check(client.ask(endpoint.method, f"{path}?{query}"), (path, query))


@pytest.mark.parametrize("seed", range(8))
def test_garbage_is_answered_and_never_with_5xx(client, seed):
    chance = random.Random(seed)
    for _ in range(60):
        endpoint = chance.choice(ENDPOINTS)
        if endpoint.path == "/docs":
            continue
        body = mutated(BODIES.get(endpoint.path, {"model": "g", "data": [[1], [2]]}), chance)
        check(client.ask(endpoint.method, path_of(endpoint, chance), body), (endpoint, body))
    assert client.ask("GET", "/health").status == 200


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


def raw(method, path, body=b""):
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def test_good_and_bad_requests_in_one_packet_are_answered_in_order(server):
    good = json.dumps(BODIES["/v1/ml/anomaly/stream"] | {"model": "pipe"}).encode()
    stream = "/v1/ml/anomaly/stream"
    asked = [
        (raw("POST", stream, good), 200),
        (raw("POST", stream, b"{"), 400),
        (raw("GET", "/nope"), 404),
        (raw("PUT", stream), 405),
        (raw("POST", stream, b"[]"), 422),
        (raw("GET", stream + "/none"), 404),
        (raw("POST", stream, good), 200),
        (b"\x00\x01garbage\r\n\r\n", 400),
    ]
    answers = server.send_raw(b"".join(data for data, _ in asked))
    assert [answer.status for answer in answers] == [status for _, status in asked]


def test_sockets_that_stop_half_way_do_not_keep_others_waiting(server, client):
    body = json.dumps(BODIES["/v1/ml/anomaly/stream"]).encode()
    whole = raw("POST", "/v1/ml/anomaly/stream", body)
    with contextlib.ExitStack() as stack:
        for end in range(1, len(whole), 3):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            held.sendall(whole[:end])
        for _ in range(20):
            assert client.ask("GET", "/health").status == 200
    assert client.ask("GET", "/health").status == 200


def test_a_request_sent_byte_by_byte_is_answered(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as held:
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = json.dumps(BODIES["/v1/ml/anomaly/stream"] | {"model": "slow"}).encode()
        for byte in raw("POST", "/v1/ml/anomaly/stream", body):
            held.sendall(bytes([byte]))
        held.sendall(b"GET /nope HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert [answer.status for answer in read_answers(held)] == [200, 404]


def test_the_end_in_the_middle_of_garbage_leaves_whole_answers_and_exit_code_0(tmp_path):
    server = ServerProcess(tmp_path)
    enough, wrong = threading.Semaphore(0), []

    def pester(seed):
        chance = random.Random(seed)
        client = Client(server.port)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            while True:  # until the server is gone
                endpoint = chance.choice([e for e in ENDPOINTS if e.reads_body and not e.ends_with_client])
                answer = client.ask("POST", path_of(endpoint, chance), mutated(BODIES[endpoint.path], chance))
                if answer.status >= 500 and answer.status != 503:
                    wrong.append(answer)
                enough.release()

    threads = [threading.Thread(target=pester, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        assert enough.acquire(timeout=30)
    assert server.stop() == 0
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not wrong
