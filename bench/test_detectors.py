"""Scores, against the libraries the definitions come from.

A peer is fitted on scaled rows and scores scaled rows; ours scales them itself, so it has more to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import millstream as ms
import numpy as np
import pytest
from conftest import Compare
from millstream.backend.registry import NAMES
from numpy.typing import NDArray
from peers import scaled
from pyod.models.cblof import CBLOF
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.loda import LODA
from pyod.models.lof import LOF
from pyod.models.mcd import MCD
from pyod.models.ocsvm import OCSVM
from ratio import SMOKE
from results import Reach
from sklearn.ensemble import IsolationForest

Floats = NDArray[np.float64]
TRAINED = 500 if SMOKE else 10_000
SCORED = 500 if SMOKE else 100_000


class Forest(IsolationForest):  # type: ignore[misc]
    """scikit-learn's under PyOD's names, its own score with the sign turned."""

    def decision_function(self, rows: Floats) -> Floats:
        return np.asarray(-self.score_samples(rows))


@dataclass(frozen=True)
class Peer:
    """A reference, and what our scores have to be within of it: those of rows near the training rows."""

    fresh: Callable[[], Any]
    params: dict[str, Any]
    off: float = 1e-9


PEERS = {
    "isolation_forest": Peer(lambda: Forest(random_state=0), {"range_penalty": False}),
    "one_class_svm": Peer(lambda: OCSVM(nu=0.1), {}),
    "local_outlier_factor": Peer(LOF, {}, 1e-6),
    "ecod": Peer(ECOD, {}, 0.0),
    "hbos": Peer(HBOS, {}, 0.0),
    "copod": Peer(COPOD, {}, 0.0),
    "knn": Peer(KNN, {}, 1e-6),
    "mcd": Peer(lambda: MCD(random_state=0), {}),
    # By default PyOD finds no small cluster among eight alike, and refuses them.
    "cblof": Peer(lambda: CBLOF(beta=1.01, random_state=0), {"beta": 1.01}),
    "loda": Peer(lambda: LODA(random_state=0), {}),
}
ONE_ROW = dict.fromkeys(NAMES, 25_000.0) | {"ecod": 1_500.0, "hbos": 1_500.0, "isolation_forest": 5_000.0}
MANY_ROWS = {"ecod": 20, "hbos": 10, "isolation_forest": 4, "copod": 1, "loda": 1}
NEIGHBORS = [(backend, columns) for backend in ("knn", "local_outlier_factor") for columns in (2, 4, 10, 20, 100)]


@cache
def rows(columns: int, causes: int = 0) -> tuple[Floats, Floats, Floats]:
    """Training rows, the same scaled, and rows to score: noise, or 1 % of it on what follows from some causes."""
    rng = np.random.default_rng(0)
    train, more = rng.normal(size=(TRAINED, columns)), rng.normal(size=(SCORED, columns))
    if causes:
        effects = rng.normal(size=(causes, columns))
        train, more = (0.01 * noise + rng.normal(size=(len(noise), causes)) @ effects for noise in (train, more))
    return train, scaled(train, train), more


@cache
def fitted(backend: str, columns: int, causes: int = 0) -> tuple[ms.Detector, Any]:
    """Ours with its defaults, after an answer that agrees, and the peer."""
    train, train_scaled, more = rows(columns, causes)
    peer = PEERS[backend].fresh().fit(train_scaled)
    alike = ms.Detector(backend, params=PEERS[backend].params).fit(train)
    theirs = np.array([peer.decision_function(row[None])[0] for row in scaled(more[:3], train)])
    off = np.abs(alike.raw_score(more[:3]) - theirs)
    assert (off <= PEERS[backend].off * np.maximum(np.abs(theirs), np.median(alike.training_raw_scores))).all()
    return ms.Detector(backend).fit(train), peer


@pytest.mark.parametrize("backend", [name for name in NAMES if name in PEERS])
def test_score_one_row(backend: str, compare: Compare) -> None:
    """One row on a model of 10,000 x 4."""
    detector, peer = fitted(backend, 4)
    train, _, more = rows(4)
    row = more[:1].copy()
    row_scaled = scaled(row, train)
    reach = Reach(ours=ONE_ROW[backend])
    compare(lambda: detector.raw_score(row), lambda: peer.decision_function(row_scaled), type(peer).__name__, reach)


@pytest.mark.parametrize("backend", MANY_ROWS)
def test_score_100000_rows(backend: str, compare: Compare) -> None:
    """A batch on a model of 10,000 x 4."""
    detector, peer = fitted(backend, 4)
    train, _, more = rows(4)
    more_scaled = scaled(more, train)
    reach = Reach(times=MANY_ROWS[backend])
    compare(lambda: detector.raw_score(more), lambda: peer.decision_function(more_scaled), type(peer).__name__, reach)


@pytest.mark.parametrize(("backend", "columns"), NEIGHBORS)
def test_score_rows_by_neighbors(backend: str, columns: int, compare: Compare) -> None:
    """A batch on a model of 10,000 rows; the time is linear in the rows, so 2,000 do."""
    detector, peer = fitted(backend, columns)
    train, _, more = rows(columns)
    some = more[:2_000].copy()
    some_scaled = scaled(some, train)
    reach = Reach(times=3 if columns <= 10 else 1)
    compare(lambda: detector.raw_score(some), lambda: peer.decision_function(some_scaled), type(peer).__name__, reach)


@pytest.mark.parametrize("backend", ["knn", "local_outlier_factor"])
def test_score_rows_of_four_causes_by_neighbors(backend: str, compare: Compare) -> None:
    """A batch of 2,000 rows of 30 columns that hang together, as measured ones do, on a model of 10,000."""
    detector, peer = fitted(backend, 30, causes=4)
    train, _, more = rows(30, causes=4)
    some = more[:2_000].copy()
    some_scaled = scaled(some, train)
    compare(
        lambda: detector.raw_score(some),
        lambda: peer.decision_function(some_scaled),
        type(peer).__name__,
        Reach(times=3),
    )


@pytest.mark.parametrize("backend", [name for name in NAMES if name in PEERS])
def test_fit(backend: str, compare: Compare) -> None:
    """10,000 x 4 (one_class_svm: 2,000, it is quadratic), our scaling and thresholds included."""
    train, train_scaled, _ = rows(4)
    most = min(TRAINED, 2_000 if backend == "one_class_svm" else TRAINED)
    ours, theirs = train[:most], train_scaled[:most]
    fitted(backend, 4)
    # Ours gives training scores, and so does PyOD's forest; scikit-learn's leaves them to be asked for.
    fresh = PEERS[backend].fresh if backend != "isolation_forest" else lambda: IForest(random_state=0)
    compare(
        lambda: ms.Detector(backend).fit(ours), lambda: fresh().fit(theirs), type(fresh()).__name__, Reach(share=1.1)
    )
