"""Backends fitted with scikit-learn or torch, then taken over into arrays: against PyOD's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import millstream as ms
import numpy as np
import pytest
from conftest import Compare, Record
from millstream.backend.base import FitContext
from millstream.backend.registry import backend_class
from numpy.typing import NDArray
from ratio import SMOKE, interleave
from results import Reach
from team import Team
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
EPOCHS = 1


@dataclass(frozen=True)
class Pair:
    """One of ours and PyOD's, unfitted."""

    backend: str
    oracle: Callable[[], Any]


def _svm() -> Any:
    from pyod.models.ocsvm import OCSVM

    return OCSVM(nu=0.1)


def _mcd() -> Any:
    from pyod.models.mcd import MCD

    return MCD(random_state=0)


def _cblof() -> Any:
    from pyod.models.cblof import CBLOF

    return CBLOF(random_state=0)


def _autoencoder() -> Any:
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(epoch_num=EPOCHS, verbose=0)


PAIRS = (
    Pair("one_class_svm", _svm),
    Pair("mcd", _mcd),
    Pair("cblof", _cblof),
    Pair("autoencoder", _autoencoder),
    Pair("suod", Team),
)
pairs = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.backend)


def rows_of(n: int) -> Floats:
    """`n` x 4 rows in a large cluster and two small ones: PyOD's CBLOF fails without."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, 4))
    rows[: n // 30] += 9
    rows[n // 30 : n // 25] -= 30
    return np.asarray((rows - np.median(rows, axis=0)) / np.subtract(*np.percentile(rows, [75, 25], axis=0)))


def assert_alike(backend: str, ours: Floats, theirs: Floats) -> None:
    """The contract's tolerance; the autoencoder's training is random, so only its statistics agree."""
    if backend == "autoencoder":
        assert np.median(ours) == pytest.approx(np.median(theirs), rel=0.5)
    else:
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * float(np.median(np.abs(theirs))))


@pairs
def test_fit(pair: Pair, benchmark: Any, record: Record) -> None:
    """Fit 3,000 x 4 rows, training scores included, both on one thread."""
    rows = rows_of(300 if SMOKE else 3_000)
    new = backend_class(pair.backend)
    with threadpool_limits(1):
        ours = new({}, FitContext(epochs=EPOCHS))
        assert_alike(pair.backend, ours.fit(rows), pair.oracle().fit(rows).decision_scores_)
        ratio = interleave(lambda: ours.fit(rows), lambda: pair.oracle().fit(rows))
        benchmark.pedantic(lambda: ours.fit(rows), rounds=1, iterations=1)
    record(f"pyod {type(pair.oracle()).__name__}", ratio, Reach(share=1.1))


@pairs
def test_score_one_row(pair: Pair, compare: Compare) -> None:
    """One row on a model of 10,000 x 4 (one_class_svm has some 1,000 support vectors)."""
    rows = rows_of(1_000 if SMOKE else 10_000)
    detector = ms.Detector(pair.backend, epochs=EPOCHS).fit(rows)
    with threadpool_limits(1):
        oracle = pair.oracle().fit(rows)
        row, scaled = rows[-1:], detector._scaling.apply(rows[-1:])
        assert_alike(pair.backend, detector.training_raw_scores, oracle.decision_scores_)
        compare(
            lambda: detector.raw_score(row),
            lambda: oracle.decision_function(scaled),
            f"pyod {type(oracle).__name__}",
            Reach(ours=25_000),
        )
