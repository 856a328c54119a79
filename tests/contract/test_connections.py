"""What happens below the routes: sizes, deadlines, keys, bytes that are no HTTP, and the end of the server."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.contract.rule import check_problem
from tests.contract.server_process import ServerProcess, read_answers

POLARS = "/v1/ml/polars"
GET_HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
APPEND = b"POST /v1/ml/polars/append HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server with a key and narrow limits."""
    made = ServerProcess(
        tmp_path_factory.mktemp("strict"),
        MILLSTREAM_API_KEY=" secret ",
        MILLSTREAM_MAX_BODY_BYTES="2000",
        MILLSTREAM_MAX_HEADER_BYTES="2000",
        MILLSTREAM_HEADER_SECONDS="0.3",
        MILLSTREAM_REQUEST_SECONDS="0.6",
        MILLSTREAM_MAX_ANSWER_VALUES="1000",
        MILLSTREAM_MAX_BUFFERS="2",
    )
    yield made
    assert made.stop() == 0, "".join(made.log)


KEY = {"authorization": "Bearer secret"}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ready", None),
        ("GET", "/nope", None),
        ("PUT", "/ready", None),
        ("GET", "/docs", None),
        ("POST", POLARS + "/append", b"{"),
        ("POST", POLARS + "/append", b" " * 3000),
    ],
)
def test_without_the_key_everything_is_401_before_anything_else(strict, method, path, body, headers):
    answer = strict.ask(method, path, body, headers)
    assert answer.status == 401
    check_problem(answer)


def test_health_needs_no_key_and_the_key_opens_the_rest(strict):
    assert strict.ask("GET", "/health").status == 200
    assert strict.ask("GET", "/ready", headers=KEY).status == 200
    assert strict.ask("GET", "/ready", headers={"authorization": "bearer secret"}).status == 200


def test_the_key_is_asked_before_a_body_is_read(strict):
    (answer,) = strict.send_raw(APPEND + b"content-length: 1000\r\nconnection: close\r\n\r\n")
    assert answer.status == 401


def test_a_body_too_large_is_413_before_it_is_read(strict):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        connection.sendall(APPEND + b"authorization: Bearer secret\r\ncontent-length: 2001\r\n\r\n")
        answer = read_answers(connection)[0]
    assert answer.status == 413
    check_problem(answer)
    assert "2000" in answer.json["detail"]


def test_the_methods_that_are_allowed_are_named_once(server):
    answer = server.ask("PUT", "/v1/ml/anomaly/stream/detectors")
    assert answer.status == 405
    assert sorted(answer.headers["allow"].split(", ")) == ["DELETE", "GET"]


def test_a_length_beyond_64_bits_is_413(strict):
    (answer,) = strict.send_raw(APPEND + b"content-length: 99999999999999999999999\r\n\r\n")
    assert answer.status == 413
    check_problem(answer)


@pytest.mark.parametrize("key", [b"authorization: Bearer secret\r\n", b""])
def test_after_an_early_answer_whose_body_never_comes_the_socket_just_closes(strict, key):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        connection.sendall(APPEND + key + b"content-length: 2001\r\n\r\n")
        answers = read_answers(connection)
    assert [a.status for a in answers] == [413 if key else 401]


def test_answers_about_rows_have_a_limit_too(strict):
    rows = [[n] for n in range(10)]
    fitted = strict.ask("POST", "/v1/ml/anomaly/fit", {"model": "m", "backend": "ecod", "data": rows}, KEY)
    assert fitted.status == 200
    answers = [
        strict.ask("POST", f"/v1/ml/anomaly/{verb}", {"model": "m", "data": [[1]] * count, "threshold": -1}, KEY)
        for verb, count in (("score", 250), ("score", 251), ("detect", 250), ("detect", 251))
    ]
    assert [a.status for a in answers] == [200, 413, 200, 413]
    check_problem(answers[1])
    assert "allowed are 250" in answers[1].json["detail"]


def test_a_chunked_body_is_413_at_the_first_byte_over(strict):
    head = APPEND + b"authorization: Bearer secret\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        connection.sendall(head + b"7d1\r\n" + b" " * 2001)
        answer = read_answers(connection)[0]
    assert answer.status == 413
    check_problem(answer)


def test_a_body_of_exactly_the_limit_is_read(strict):
    body = b'{"buffer_id":"x"'.ljust(1999) + b"}"
    assert strict.ask("POST", POLARS + "/features", body, KEY).status == 404


def test_the_connection_goes_on_after_a_413(strict):
    head = APPEND + b"authorization: Bearer secret\r\ncontent-length: 3000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        connection.sendall(head + b" " * 3000 + GET_HEALTH.replace(b"host", b"connection: close\r\nhost"))
        assert [a.status for a in read_answers(connection)] == [413, 200]


@pytest.mark.parametrize("late", [b"", b"GET", b"GET / HTTP/1.1\r\nhost: x\r\n", b"\r\n"])
def test_headers_that_do_not_come_in_time_are_408_and_the_socket_closes(strict, late):
    (answer,) = strict.send_raw(late)
    assert answer.status == 408
    check_problem(answer)


