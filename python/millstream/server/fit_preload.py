"""What a process that fits models imports before its first fit: the forkserver loads this module once."""

import contextlib

with contextlib.suppress(ImportError):
    import sklearn.ensemble
    import sklearn.svm  # noqa: F401


def fit_small() -> None:
    """Fit a small model, so that everything a first fit loads is loaded."""
