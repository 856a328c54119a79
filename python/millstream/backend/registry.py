"""The backends there are: one visible tuple."""

from __future__ import annotations

from millstream.backend.base import Backend, BackendInfo
from millstream.errors import InvalidRequestError

NAMES: tuple[str, ...] = ("isolation_forest", "ecod")


def backend_class(name: str) -> type[Backend]:
    """The class called `name`; an unknown name is refused and the known ones are listed."""
    from millstream.backend.ecod import Ecod
    from millstream.backend.isolation_forest import IsolationForest

    classes: dict[str, type[Backend]] = {c.info.backend: c for c in (IsolationForest, Ecod)}
    if name not in classes:
        raise InvalidRequestError(
            f"'backend' is {name!r}; allowed are {', '.join(classes)}; choose one of them.", loc=("backend",)
        )
    return classes[name]


def backends() -> tuple[BackendInfo, ...]:
    """What every backend tells about itself, as frozen dataclasses."""
    return tuple(backend_class(name).info for name in NAMES)
