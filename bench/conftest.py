"""The fixture `compare` and the table at the end of a run."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

import pytest
from ratio import Ratio, interleave

PEERS = ("numpy", "numba", "polars", "pyod", "scikit-learn", "blacksheep", "uvicorn")
ROWS = pytest.StashKey[list[tuple[str, str, Ratio]]]()


class Compare(Protocol):
    """Time `ours` against `peer` and keep the ratio under this benchmark's name."""

    def __call__(self, ours: Callable[[], object], peer: Callable[[], object], against: str) -> Ratio: ...


@pytest.fixture
def record(request: pytest.FixtureRequest, benchmark: Any) -> Callable[[str, Ratio], None]:
    """Put a ratio into the table and into the file pytest-benchmark saves."""

    def keep(against: str, ratio: Ratio) -> None:
        benchmark.extra_info.update(peer=against, ours_ns=ratio.ours_ns, peer_ns=ratio.peer_ns, times=ratio.times)
        request.config.stash.setdefault(ROWS, []).append((request.node.name, against, ratio))

    return keep


@pytest.fixture
def compare(benchmark: Any, record: Callable[[str, Ratio], None]) -> Compare:
    """See Compare. The single timing that pytest-benchmark stores beside the ratio is of our side."""

    def run(ours: Callable[[], object], peer: Callable[[], object], against: str) -> Ratio:
        ratio = interleave(ours, peer)
        record(against, ratio)
        benchmark.pedantic(ours, rounds=5, iterations=10)
        return ratio

    return run


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """A ratio without the versions it was measured with is an anecdote."""
    machine_info["versions"] = {"python": platform.python_version(), **{p: version(p) for p in PEERS}}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table a reader of the run wants: CPU per call of both sides and their ratio."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section("CPU time per call, interleaved with the peer")
    for name, against, r in rows:
        line = f"{name:<44} ours {_time(r.ours_ns):>9}   {against} {_time(r.peer_ns):>9}   peer / ours {r.times:8.2f}"
        terminalreporter.write_line(line)


def _time(ns: float) -> str:
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"
