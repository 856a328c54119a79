"""A fitted model as a file: arrays and JSON in safetensors, under a checksum. Reading one can never run code."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.errors import ModelFileError, NotFoundError

FORMAT_VERSION = 1
_DTYPES = {"<f8": "F64", "<f4": "F32", "<i8": "I64", "<i4": "I32", "|u1": "U8", "|b1": "BOOL"}
_META, _CHECKSUM, _VERSION = "millstream", "millstream.sha256", "millstream.format"


def encode(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a model file holding `meta` (JSON) and `arrays`."""
    text = json.dumps(meta, ensure_ascii=False, allow_nan=False)
    ordered = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # wide items first: all stay aligned
    header: dict[str, Any] = {
        "__metadata__": {_META: text, _CHECKSUM: _checksum(text, arrays), _VERSION: str(FORMAT_VERSION)}
    }
    parts, end = [], 0
    for name in ordered:
        part = np.ascontiguousarray(arrays[name]).tobytes()
        dtype = _DTYPES[arrays[name].dtype.str]
        header[name] = {"dtype": dtype, "shape": arrays[name].shape, "data_offsets": (end, end + len(part))}
        parts.append(part)
        end += len(part)
    # Written here, not by safetensors, whose metadata has no fixed order: the same fit gives the same bytes.
    head = json.dumps(header, ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    return b"".join((len(head).to_bytes(8, "little"), head, *parts))


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file; `NotFoundError` if there is none, `ModelFileError` if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"There is no file '{os.fspath(path)}'; correct the path or save a model there.") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelFileError(f"The file '{os.fspath(path)}' cannot be read ({reason}); correct the path.") from None


@cache
def versions() -> dict[str, str]:
    """What fitted the model: for whoever wonders later why two fits differ."""
    names = ("millstream", "numpy", "numba", "scipy", "scikit-learn", "pyod")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def decode(data: bytes, name: str = "the model file") -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `encode` was given.

    Raises
    ------
    ModelFileError
        The bytes are foreign, damaged, or of a newer format version; the message says so with `name`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        text, checksum, version = metadata[_META], metadata[_CHECKSUM], metadata[_VERSION]
        if not version.isdigit() or int(version) > FORMAT_VERSION:
            raise ModelFileError(
                f"The file '{name}' has format version {version}; this millstream reads up to {FORMAT_VERSION}; "
                "update millstream or fit the model again."
            )
        arrays = load(data)
        if checksum != _checksum(text, arrays):
            raise ModelFileError(
                f"The file '{name}' is damaged: its checksum differs; delete it or fit the model again."
            )
        meta: dict[str, Any] = json.loads(text)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"The file '{name}' is no millstream model; delete it or fit a model.") from error
    return meta, arrays


def _checksum(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()
