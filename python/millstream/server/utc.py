"""Times as the contract writes them: ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(seconds: float) -> str:
    """`seconds` since the epoch as text, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
