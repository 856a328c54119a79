"""How well backends rank labelled tables, beside PyOD fitted on the same scaled rows in the same run.

    nice python bench/quality_tabular.py                        # every set of ../shared/quality, every backend
    python bench/quality_tabular.py --backends ecod hbos --sets wine glass --most 5000

A model is fitted on all rows of a set and ranks them by its training scores, as ADBench does. Sets above `--most` rows
are drawn down to that many, the same for both sides. Printed are means over the sets of ROC-AUC and average precision.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import millstream as ms
import numpy as np
from numpy.typing import NDArray
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
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = NDArray[np.float64]
SHARED = Path(os.environ.get("MILLSTREAM_SHARED", Path(__file__).parents[2] / "shared"))
PEERS: dict[str, Callable[[], Any]] = {
    "isolation_forest": lambda: IForest(random_state=0),
    "one_class_svm": lambda: OCSVM(nu=0.1),
    "local_outlier_factor": LOF,
    "ecod": ECOD,
    "hbos": HBOS,
    "copod": COPOD,
    "knn": KNN,
    "mcd": lambda: MCD(random_state=0),
    "cblof": lambda: CBLOF(random_state=0),
    "loda": lambda: LODA(random_state=0),
}


def main() -> None:
    options = _options()
    warnings.simplefilter("ignore")  # scikit-learn's on odd sets
    paths = sorted((options.data / "data" / "dev" / "adbench").glob("*.npz"))
    sets = [read(path, options.most) for path in paths if not options.sets or path.stem in options.sets]
    print(f"{len(sets)} sets, at most {options.most} rows")
    print("| backend | sets | ROC-AUC | PyOD | AP | PyOD |\n| --- | --- | --- | --- | --- | --- |")
    for backend in options.backends:
        found = [pair for pair in (compare(backend, *data) for data in sets) if pair is not None]
        auc, peer_auc, ap, peer_ap = np.mean(found, axis=0)
        print(f"| {backend} | {len(found)} | {auc:.4f} | {peer_auc:.4f} | {ap:.4f} | {peer_ap:.4f} |", flush=True)


def read(path: Path, most: int) -> tuple[Floats, NDArray[np.int64]]:
    """Rows and labels of a set, drawn down to `most` rows."""
    archive = np.load(path)
    rows, labels = archive["X"].astype(np.float64), archive["y"].astype(np.int64).ravel()
    kept = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
    return rows[kept], labels[kept]


def compare(backend: str, rows: Floats, labels: NDArray[np.int64]) -> tuple[float, float, float, float] | None:
    """ROC-AUC of ours and PyOD's, then average precision; None where PyOD has no model for the set."""
    low, middle, high = np.percentile(rows, [25, 50, 75], axis=0)
    width = np.where(high == low, 1.0, high - low)
    try:
        theirs = PEERS[backend]().fit((rows - middle) / width).decision_scores_
    except ValueError:
        return None
    ours = ms.Detector(backend).fit(rows).training_raw_scores
    return (
        float(roc_auc_score(labels, ours)),
        float(roc_auc_score(labels, theirs)),
        float(average_precision_score(labels, ours)),
        float(average_precision_score(labels, theirs)),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rank labelled tables.")
    parser.add_argument("--backends", nargs="*", choices=PEERS, default=[*PEERS])
    parser.add_argument("--sets", nargs="*", default=[], help="names; default: all")
    parser.add_argument("--most", type=int, default=2_000, help="rows of a set")
    parser.add_argument("--data", type=Path, default=SHARED / "quality", help="folder with data/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
