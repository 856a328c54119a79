"""The few lines of plain HTTP the examples need: no package but the standard library."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

DEFAULT_URL = "http://127.0.0.1:14345"


class ServiceError(Exception):
    """The service refused, or nobody answered; the message says what to do."""


def call(url: str, method: str, path: str, body: object = None) -> Any:
    """Send one request and return the JSON answer. `MILLSTREAM_API_KEY` is sent when it is set."""
    request = urllib.request.Request(url.rstrip("/") + path, method=method)
    request.add_header("Content-Type", "application/json")
    if key := os.environ.get("MILLSTREAM_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        raise ServiceError(f"{method} {path}: {_reason(refused)}") from refused
    except OSError as silent:
        raise ServiceError(f"no millstream answers at {url} ({silent}); start one with: make serve") from silent


def _reason(refused: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(refused)["detail"])
    except (ValueError, KeyError):
        return f"status {refused.code}; is this a millstream?"
