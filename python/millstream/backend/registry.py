"""The backends there are: one visible tuple. Each line names a module of this package, which is the backend's name,
and the class in it; the module is imported when the backend is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from millstream.backend.base import Backend, BackendInfo
from millstream.errors import InvalidRequestError

BACKENDS: tuple[tuple[str, str], ...] = (
    ("isolation_forest", "IsolationForest"),
    ("one_class_svm", "OneClassSvm"),
    ("local_outlier_factor", "LocalOutlierFactor"),
    ("autoencoder", "Autoencoder"),
    ("ecod", "Ecod"),
    ("hbos", "Hbos"),
    ("copod", "Copod"),
    ("knn", "Knn"),
    ("mcd", "Mcd"),
    ("cblof", "Cblof"),
    ("suod", "Suod"),
    ("loda", "Loda"),
)
NAMES: tuple[str, ...] = tuple(name for name, _ in BACKENDS)


def check_backend(name: str) -> None:
    """Refuse a name that no backend has, and list those there are."""
    if name not in NAMES:
        raise InvalidRequestError(
            f"'backend' is {name!r:.90}; allowed are {', '.join(NAMES)}; choose one of them.", loc=("backend",)
        )


@cache
def backend_class(name: str) -> type[Backend]:
    """The class called `name`; an unknown name is refused and the known ones are listed."""
    check_backend(name)
    found: type[Backend] = getattr(import_module(f"{__package__}.{name}"), dict(BACKENDS)[name])
    return found


def fittable_class(name: str) -> type[Backend]:
    """`backend_class(name)`, refused where this installation lacks what its fit needs. Scoring never needs it."""
    found = backend_class(name)
    if not found.info.available:
        raise InvalidRequestError(
            f"'backend' is {name!r}, and what fits it is not installed; allowed here are "
            f"{', '.join(info.backend for info in backends() if info.available)}; choose one of them or run "
            f"pip install 'millstream[{found.info.extra}]'.",
            loc=("backend",),
        )
    return found


def backends() -> tuple[BackendInfo, ...]:
    """What every backend tells about itself, as frozen dataclasses."""
    return tuple(backend_class(name).info for name in NAMES)
