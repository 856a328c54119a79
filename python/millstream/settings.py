"""What can be set from outside: one frozen value read from the environment at start.

Every limit of the service is a field here. A bad value stops the start with a sentence that names the variable.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from millstream.errors import InvalidRequestError

PREFIX = "MILLSTREAM_"


def _setting(default: Any, at_least: float, help: str) -> Any:
    return field(default=default, metadata={"at_least": at_least, "help": help})


@dataclass(frozen=True)
class Settings:
    """Settings of one server process. `MILLSTREAM_<NAME>` sets the field `<name>`."""

    host: str = "127.0.0.1"
    port: int = _setting(14345, 0, "port to listen on; 0 takes a free one")
    data_dir: Path = Path("~/.llamafarm")
    api_key: str | None = field(default=None, repr=False)

    max_body_bytes: int = _setting(64 * 1024 * 1024, 1024, "largest request body")
    max_header_bytes: int = _setting(32 * 1024, 1024, "largest request line and headers together")
    header_seconds: float = _setting(10.0, 0.05, "time for the headers of a request to arrive")
    request_seconds: float = _setting(60.0, 0.05, "time for a whole request to arrive")
    keep_alive_seconds: float = _setting(75.0, 0.05, "time an idle connection stays open")
    shutdown_seconds: float = _setting(7.0, 0.1, "time for requests in flight after SIGTERM")
    max_connections: int = _setting(4096, 1, "open connections")

    max_rows: int = _setting(10_000_000, 10, "largest window_size, max_size and number of rows")
    max_columns: int = _setting(2_000, 1, "columns of a buffer, a stream or a model")
    max_windows: int = _setting(1_000, 1, "windows or lags of one list")
    max_features: int = _setting(10_000, 1, "declared features of one buffer")
    max_categories: int = _setting(100_000, 1, "categories of one column encoded as label or frequency")
    max_epochs: int = _setting(10_000, 1, "training epochs")
    max_answer_values: int = _setting(5_000_000, 1_000, "values in one answer")
    max_buffers: int = _setting(10_000, 1, "buffers held at the same time")
    max_streams: int = _setting(100_000, 1, "streaming detectors held at the same time")
    max_stream_bytes: int = _setting(4 * 1024**3, 1024, "memory of all streaming detectors together")
    model_memory_bytes: int = _setting(1024**3, 1, "memory of loaded models; the least recently used leave it")

    fit_workers: int = _setting(max(1, (os.cpu_count() or 2) // 2), 1, "processes, and threads, that fit models")
    fit_queue: int = _setting(64, 0, "fits that wait for a worker")
    fit_seconds: float = _setting(600.0, 0.1, "time one fit may run")
    fit_memory_bytes: int = _setting(4 * 1024**3, 64 * 1024**2, "memory one fit in a process may take")

    @property
    def models_dir(self) -> Path:
        """The folder of model files."""
        return self.data_dir / "models" / "anomaly"


_OTHER_NAMES = {"data_dir": "LF_DATA_DIR"}


def from_environment(environ: Mapping[str, str], **given: Any) -> Settings:
    """Settings from environment variables; arguments that are not None win over them.

    Raises
    ------
    InvalidRequestError
        A value that is not allowed, or a host beyond loopback without a key.
    """
    read = {f.name: _read(f.name, environ) for f in fields(Settings)}
    values = {name: value for name, value in read.items() if value is not None}
    values |= {name: value for name, value in given.items() if value is not None}
    settings = _checked(replace(Settings(), **values))
    return replace(settings, data_dir=Path(settings.data_dir).expanduser().absolute())


def _read(name: str, environ: Mapping[str, str]) -> Any:
    variable = _OTHER_NAMES.get(name, PREFIX + name.upper())
    text = environ.get(variable, "").strip()
    if not text:
        return None  # a blank variable, a blank key above all, counts as none
    default = getattr(Settings, name)
    if not isinstance(default, int | float):
        return text
    try:
        return type(default)(text)
    except ValueError:
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise InvalidRequestError(f"{variable} is {text!r}; allowed is {kind}; correct it or unset it.") from None


def _checked(settings: Settings) -> Settings:
    for entry in fields(Settings):
        at_least, value = entry.metadata.get("at_least"), getattr(settings, entry.name)
        if at_least is not None and not at_least <= value < float("inf"):
            variable = PREFIX + entry.name.upper()
            raise InvalidRequestError(f"{variable} is {value}; allowed is at least {at_least}; correct it or unset it.")
    if settings.port > 65535:
        raise InvalidRequestError(f"The port is {settings.port}; allowed is 0 to 65535; choose another.")
    if settings.api_key is None and not is_loopback(settings.host):
        raise InvalidRequestError(
            f"The host is {settings.host!r}, which others can reach, and there is no key; "
            "set MILLSTREAM_API_KEY or listen on 127.0.0.1."
        )
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
