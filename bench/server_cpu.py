"""CPU that a real server process spends on a request, ours against an empty echo.

Only the server's own CPU counts, that of its threads and children (retrains, fits) included: the client that loads it
lives in the process of the benchmark. Wall time says nothing here, for the client and both servers share two cores.

    def test_row(millstream_server: Server, echo_server: Server, compare_http: CompareHttp) -> None:
        ours = millstream_server.post("/v1/ml/polars/append", {"buffer_id": "b", "data": ROW})
        peer = echo_server.post("/echo", {"buffer_id": "b", "data": ROW})
        assert ours.json()["appended"] == 1
        compare_http(ours, peer, Reach(share=1.6))
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from ratio import SMOKE, Ratio, summarize

LOAD_SECONDS = 0.1 if SMOKE else 1.0
PAIRS = 1 if SMOKE else 5
STEADY_NS = 2_000_000  # of CPU in a quarter of a second: less is a server at rest
RUNNING = re.compile(r"running on http://[^:]+:(\d+)")
# Some machines set the first two: one makes every start slow, the other every NumPy that runs on the server. The third
# is for the rows of this process.
UNSET = {"PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE", "OMP_WAIT_POLICY"}


class Server:
    """A server in a process of its own, on a loopback port of the system's choice."""

    def __init__(self, *command: str, **environment: str) -> None:
        env = {k: v for k, v in os.environ.items() if k not in UNSET and not k.startswith("MILLSTREAM_")}
        self.process = subprocess.Popen(
            [sys.executable, *command], env=env | environment, stderr=subprocess.PIPE, text=True
        )
        self.port = self._port()
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        self._settle()

    def get(self, path: str) -> Exchange:
        """GET `path`, ready to be sent many times."""
        return Exchange(self, [_request("GET", path, b"")])

    def post(self, path: str, *bodies: object) -> Exchange:
        """POST `bodies` to `path` in turn, over and over. Bytes are sent as they are, anything else as JSON."""
        return Exchange(self, [_request("POST", path, _encoded(body)) for body in bodies])

    def cpu_ns(self) -> int:
        """CPU time used so far by the process and its living descendants."""
        return sum(_cpu_ns(pid) for pid in _family(self.process.pid))

    def stop(self) -> None:
        """End the process."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        self._reader.join(5)

    def _port(self) -> int:
        assert self.process.stderr is not None
        log = []
        for line in self.process.stderr:
            log.append(line)
            if found := RUNNING.search(line):
                return int(found[1])
        raise RuntimeError("the server ended at its start:\n" + "".join(log))

    def _drain(self) -> None:
        """Read on what the server logs, or a full pipe would stop it."""
        assert self.process.stderr is not None
        with self.process.stderr:
            sys.stderr.writelines(self.process.stderr)

    def _settle(self) -> None:
        """Wait until what warms up behind the first requests is done, so that it is not counted as theirs."""
        before, now = -STEADY_NS, self.cpu_ns()
        while now - before >= STEADY_NS:
            time.sleep(0.25)
            before, now = now, self.cpu_ns()


class Exchange:
    """Requests to one server that are sent in turn over one kept-alive connection."""

    def __init__(self, server: Server, requests: Sequence[bytes]) -> None:
        self.server = server
        self._requests = itertools.cycle(requests)
        self._connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> bytes:
        """Send the next request and return the body of its answer; an answer other than 200 raises."""
        self._connection.sendall(next(self._requests))
        answer = self._connection.recv(1 << 20)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more()
        head = answer[:end].lower()
        size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        parts, missing = [answer[end + 4 :]], size - (len(answer) - end - 4)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        body = b"".join(parts)
        if not head.startswith(b"http/1.1 200 "):
            raise RuntimeError(f"{head.decode()}: {body[:2000].decode()}")
        return body

    def json(self) -> Any:
        """The next answer, decoded."""
        return json.loads(self.send())

    def cpu_ns_per_request(self, seconds: float = LOAD_SECONDS) -> float:
        """CPU the server spends on one request, the mean over a load of about `seconds`."""
        used, end, count = self.server.cpu_ns(), time.perf_counter() + seconds, 0
        while count == 0 or time.perf_counter() < end:
            self.send()
            count += 1
        return (self.server.cpu_ns() - used) / count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def _more(self) -> bytes:
        part = self._connection.recv(1 << 20)
        if not part:
            raise RuntimeError("the server closed the connection within an answer")
        return part


def interleave_http(ours: Exchange, peer: Exchange) -> Ratio:
    """Load both servers in turn and compare what they spent. The caller has asserted our answer."""
    ours.cpu_ns_per_request(LOAD_SECONDS / 2)
    peer.cpu_ns_per_request(LOAD_SECONDS / 2)
    return summarize([(ours.cpu_ns_per_request(), peer.cpu_ns_per_request()) for _ in range(PAIRS)])


def millstream(data_dir: Path) -> Server:
    """`millstream serve` with an empty data folder."""
    return Server("-m", "millstream", "serve", "--port", "0", "--data-dir", str(data_dir))


def echo() -> Server:
    """The empty BlackSheep application."""
    return Server(str(Path(__file__).with_name("echo_app.py")))


def _encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()


def _request(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\nuser-agent: bench\r\n"
    if method == "POST":
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _family(pid: int) -> list[int]:
    children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [pid, *(p for child in itertools.chain(*children) for p in _family(int(child)))]


def _cpu_ns(pid: int) -> int:
    # The kernel's number for "the CPU clock of process pid", see clock_getcpuclockid(3): exact to the nanosecond and
    # with all threads, where /proc/PID/schedstat moves in steps of 0.3 ms and counts one.
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:  # a fit's child that ended since the family was listed
        return 0
