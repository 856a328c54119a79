"""What our backends are compared with, here and in tests: PyOD's detectors, on rows scaled as ours scale them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from team import Team

Floats = NDArray[np.float64]


def scaled(rows: Floats, training: Floats) -> Floats:
    """`rows` by the medians and interquartile ranges of `training`; one of 0 counts as 1."""
    low, middle, high = np.percentile(training, [25, 50, 75], axis=0)
    return np.asarray((rows - middle) / np.where(high == low, 1.0, high - low))


def unfitted() -> dict[str, Callable[[], Any]]:
    """PyOD's detector for each backend but the autoencoder, with the defaults and the seed of ours."""
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

    return {
        "isolation_forest": lambda: IForest(random_state=0),
        "one_class_svm": lambda: OCSVM(nu=0.1),
        "local_outlier_factor": LOF,
        "ecod": ECOD,
        "hbos": HBOS,
        "copod": COPOD,
        "knn": KNN,
        "mcd": lambda: MCD(random_state=0),
        "cblof": lambda: CBLOF(random_state=0),
        "suod": Team,
        "loda": lambda: LODA(random_state=0),
    }