def test_headers_that_trickle_are_408(strict):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(200):
                connection.sendall(b"a: b\r\n")
                time.sleep(0.005)
        assert [a.status for a in read_answers(connection)] in ([408], [])


def test_a_request_that_does_not_come_in_time_is_408(strict):
    (answer,) = strict.send_raw(APPEND + b"authorization: Bearer secret\r\ncontent-length: 100\r\n\r\n{")
    assert answer.status == 408
    check_problem(answer)


def test_large_headers_are_431(strict):
    for data in (
        b"GET /health HTTP/1.1\r\na: " + b"b" * 3000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\na: " + b"b" * 3000,
        b"GET /" + b"h" * 3000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 1000,
    ):
        (answer,) = strict.send_raw(data)
        assert answer.status == 431
        check_problem(answer)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /v1/ml/polars/append HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_with_the_one_body(server, data):
    answer = server.send_raw(data)[-1]
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["error"]["message"] == answer.json["detail"]


def test_bytes_after_a_request_do_not_spoil_its_answer(server):
    good, bad = server.send_raw(GET_HEALTH + b"garbage\r\n\r\n")
    assert (good.status, bad.status) == (200, 400)


def test_requests_in_one_packet_are_answered_in_order(server):
    answers = server.send_raw(
        GET_HEALTH + b"GET /x HTTP/1.1\r\n\r\n" + GET_HEALTH.replace(b"host", b"connection: close\r\nhost")
    )
    assert [a.status for a in answers] == [200, 404, 200]


def test_an_upgrade_is_not_taken(server):
    head = b"GET /health HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
    assert server.send_raw(head, end=True)[0].status == 200


def test_a_client_that_waits_for_continue_gets_its_413_instead(strict):
    head = APPEND + b"authorization: Bearer secret\r\nexpect: 100-continue\r\ncontent-length: 5000\r\n\r\n"
    (answer,) = strict.send_raw(head)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_answers_beyond_the_limit_are_413_and_name_tail(strict):
    append = (POLARS + "/append", {"buffer_id": "big", "data": [{"a": n} for n in range(80)]})
    strict.ask("POST", POLARS + "/buffers", {"buffer_id": "big"}, KEY)
    assert strict.ask("POST", *append, KEY).status == 200
    answer = strict.ask("POST", POLARS + "/features", {"buffer_id": "big"}, KEY)
    assert answer.status == 413
    check_problem(answer)
    assert "tail" in answer.json["detail"]
    assert strict.ask("POST", POLARS + "/features", {"buffer_id": "big", "tail": 5}, KEY).status == 200


def test_one_buffer_too_many_is_503(strict):
    answers = [strict.ask("POST", POLARS + "/buffers", {"buffer_id": f"n{n}"}, KEY) for n in range(3)]
    assert answers[-1].status == 503
    check_problem(answers[-1])


def test_sigterm_ends_with_0_in_time_whatever_sockets_are_idle(tmp_path):
    server = ServerProcess(tmp_path)
    with contextlib.ExitStack() as stack:
        for data in (b"", b"GET /", GET_HEALTH, APPEND + b"content-length: 10\r\n\r\n{"):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(data)
        assert server.ask("GET", "/health").status == 200
        server.process.terminate()
        assert server.process.wait(10) == 0
    server.stop()


def test_sigint_ends_with_0_too(tmp_path):
    server = ServerProcess(tmp_path)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(15) == 0
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"MILLSTREAM_HOST": "0.0.0.0"}, "MILLSTREAM_API_KEY"),
        ({"MILLSTREAM_HOST": "0.0.0.0", "MILLSTREAM_API_KEY": " "}, "MILLSTREAM_API_KEY"),
        ({"MILLSTREAM_MAX_ROWS": "many"}, "MILLSTREAM_MAX_ROWS"),
        ({"MILLSTREAM_MAX_ROWS": "1"}, "MILLSTREAM_MAX_ROWS"),
        ({"MILLSTREAM_PORT": "70000"}, "70000"),
    ],
)
def test_a_bad_setting_stops_the_start_with_a_sentence(tmp_path, variables, word):
    with pytest.raises(AssertionError, match=re.escape(word)) as caught:
        ServerProcess(tmp_path, **variables)
    assert "Traceback" not in str(caught.value)


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refuses_to_start(tmp_path, f"Cannot listen on 127.0.0.1:{port}", MILLSTREAM_PORT=str(port))


def test_an_address_of_another_machine_stops_the_start_with_a_sentence(tmp_path):
    assert_refuses_to_start(
        tmp_path, "Cannot listen on 192.0.2.1", MILLSTREAM_HOST="192.0.2.1", MILLSTREAM_API_KEY="secret"
    )


@pytest.mark.parametrize("name", ["file", "file/below", "link"])
def test_a_folder_that_cannot_be_made_stops_the_start_with_a_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere/at/all")
    assert_refuses_to_start(tmp_path / name, "cannot be made")


def assert_refuses_to_start(data_dir, sentence, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
    env |= {"LF_DATA_DIR": str(data_dir), "MILLSTREAM_PORT": "0"} | environment
    command = [sys.executable, "-m", "millstream", "serve"]
    done = subprocess.run(command, env=env, check=False, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert sentence in done.stderr.decode()
    assert b"Traceback" not in done.stderr
