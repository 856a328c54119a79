"""How far every backend is from its reference, on data sets of every kind. `docs/parity.md` shows the table.

The reference is PyOD (scikit-learn for isolation_forest) fitted on the same scaled rows with the same seed, and asked
for the score of each row alone, since PyOD's ECOD and COPOD give a row another score in company. Differences are
relative to the reference score or, where that is smaller, to the median training score. The autoencoder's training is
random and in float32, so its scores agree as those of two seeds of PyOD's do: see `less_alike_than_seeds`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import millstream as ms
import numpy as np
from millstream.backend.base import FitContext
from millstream.backend.registry import NAMES, backend_class
from numpy.typing import NDArray

from bench.peers import scaled, unfitted

Floats = NDArray[np.float64]
QUALITY = Path(os.environ.get("MILLSTREAM_SHARED", Path(__file__).parents[3] / "shared")) / "quality/data/dev/adbench"
PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
STEPS = (1e-12, 1e-9, 1e-6)
EXACT = ("ecod", "hbos", "copod")
NEIGHBORS = ("knn", "local_outlier_factor", "suod")  # suod has two local outlier factors among its members
MOST_ROWS = {
    "one_class_svm": 2_500,
    "mcd": 2_500,
    "cblof": 5_000,
    "autoencoder": 5_000,
}  # what the reference fits in a second or two
MOST_COLUMNS = {"mcd": 20}
LEAST_ROWS = {"autoencoder": 32}  # a batch: with fewer rows PyOD's has nothing to train on, and fails
SEEDS_APART = 0.2  # how far rank correlations of 10 epochs vary from seed to seed


def data_sets() -> dict[str, Floats]:
    """Training rows by name: those made here, then those of the quality folder that are there."""
    chance = np.random.default_rng(0)
    normal, integers = chance.normal, chance.integers
    sets = {
        "2 rows": normal(size=(2, 1)),
        "3 rows": normal(size=(3, 2)),
        "10 rows": normal(size=(10, 4)),
        "one column": normal(size=(1_000, 1)),
        "heavy tails": chance.standard_t(1.5, size=(800, 3)),
        "skewed": chance.lognormal(size=(500, 8)),
        "scale 1e9": 1e9 + 1e9 * normal(size=(600, 3)),
        "scale 1e-9": 1e-9 * normal(size=(600, 3)),
        "duplicates": np.repeat(normal(size=(40, 3)), 10, axis=0),
        "constant columns": normal(size=(300, 4)) * [1, 0, 1, 0],
        "small integers": integers(0, 6, size=(400, 3)).astype(np.float64),
        "100 columns": normal(size=(1_000, 100)) @ normal(size=(100, 100)),
        "clusters": np.vstack([normal(at, 1.0, size=(700, 2)) for at in (-20.0, 0.0, 30.0)]),
        "20,000 rows": normal(size=(20_000, 3)),
    }
    for name in ("glass", "wine", "Pima", "thyroid", "letter"):
        if (path := QUALITY / f"{name}.npz").exists():
            sets[f"adbench {name}"] = np.load(path)["X"].astype(np.float64)
    return sets


def reference_of(backend: str) -> Any:
    """The reference of a backend but the autoencoder, unfitted."""
    if backend == "isolation_forest":
        from sklearn.ensemble import IsolationForest

        return IsolationForest(random_state=0)
    return unfitted()[backend]()


def difference(backend: str, training: Floats, reference: Any) -> float | None:
    """The largest relative difference over rows alone; None where the reference cannot be fitted on these rows."""
    n = len(training)
    params: dict[str, Any] = {"range_penalty": False} if backend == "isolation_forest" else {}
    if backend in ("knn", "local_outlier_factor"):
        reference.n_neighbors = params["n_neighbors"] = min(reference.n_neighbors, n - 1)
    detector = ms.Detector(backend, params=params).fit(training)
    try:
        reference.fit(scaled(training, training))
    except (ValueError, AssertionError):
        return None
    rows = probes(training)
    if backend == "loda":
        if _counts_are_rounding(reference, scaled(training, training)):
            _take_histograms(reference, detector)
        rows = rows[[not _on_edge(reference, row[None]) for row in scaled(rows, training)]]
    theirs = np.array([_score(reference, row[None]) for row in scaled(rows, training)])
    scale = np.maximum(np.abs(theirs), np.median(np.abs(detector.training_raw_scores)))
    return float((np.abs(detector.raw_score(rows) - theirs) / np.where(scale == 0, 1.0, scale)).max())


def less_alike_than_seeds(training: Floats) -> float:
    """By how much the rank correlation of the autoencoder's training scores with PyOD's, of two seeds each, is below
    that of PyOD's own two: at most 0 when ours is no further from PyOD's than that is from itself."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder
    from scipy.stats import spearmanr

    rows = scaled(training, training)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # layers this small lose by more
    try:
        theirs = [AutoEncoder(random_state=seed, verbose=0).fit(rows).decision_scores_ for seed in (0, 1)]
    finally:
        torch.set_num_threads(threads)
    ours = [ms.Detector("autoencoder", epochs=10, seed=seed).fit(training).training_raw_scores for seed in (0, 1)]
    across = np.mean([spearmanr(mine, other)[0] for mine in ours for other in theirs])
    return float(spearmanr(*theirs)[0] - across)


