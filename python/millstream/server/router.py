"""From a method and a path to an endpoint. Case counts, and so does a slash at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from millstream.errors import MethodNotAllowedError, NotFoundError
from millstream.server.endpoint import Endpoint


class Router:
    """The endpoints by path: those without parameters in a dictionary, the others by a pattern, tried in order."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._fixed: dict[bytes, dict[str, Endpoint]] = {}
        patterns: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            if "{" in endpoint.path:
                patterns.setdefault(endpoint.path, {})[endpoint.method] = endpoint
            else:
                self._fixed.setdefault(endpoint.path.encode(), {})[endpoint.method] = endpoint
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    def find(self, method: str, path: bytes) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint and the parameters of its path, percent-decoded.

        Raises
        ------
        MethodNotAllowedError
            The path has other methods; the error names them.
        NotFoundError
            Nothing has this path.
        """
        fixed = self._fixed.get(path, {})
        if found := fixed.get(method):
            return found, {}
        allowed = list(fixed)
        for pattern, methods in self._patterns:
            if match := pattern.fullmatch(path):
                if found := methods.get(method):
                    return found, {name: _decoded(value) for name, value in match.groupdict().items()}
                allowed += methods
        shown = path[:200].decode("ascii", "replace")
        if allowed:
            told = ", ".join(allowed)
            raise MethodNotAllowedError(
                f"{method} is not allowed on {shown}; allowed is {told}; use that.", (*allowed,)
            )
        raise NotFoundError(f"There is no {shown}; GET /openapi.json lists the routes; correct the path.")


def _pattern(path: str) -> re.Pattern[bytes]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)).encode())


def _decoded(value: bytes) -> str:
    return unquote_to_bytes(value).decode("utf-8", "replace")
