"""Fixtures of the rows: `compare` and `record` for work in this process, `compare_http` for a server's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from timeit import Timer
from typing import Any, Protocol

import pytest
from ratio import SMOKE, Ratio, Work, interleave
from results import Reach, Row, shown, versions, write
from server_cpu import Exchange, Server, echo, interleave_http, millstream

ROWS = pytest.StashKey[list[Row]]()
TITLES = pytest.StashKey[dict[str, str]]()


class Record(Protocol):
    """Put a ratio into the tables and into the file pytest-benchmark saves. `unit` of its values is ns or B."""

    def __call__(self, against: str, ratio: Ratio, reach: Reach | None = None, unit: str = "ns") -> None: ...


class Compare(Protocol):
    """Time `ours` against `peer` and keep the ratio under this benchmark's name."""

    def __call__(self, ours: Work, peer: Work, against: str, reach: Reach | None = None) -> Ratio: ...


class CompareHttp(Protocol):
    """Load both servers in turn and keep the ratio of the CPU they spend on a request."""

    def __call__(self, ours: Exchange, peer: Exchange, reach: Reach | None = None) -> Ratio: ...


@pytest.fixture
def record(request: pytest.FixtureRequest, benchmark: Any) -> Record:
    """See Record."""

    def keep(against: str, ratio: Ratio, reach: Reach | None = None, unit: str = "ns") -> None:
        if benchmark.stats is None:  # the row timed in its own way; pytest-benchmark wants to have timed something
            benchmark.pedantic(_nothing)
        benchmark.extra_info.update(peer=against, ours=ratio.ours_ns, of_peer=ratio.peer_ns, times=ratio.times)
        topic = request.path.stem.removeprefix("test_")
        name = request.node.name.removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
        request.config.stash.setdefault(ROWS, []).append(Row(topic, name, against, ratio, reach, unit))
        title = (request.module.__doc__ or topic).strip().partition("\n")[0].rstrip(".")
        request.config.stash.setdefault(TITLES, {})[topic] = title

    return keep


@pytest.fixture
def compare(benchmark: Any, record: Record) -> Compare:
    """See Compare. The single timing that pytest-benchmark stores beside the ratio is of our side."""

    def run(ours: Work, peer: Work, against: str, reach: Reach | None = None) -> Ratio:
        ratio = interleave(ours, peer)
        call = (lambda: ours.timeit(1)) if isinstance(ours, Timer) else ours
        benchmark.pedantic(call, rounds=5, iterations=10 if ratio.ours_ns < 1e6 else 1)
        record(against, ratio, reach)
        return ratio

    return run


@pytest.fixture
def compare_http(benchmark: Any, record: Record) -> CompareHttp:
    """See CompareHttp. The single timing that pytest-benchmark stores is our answer's wall time at the client."""

    def run(ours: Exchange, peer: Exchange, reach: Reach | None = None) -> Ratio:
        with ours, peer:
            ratio = interleave_http(ours, peer)
            benchmark.pedantic(ours.send, rounds=5, iterations=2)
            record("empty BlackSheep echo", ratio, reach)
        return ratio

    return run


@pytest.fixture(scope="session")
def millstream_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`millstream serve`, one for all rows: each takes names of its own."""
    server = millstream(tmp_path_factory.mktemp("data"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def echo_server() -> Iterator[Server]:
    """The empty BlackSheep echo: `POST /echo` and `GET /echo`."""
    server = echo()
    yield server
    server.stop()


def _nothing() -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=Path, help="write the tables and plots of this full run there")


def pytest_configure(config: pytest.Config) -> None:
    if SMOKE and config.getoption("--results"):
        raise pytest.UsageError("a smoke run measures nothing; leave out --results or MILLSTREAM_BENCH=smoke")


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["versions"] = versions()


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """The tables a reader of the run wants; the page is written only when every row ran."""
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("CPU time per call, interleaved with the peer")
    for r in rows:
        ours, peer = shown(r.ratio.ours_ns, r.unit), shown(r.ratio.peer_ns, r.unit)
        terminalreporter.write_line(
            f"{r.topic + ': ' + r.name:<52} {ours:>8} against {peer:>8} {r.against}; {r.compared}; {r.verdict}"
        )
    page = config.getoption("--results")
    if page and exitstatus == 0:
        write(page, rows, config.stash[TITLES], config.args)
        terminalreporter.write_line(f"written to {page}")
    elif page:
        terminalreporter.write_line(f"{page} is left as it was: not every row ran")
