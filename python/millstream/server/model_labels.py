"""What a stored model is called: labels in the metadata of its file, under a checksum of their own.

A fit returns the bytes of a model file before anybody knows what the model will be called. Naming it rewrites only the
JSON header of the file; the arrays stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from millstream.errors import ModelFileError, TooLargeError
from millstream.server.limits import NAME, VERSION_NAME

KEY = "millstream.labels"
CHECKSUM = "millstream.labels.sha256"
LARGEST_HEADER = 16 * 1024 * 1024
LATEST_NS = 9_000_000_000 * 10**9  # in 2255


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """The names of a model. `created_ns` orders fits, also across processes that share the folder.

    A checksum shows damage, not intent, so what a file says is held to what a request may say: names become paths.
    """

    name: Annotated[str, Meta(pattern=VERSION_NAME)]
    base_name: Annotated[str, Meta(pattern=NAME)]
    backend: Annotated[str, Meta(pattern="^[a-z_]{1,40}(?!\n)$")]
    created_ns: Annotated[int, Meta(ge=0, lt=LATEST_NS)]
    description: Annotated[str, Meta(max_length=10_000)] | None = None


def with_labels(data: bytes, labels: Labels) -> bytes:
    """The model file `data`, called `labels`.

    Raises
    ------
    TooLargeError
        The header, the names of columns above all, is larger than headers may be.
    """
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    text = msgspec.json.encode(labels).decode()
    header.setdefault("__metadata__", {}).update({KEY: text, CHECKSUM: _checksum(text)})
    return _with_header(header, data[8 + size :])


def _with_header(header: dict[str, Any], arrays: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at a multiple of 8
    if len(text) > LARGEST_HEADER:
        raise TooLargeError(
            f"The names of the columns and hyperparameters take {len(text)} bytes; allowed are {LARGEST_HEADER}; "
            "send shorter names."
        )
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