def probes(training: Floats) -> Floats:
    """Rows to score: some of the training rows, rows between and far outside, the corners."""
    chance = np.random.default_rng(1)
    some = training[chance.integers(0, len(training), 6)]
    spread = np.ptp(training, axis=0)
    near, far = (
        some + 0.05 * spread * chance.normal(size=some.shape),
        some + 2 * spread * chance.normal(size=some.shape),
    )
    return np.vstack([some, near, far, training.min(axis=0), training.max(axis=0)])


def _counts_are_rounding(reference: Any, scaled: Floats) -> bool:
    """Whether a training row is so near an edge of a bin that its rounding, another on each processor, decides."""
    for projection, limits in zip(reference.projections_, reference.limits_, strict=True):
        projected, slack = scaled @ projection, 1e-13 * (np.abs(scaled) @ np.abs(projection))
        inner = limits[1:-1]
        if (np.searchsorted(inner, projected - slack) != np.searchsorted(inner, projected + slack)).any():
            return True
    return False


def _take_histograms(reference: Any, detector: ms.Detector) -> None:
    """Give the reference the bins that were fitted here: python.md asks for its scores given the same fitted model."""
    assert detector._backend is not None
    arrays = detector._backend.arrays()
    cuts, bins = reference.histograms_.shape
    assert np.array_equal(arrays["projections"], reference.projections_)
    np.testing.assert_allclose(arrays["edges"][:, : bins - 1], reference.limits_[:, : bins - 1], rtol=1e-9, atol=1e-9)
    counted = np.exp(-cuts * arrays["logs"])
    assert np.abs(counted - reference.histograms_).max() <= 0.01  # a row or two that moved across an edge
    reference.histograms_, reference.limits_[:, : bins - 1] = counted, arrays["edges"][:, : bins - 1]


def _on_edge(reference: Any, row: Floats) -> bool:
    """Whether a projection is so near an edge that its rounding decides on the bin."""
    return len({_score(reference, row * factor) for factor in (1 - 1e-13, 1.0, 1 + 1e-13)}) > 1


def _score(reference: Any, row: Floats) -> float:
    if hasattr(reference, "decision_scores_"):
        return float(reference.decision_function(row)[0])
    return -float(reference.score_samples(row)[0])


def bucket(backend: str, value: float | None) -> str:
    """A difference as the table shows it: what varies from processor to processor is left out."""
    if value is None:
        return "-"
    if backend == "autoencoder" and value <= SEEDS_APART:
        return "as seeds"
    if backend in EXACT and value == 0:
        return "0"
    return next((f"< {step:.0e}" for step in STEPS if value < step), f"{value:.1g}")


def tolerance(backend: str, training: Floats) -> float:
    """What python.md allows; brute-force distances of the reference above 15 columns are themselves off by 1e-8."""
    if backend == "autoencoder":
        return SEEDS_APART
    if backend in EXACT:
        return 0.0
    if backend == "isolation_forest":
        return 1e-12
    if backend in NEIGHBORS and training.shape[1] > 15:
        return 1e-6
    return 1e-9


def has_ties(training: Floats) -> bool:
    """Whether rows are equal, or a column repeats so much that distances tie: LOF then differs by definition."""
    repeats = any(len(np.unique(column)) < len(column) / 2 for column in training.T)
    return repeats or len(np.unique(training, axis=0)) < len(training)


def row(training: Floats) -> dict[str, float | None]:
    """The differences of all backends on one data set."""
    found: dict[str, float | None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn has much to say about the odd sets
        for backend in NAMES:
            found[backend] = _cell(backend, training) if is_compared(backend, training) else None
    return found


def is_compared(backend: str, training: Floats) -> bool:
    """Whether the reference can be fitted in a second or two, and defines the scores of such rows."""
    n, d = training.shape
    if n > MOST_ROWS.get(backend, n) or n < LEAST_ROWS.get(backend, n) or d > MOST_COLUMNS.get(backend, d):
        return False
    return backend != "local_outlier_factor" or not has_ties(training)


def _cell(backend: str, training: Floats) -> float | None:
    if backend == "autoencoder":
        return less_alike_than_seeds(training)
    reference = reference_of(backend)
    if backend == "suod" and has_ties(training):
        reference.members[:2] = [OurFactor(member.n_neighbors) for member in reference.members[:2]]
    return difference(backend, training, reference)


class OurFactor:
    """A local outlier factor of ours with PyOD's methods: a member of suod's reference where LOF differs by ties."""

    def __init__(self, n_neighbors: int) -> None:
        self._ours = backend_class("local_outlier_factor")({"n_neighbors": n_neighbors}, FitContext())

    def fit(self, rows: Floats) -> OurFactor:
        self.decision_scores_ = self._ours.fit(np.ascontiguousarray(rows))
        return self

    def decision_function(self, rows: Floats) -> Floats:
        return self._ours.score(np.ascontiguousarray(rows))


def line(name: str, training: Floats, found: dict[str, float | None]) -> str:
    """A line of the table."""
    cells = " | ".join(bucket(backend, value) for backend, value in found.items())
    return f"| {name} | {training.shape[0]:,} x {training.shape[1]} | {cells} |"


def write_line(name: str, text: str) -> None:
    """Put a line into the page, in place of the one of that name or as the last of the table."""
    lines = PAGE.read_text().splitlines()
    at = next((i for i, old in enumerate(lines) if old.startswith(f"| {name} |")), None)
    if at is None:
        lines.insert(max(i for i, old in enumerate(lines) if old.startswith("|")) + 1, text)
    else:
        lines[at] = text
    PAGE.write_text("\n".join(lines) + "\n")
