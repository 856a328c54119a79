"""What a stored model is called: labels in the metadata of its file, under a checksum of their own.

A fit returns the bytes of a model file before anybody knows what the model will be called. Naming it rewrites only the
JSON header of the file; the arrays stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from millstream.errors import ModelFileError

KEY = "millstream.labels"
CHECKSUM = "millstream.labels.sha256"
LARGEST_HEADER = 64 * 1024 * 1024


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The names of a model. `created_ns` orders fits, also across processes that share the folder."""

    name: str
    base_name: str
    backend: str
    created_ns: int
    description: str | None = None


def with_labels(data: bytes, labels: Labels) -> bytes:
    """The model file `data`, called `labels`."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    text = msgspec.json.encode(labels).decode()
    header.setdefault("__metadata__", {}).update({KEY: text, CHECKSUM: _checksum(text)})
    return _with_header(header, data[8 + size :])


def _with_header(header: dict[str, Any], arrays: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + arrays


def read_labels(head: bytes, filename: str) -> Labels:
    """The labels in the header `head`, the JSON text of a model file."""
    try:
        metadata = msgspec.json.decode(head)["__metadata__"]
        text = metadata[KEY]
        if metadata[CHECKSUM] != _checksum(text):
            raise ModelFileError(f"The file '{filename}' is damaged: its names do not match their checksum; delete it.")
        return msgspec.json.decode(text, type=Labels)
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError(f"The file '{filename}' is no millstream model; delete it or fit a model.") from error


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
