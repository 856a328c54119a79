"""What all streams of a server hold together, and the refusal to hold more."""

from __future__ import annotations

from millstream.errors import OverloadedError
from millstream.server.named_stream import NamedStream


class StreamMemory:
    """Bytes held by streams, kept up by recounting one stream at a time. Belongs to the event loop."""

    def __init__(self, most: int) -> None:
        self.held = 0
        self._most = most

    def recount(self, stream: NamedStream) -> None:
        """Take note of what `stream` holds now; nothing once it was forgotten."""
        if stream.counted is not None:
            now = stream.state.memory_bytes
            self.held += now - stream.counted
            stream.counted = now

    def forget(self, stream: NamedStream) -> None:
        """Count `stream` no more."""
        if stream.counted is not None:
            self.held -= stream.counted
            stream.counted = None

    def check(self, stream: NamedStream | None) -> None:
        """Refuse rows that would add to a full memory; a stream whose window is full adds nothing.

        Raises
        ------
        OverloadedError
            The memory is used up and `stream` is new or grows.
        """
        if self.held < self._most or (stream is not None and stream.is_full):
            return
        raise OverloadedError(
            f"The streaming detectors hold {self.held} bytes, the most is {self._most} (MILLSTREAM_MAX_STREAM_BYTES); "
            "delete one that is no longer needed, then try again.",
            retry_after=10,
        )
