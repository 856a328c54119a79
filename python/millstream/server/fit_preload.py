"""What a process that fits models imports before its first fit: the forkserver loads this module once."""

import sklearn.ensemble  # noqa: F401

import millstream.backend.isolation_forest_kernels  # noqa: F401
from millstream.detector import FitRows, FitSettings, fit_to_bytes


def fit_small() -> None:
    """Fit a small model, so that everything a first fit loads is loaded."""
    import numpy as np

    rows = FitRows(np.arange(40.0).reshape(20, 2), ("a", "b"), False, None)
    fit_to_bytes(FitSettings(backend="isolation_forest"), rows)
