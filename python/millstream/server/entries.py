"""Named objects, and the order in which their changes happen.

The idea: every change of an object is an event, applied by the object's one method `apply`. An entry gives turns first
come, first served, so the order of events is the order of arrival, whatever ran where. Short work runs on the event
loop at once when it is the entry's turn; long work runs in a thread while the entry waits. An event that cannot go on
before something else is done, a fit, returns a `Pause`: the entry keeps the turn, and no thread is taken meanwhile.
Deleting is an event too: what queued before it still happens, what queued behind it finds the name gone. Reads take no
turn: objects offer immutable snapshots.

Invariant: no thread waits for another thread or for the event loop; the few there are would soon all wait.

Everything here belongs to one event loop; only `apply` runs in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from millstream.errors import ConflictError, NotFoundError, OverloadedError


class Applies(Protocol):
    """An object that changes by events only. `apply` reads neither clock nor randomness."""

    def apply(self, event: Any) -> Any:
        """Change by one event, whole or not at all. A `Pause` says that the event goes on later, in the same turn."""


@dataclass(frozen=True, slots=True)
class Pause:
    """An event that waits: `wait()` is awaited on the event loop, then `go_on` is called with what came of it.

    `go_on` returns what `apply` returns, another pause included. An object is whole while its event waits: it is read.
    """

    wait: Callable[[], Awaitable[Any]]
    go_on: Callable[[Any], Any]


T = TypeVar("T", bound=Applies)
Inline = bool | Callable[[T], bool]


class GoneError(Exception):
    """The entry was deleted before the event had its turn."""


class Entry(Generic[T]):
    """One named object and the queue of those who change it."""

    __slots__ = ("_born", "_entries", "_gone", "_turn", "name", "value")

    def __init__(self, name: str, value: T, entries: Entries[T], born: bool) -> None:
        self.name = name
        self.value = value
        self._entries = entries
        self._turn = asyncio.Lock()
        self._gone = False
        self._born = born

    @property
    def gone(self) -> bool:
        """Whether the entry was deleted. Its object may live on in those who still hold it."""
        return self._gone

    async def send(self, event: Any, inline: Inline[T] = True) -> Any:
        """Apply `event` when its turn comes and return what `apply` returned; its error is raised, the turn given back.

        With `inline` the work runs on the event loop: for work well under a millisecond only. It may be a function that
        decides by the object as it is when the turn has come.

        Raises
        ------
        GoneError
            The entry was deleted while the event waited.
        """
        await self._turn.acquire()
        if self._gone:
            self._turn.release()
            raise GoneError(self.name)
        here = inline if isinstance(inline, bool) else inline(self.value)
        result = self._apply_here(event) if here else None
        if here and not isinstance(result, Pause):
            return result
        # The work gives the turn back, not the one who waits for it: a client that leaves must not let a second
        # writer in beside a thread that is still at work, nor leave an event half done.
        work = asyncio.ensure_future(self._apply_to_the_end(event, result))
        self._entries.at_work.add(work)  # the event loop alone would let it be collected
        work.add_done_callback(self._entries.at_work.discard)
        return await asyncio.shield(work)

    def _apply_here(self, event: Any) -> Any:
        try:
            result = self.value.apply(event)
        except BaseException:
            self._failed()
            self._turn.release()
            raise
        if not isinstance(result, Pause):
            self._born = True
            self._turn.release()
        return result

    async def _apply_to_the_end(self, event: Any, pause: Pause | None) -> Any:
        """Apply `event` in a thread, or go on after its `pause`, until it has a result; then give the turn back."""
        loop, threads = asyncio.get_running_loop(), self._entries.threads
        try:
            result = pause or await loop.run_in_executor(threads, self.value.apply, event)
            while isinstance(result, Pause):
                outcome = await result.wait()
                result = await loop.run_in_executor(threads, result.go_on, outcome)
        except BaseException:
            self._failed()
            raise
        finally:
            self._turn.release()
        self._born = True
        return result

    def _failed(self) -> None:
        """An entry whose first event was refused has never existed."""
        if not self._born:
            self._entries.forget(self)

    async def _delete(self) -> None:
        async with self._turn:
            if self._gone:
                raise GoneError(self.name)
            self._entries.forget(self)


class Entries(Generic[T]):
    """Names of one kind of object.

    Parameters
    ----------
    kind : str
        What the objects are called in messages, such as "Buffer".
    advice : str
        What to do when a name is unknown: a sentence.
    most : int
        How many there may be; one more is an `OverloadedError`.
    threads : Executor
        Where long events run.
    """

    def __init__(self, kind: str, advice: str, most: int, threads: Executor) -> None:
        self.kind = kind
        self.threads = threads
        self.at_work: set[asyncio.Future[Any]] = set()
        self._advice = advice
        self._most = most
        self._entries: dict[str, Entry[T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[T]]:
        """The entries in order of creation, as they are now."""
        return iter([entry for entry in self._entries.values() if entry._born])

    def create(self, name: str, make: Callable[[], T]) -> Entry[T]:
        """A new entry holding `make()`. A name that is taken is a `ConflictError`."""
        if name in self._entries:
            raise ConflictError(f"{self.kind} '{name}' exists already; delete it first or choose another name.")
        return self._insert(name, make, born=True)

    def get(self, name: str) -> Entry[T]:
        """The entry called `name`, or `NotFoundError`."""
        entry = self.find(name)
        if entry is None:
            raise self._unknown(name)
        return entry

    def find(self, name: str) -> Entry[T] | None:
        """The entry called `name`, or None."""
        entry = self._entries.get(name)
        return entry if entry is not None and entry._born else None

    async def send(self, name: str, event: Any, inline: Inline[T] = True) -> Any:
        """Apply `event` to the object called `name`; `NotFoundError` when it has none when its turn comes."""
        try:
            return await self.get(name).send(event, inline)
        except GoneError:
            raise self._unknown(name) from None

    async def send_or_create(self, name: str, make: Callable[[], T], event: Any, inline: Inline[T] = True) -> Any:
        """Apply `event` to the object called `name`, made by `make` if there is none.

        An object whose first event is refused is not kept, and nobody else sees it before.
        """
        while True:
            entry = self._entries.get(name) or self._insert(name, make, born=False)
            try:
                return await entry.send(event, inline)
            except GoneError:
                continue  # deleted, or never born, while the event waited: the next one is made anew

    async def delete(self, name: str) -> T:
        """Delete the entry when its turn comes and return the object it held."""
        entry = self.get(name)
        try:
            await entry._delete()
        except GoneError:
            raise self._unknown(name) from None
        return entry.value

    def forget(self, entry: Entry[T]) -> None:
        """Take `entry` out; events that still wait for it find it gone. Only for the holder of its turn."""
        entry._gone = True
        if self._entries.get(entry.name) is entry:
            del self._entries[entry.name]

    def _insert(self, name: str, make: Callable[[], T], born: bool) -> Entry[T]:
        if len(self._entries) >= self._most:
            raise OverloadedError(
                f"There are {len(self._entries)} {self.kind.lower()}s, the most this server holds; "
                "delete one that is no longer needed, then try again.",
                retry_after=10,
            )
        entry = self._entries[name] = Entry(name, make(), self, born)
        return entry

    def _unknown(self, name: str) -> NotFoundError:
        return NotFoundError(f"{self.kind} '{name}' not found. {self._advice}")
