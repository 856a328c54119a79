"""A real server process on a port of the system's choice, and the requests tests send to it."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass

RUNNING = re.compile(r"running on http://[^:]+:(\d+)")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class ServerProcess:
    """`millstream serve` on loopback, or another `module` that does the same; ends with `stop`."""

    def __init__(self, data_dir, module="millstream", **environment):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
        env |= {"LF_DATA_DIR": str(data_dir), "MILLSTREAM_PORT": "0"} | environment
        self.log = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "serve"], env=env, stderr=subprocess.PIPE, text=True
        )
        self.port = self._port()
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr))
        self._reader.start()
        while self.ask("GET", "/ready", headers={"authorization": "Bearer secret"}).status == 503:
            pass  # each answer takes a while, and readiness comes without waiting for anything here

    def _port(self):
        for line in self.process.stderr:
            self.log.append(line)
            if found := RUNNING.search(line):
                return int(found[1])
        self.process.wait(10)
        self.process.stderr.close()
        raise AssertionError("the server ended at start:\n" + "".join(self.log))

    def ask(self, method, path, body=None, headers=None):
        """Send one request on its own connection; a body that is no bytes goes as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request(method, path, content, headers or {})
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())

    def send_raw(self, data, end=False):
        """Send bytes on a socket and return everything that comes back until the server closes or answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_answers(connection)

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self._end()

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self._end()

    def _end(self):
        code = self.process.wait(15)
        self._reader.join(60)  # until a forkserver that still imported has ended too
        self.process.stderr.close()
        return code


def read_answers(connection):
    """The answers on `connection` until it closes."""
    file = connection.makefile("rb")
    answers = []
    with contextlib.closing(file), contextlib.suppress(ConnectionResetError):
        while line := file.readline():
            status = int(line.split()[1])
            fields = dict(iter(lambda: _field(file.readline()), None))
            answers.append(Answer(status, fields, file.read(int(fields.get("content-length", 0)))))
            if fields.get("connection") == "close":
                break
    return answers


def _field(line):
    name, colon, value = line.decode("latin-1").partition(":")
    return (name.strip().lower(), value.strip()) if colon else None
