"""Streams of numbers into features and alarms. Nothing is imported before the first use of its name (PEP 562)."""

from __future__ import annotations

from typing import Any

_HOMES = {
    "Buffer": "_core",
    "rolling": "_core",
    "lags": "_core",
    "Detector": "detector",
    "Detection": "detector",
    "backends": "backend.registry",
    "Stream": "stream",
    "StreamResult": "stream_state",
    "StreamResults": "stream_results",
    "MillstreamError": "errors",
    "InvalidRequestError": "errors",
    "InvalidJsonError": "errors",
    "NotFoundError": "errors",
    "ConflictError": "errors",
    "NotFittedError": "errors",
    "ModelFileError": "errors",
    "WriterBusyError": "errors",
    "TooLargeError": "errors",
    "OverloadedError": "errors",
    "StorageFullError": "errors",
    "FitFailedError": "errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - names come from one table
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'millstream' has no attribute {name!r}")
    value = getattr(import_module(f"millstream.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
