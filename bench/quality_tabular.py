"""How well backends rank labelled tables, beside PyOD fitted on the same scaled rows in the same run.

    nice python bench/quality_tabular.py                        # every set of ../shared/quality whole, every backend
    python bench/quality_tabular.py --backends ecod hbos --sets wine glass --most 5000 --minutes 1

A model is fitted on all rows of a set and ranks them by its training scores, as ADBench does. Printed are means over
the sets of ROC-AUC and average precision, and how far ours are from PyOD's: the difference of the means, and the
largest of a set. Seeded backends have PyOD's seed. A set is left out for a backend where PyOD has no model, or takes
longer for it than `--minutes`; it is then named below the table.
"""

from __future__ import annotations

import argparse
import os
import warnings
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import millstream as ms
import numpy as np
from millstream.backend.registry import NAMES
from numpy.typing import NDArray
from pebble import ProcessPool
from peers import scaled, unfitted
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = NDArray[np.float64]
SHARED = Path(os.environ.get("MILLSTREAM_SHARED", Path(__file__).parents[2] / "shared"))
EPOCHS = 10  # PyOD's default
DETERMINISTIC = ("one_class_svm", "local_outlier_factor", "ecod", "hbos", "copod", "knn")


@dataclass(frozen=True)
class Labelled:
    """A set: rows (n, d) and which of them are anomalies."""

    name: str
    rows: Floats
    labels: NDArray[np.int64]

    def ranked(self, scores: Floats) -> tuple[float, float]:
        """ROC-AUC and average precision of `scores`."""
        return float(roc_auc_score(self.labels, scores)), float(average_precision_score(self.labels, scores))


def main() -> None:
    options = _options()
    paths = sorted((options.data / "data" / "dev" / "adbench").glob("*.npz"))
    sets = [read(path, options.most) for path in paths if not options.sets or path.stem in options.sets]
    print(f"{len(sets)} sets, {sum(len(data.rows) for data in sets):,} rows")
    print("| backend | sets | ROC-AUC | PyOD | apart | of a set | AP | PyOD | apart | of a set |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    left_out: list[str] = []
    with ProcessPool(max_workers=1, context=get_context("forkserver")) as pool:
        for backend in options.backends:
            found = {data.name: compare(backend, data, pool, 60 * options.minutes) for data in sets}
            ranks = np.array([pair for pair in found.values() if not isinstance(pair, str)])
            print(line(backend, ranks) if len(ranks) else f"| {backend} | 0 |", flush=True)
            left_out += [f"{backend}, {name}: {why}" for name, why in found.items() if isinstance(why, str)]
    print("*: random, with PyOD's seed")
    print(*left_out, sep="\n")


def read(path: Path, most: int | None) -> Labelled:
    """A set, drawn down to `most` rows."""
    archive = np.load(path)
    rows, labels = archive["X"].astype(np.float64), archive["y"].astype(np.int64).ravel()
    kept = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
    return Labelled(path.stem, rows[kept], labels[kept])


def line(backend: str, ranks: Floats) -> str:
    """A line of the table, from (sets, ours and PyOD's, ROC-AUC and average precision)."""
    cells = [backend + ("" if backend in DETERMINISTIC else " *"), str(len(ranks))]
    for ours, theirs in (ranks[:, :, measure].T for measure in (0, 1)):
        means = ours.mean(), theirs.mean(), ours.mean() - theirs.mean(), np.abs(ours - theirs).max()
        cells += [f"{value:.4f}" for value in means]
    return f"| {' | '.join(cells)} |"


def compare(backend: str, data: Labelled, pool: ProcessPool, seconds: float) -> str | tuple[Any, Any]:
    """ROC-AUC and average precision of ours, then of PyOD's; or why PyOD has none."""
    try:
        theirs = pool.schedule(fit_peer, (backend, data.rows), timeout=seconds).result()
    except TimeoutError:
        return f"PyOD takes more than {seconds / 60:g} minutes"
    except (ValueError, AssertionError) as error:
        return f"PyOD fails ({str(error).splitlines()[0]})"
    ours = pool.schedule(fit_ours, (backend, data.rows), timeout=2 * seconds).result()
    return data.ranked(ours), data.ranked(theirs)


def fit_peer(backend: str, rows: Floats) -> Floats:
    """PyOD's training scores. Runs in a process of its own, which can be killed."""
    warnings.simplefilter("ignore")  # scikit-learn's on odd sets
    return np.asarray(_peer(backend).fit(scaled(rows, rows)).decision_scores_)


def _peer(backend: str) -> Any:
    if backend != "autoencoder":
        return unfitted()[backend]()
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(epoch_num=EPOCHS, random_state=0, verbose=0)


def fit_ours(backend: str, rows: Floats) -> Floats:
    """Our training scores, from the rows as they are."""
    return np.asarray(ms.Detector(backend, epochs=EPOCHS).fit(rows).training_raw_scores)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rank labelled tables.")
    parser.add_argument("--backends", nargs="*", choices=NAMES, default=[*NAMES])
    parser.add_argument("--sets", nargs="*", default=[], help="names; default: all")
    parser.add_argument("--most", type=int, default=None, help="rows of a set; default: all")
    parser.add_argument("--minutes", type=float, default=5.0, help="what PyOD may take for one set")
    parser.add_argument("--data", type=Path, default=SHARED / "quality", help="folder with data/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
