"""Handlers of `/health` and `/ready`."""

from __future__ import annotations

from typing import Literal

from millstream.errors import OverloadedError
from millstream.server.endpoint import Answer, Call, Nothing


class Live(Answer, kw_only=True):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Ready(Answer, kw_only=True):
    """Requests are taken."""

    status: Literal["ready"] = "ready"


async def health(call: Call[Nothing]) -> Live:
    """Whether the process lives."""
    return Live()


async def ready(call: Call[Nothing]) -> Ready:
    """Whether requests are taken."""
    if not call.service.ready:
        raise OverloadedError("The server is starting or ending; ask again in a second.", retry_after=1)
    return Ready()
