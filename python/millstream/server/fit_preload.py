"""What a process that fits models imports before its first fit: the forkserver loads this module once.

torch is left to the first autoencoder of each child: it would cost every server 2 s of CPU before its first fit and
500 MB, for a backend whose training takes longer than the import.
"""

import sklearn.cluster
import sklearn.covariance
import sklearn.ensemble
import sklearn.svm  # noqa: F401

from millstream.detector import FitRows, FitSettings, fit_to_bytes
from millstream.warm_up import load_kernels

load_kernels()


def fit_small() -> None:
    """Fit a small model, so that everything a first fit loads is loaded."""
    import numpy as np

    rows = FitRows(np.arange(40.0).reshape(20, 2), ("a", "b"), False, None)
    fit_to_bytes(FitSettings(backend="isolation_forest"), rows)
