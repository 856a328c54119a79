"""Ours against a peer: interleaved in one run, in CPU time, the answer asserted first.

Machines differ and drift, so no figure here is worth anything alone: two slices of work, ours and the peer's, are timed
turn by turn, and what is reported is the median of the ratios of neighbouring slices.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from timeit import Timer

# Before OpenMP is loaded: its threads would spin on for milliseconds after a peer's call, in the slice of ours.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SMOKE = os.environ.get("MILLSTREAM_BENCH") == "smoke"
SLICE_NS = 2_000_000 if SMOKE else 20_000_000
PAIRS = 2 if SMOKE else 25
FEWEST_PAIRS = 2 if SMOKE else 5  # of slow peers
ENOUGH_NS = 3_000_000_000  # a row whose peer takes seconds ends after this much: all rows run in ten minutes


@dataclass(frozen=True)
class Ratio:
    """CPU time per call of both sides in ns (medians), and how many times slower the peer is."""

    ours_ns: float
    peer_ns: float
    times: float
    pairs: int


# What is timed. For work of nanoseconds a Timer of the statement that users write: the function around it in a callable
# would take a fifth of the time.
Work = Callable[[], object] | Timer


def statement(text: str, **names: object) -> Timer:
    """A statement and what its names stand for. Garbage is collected meanwhile, as in all other work."""
    return Timer(text, "gc.enable()", time.process_time_ns, {"gc": gc, **names})


def interleave(ours: Work, peer: Work) -> Ratio:
    """Time two pieces of work turn by turn. The caller has already asserted that their answers agree."""
    ours_calls, peer_calls = _calls_per_slice(ours), _calls_per_slice(peer)
    pairs = list[tuple[float, float]]()
    end = time.process_time_ns() + ENOUGH_NS
    while len(pairs) < PAIRS and (len(pairs) < FEWEST_PAIRS or time.process_time_ns() < end):
        pairs.append((_cpu_ns(ours, ours_calls), _cpu_ns(peer, peer_calls)))
    return summarize(pairs)


def summarize(pairs: list[tuple[float, float]]) -> Ratio:
    """Medians over neighbouring slices, each (ours, peer) in ns per call."""
    return Ratio(
        ours_ns=statistics.median(a for a, _ in pairs),
        peer_ns=statistics.median(b for _, b in pairs),
        times=statistics.median(b / a for a, b in pairs),
        pairs=len(pairs),
    )


def _calls_per_slice(call: Work) -> int:
    """How many calls fill a slice: one call of a slow peer is a slice of its own."""
    calls, cost = 1, _cpu_ns(call, 1)
    if cost < 50 * SLICE_NS:  # a peer of a second or more is not called twice
        # The first call pays for fresh memory. Were the slices as short as that one suggests, each call in them would
        # be one after the peer has had the caches.
        cost = min(cost, _cpu_ns(call, 1))
    while cost * calls < SLICE_NS / 4:
        calls *= 4
        cost = _cpu_ns(call, calls)
    return max(1, int(SLICE_NS / cost))


def _cpu_ns(call: Work, calls: int) -> float:
    """CPU ns per call, of all threads of this process (Polars works in several)."""
    if isinstance(call, Timer):
        return call.timeit(calls) / calls
    start = time.process_time_ns()
    for _ in range(calls):
        call()
    return (time.process_time_ns() - start) / calls
