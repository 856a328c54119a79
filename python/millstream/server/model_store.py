"""Models on disk, and those in memory.

The folder is the truth: names come from the labels inside the files, several processes may share it, and what is in
memory is only a copy of the most recently used. Files appear and change as `atomic_file.py` says, or as an operator
has it who copies them. Nothing here runs on the event loop but `known` and `cached`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from millstream.backend.registry import NAMES
from millstream.errors import ConflictError, ModelFileError, NotFoundError, TooLargeError
from millstream.server.atomic_file import (
    changed,
    clear_drafts,
    draft,
    locked,
    not_regular,
    opened,
    place,
    storage_errors,
)
from millstream.server.limits import check_filename, is_filename
from millstream.server.model_labels import LARGEST_HEADER, LATEST_NS, Labels, read_labels, with_labels
from millstream.server.utc import utc

SUFFIX = ".safetensors"
ENCODER_SUFFIX = "_encoder.json"
LATEST = "-latest"
_SETTLED_SECONDS = 0.05  # a folder's time of change moves in ticks; one younger than this may hide a second change
Identity = tuple[int, int, int]  # inode, time of change, size: another file under a name has another


class Codec(Protocol):
    """What the store needs to know of detectors."""

    def decode(self, data: bytes, filename: str) -> Any:
        """The detector in a file; `ModelFileError` naming `filename` if it holds none."""

    def memory_bytes(self, detector: Any) -> int:
        """How much memory it takes besides the arrays of its file."""

    def encoder_text(self, detector: Any) -> bytes | None:
        """Its encoder for people, if it has one."""


@dataclass(frozen=True)
class Stored:
    """One model file."""

    filename: str
    path: Path
    labels: Labels
    size_bytes: int
    modified: float
    identity: Identity

    @property
    def created(self) -> str:
        """When the model was fitted, ISO 8601 in UTC."""
        return utc(self.labels.created_ns / 1e9)


@dataclass(frozen=True)
class Listing:
    """What a look at the folder found: the models by file, those of a name with the newest first, and what is none."""

    files: dict[str, Stored] = field(default_factory=dict)
    named: dict[str, list[Stored]] = field(default_factory=dict)
    unsound: dict[str, Identity] = field(default_factory=dict)

    def newest(self, name: str, backend: str | None) -> Stored | None:
        """The newest model of that name, and of that backend unless it is None."""
        return next((s for s in self.named.get(name, ()) if backend in (None, s.labels.backend)), None)

    def backends(self, name: str) -> list[str]:
        """Whose models that name has, the newest first."""
        return list(dict.fromkeys(stored.labels.backend for stored in self.named.get(name, ())))


class ModelStore:
    """The models of one folder.

    Parameters
    ----------
    folder : Path
        Where the files are; made by `open`.
    memory_bytes : int
        How much memory loaded models may take; a file larger than that is refused.
    codec : Codec
        From files to detectors.
    """

    def __init__(self, folder: Path, memory_bytes: int, codec: Codec) -> None:
        self.folder = folder
        self._memory_bytes = memory_bytes
        self._codec = codec
        self._lock = threading.Lock()  # guards the five below; never held while a file is read or written
        self._listing = Listing()
        self._scanned: int | None = None
        self._loaded: OrderedDict[Identity, tuple[Any, int]] = OrderedDict()
        self._loading: dict[Identity, threading.Lock] = {}
        self._last_ns = 0

    def open(self) -> None:
        """Make the folder, and clear away what dead processes left behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clear_drafts(self.folder)
        self._clear_orphans()
        self.list()

    def list(self) -> list[Stored]:
        """All models, the newest first."""
        return sorted(self._scan().files.values(), key=_age, reverse=True)

    def find(self, name: str, backend: str | None = None) -> Stored:
        """The newest model called `name`: a base name, `<base>-latest` or an exact version.

        Raises
        ------
        NotFoundError
            There is none.
        ModelFileError
            A file that should hold it is damaged, or no regular file.
        """
        base = name.removesuffix(LATEST)
        stored = self._scan().newest(base, backend)
        if stored is not None and not _is_unchanged(stored):
            stored = self._scan(anew=True).newest(base, backend)
        if stored is None:
            self._refuse_unsound(base, backend)
            raise NotFoundError(_not_found(name, backend, self._scan().backends(base)))
        return stored

    def known(self, name: str, backend: str | None = None) -> Stored | None:
        """What `find` would return, if neither the folder nor the file has changed since the last look. Two stats."""
        try:
            if self.folder.stat().st_mtime_ns != self._scanned:
                return None
        except OSError:
            return None
        stored = self._listing.newest(name.removesuffix(LATEST), backend)
        return stored if stored is not None and _is_unchanged(stored) else None

    def get(self, name: str, backend: str | None = None) -> tuple[Stored, Any]:
        """What `find` returns, and its detector."""
        while True:
            stored = self.find(name, backend)
            with contextlib.suppress(NotFoundError):  # deleted since; the name may have others
                return stored, self.load(stored)
            self._forget_scan()

    def cached(self, stored: Stored) -> Any | None:
        """The detector, if it is in memory."""
        with self._lock:
            found = self._loaded.get(stored.identity)
            if found is None:
                return None
            self._loaded.move_to_end(stored.identity)
            return found[0]

    def load(self, stored: Stored) -> Any:
        """The detector, from memory or from its file, which many who ask at once read once."""
        with self._lock:
            turn = self._loading.setdefault(stored.identity, threading.Lock())
        try:
            with turn:
                detector = self.cached(stored)
                if detector is None:
                    detector = self._codec.decode(self._read(stored.path), stored.filename)
                    self._remember(stored, detector)
        finally:
            with self._lock:
                self._loading.pop(stored.identity, None)
        return detector

    def save(self, base: str, labels: dict[str, Any], data: bytes, overwrite: bool, detector: Any) -> Stored:
        """Store a fitted model: under a new version of `base`, or with `overwrite` under `base` itself.

        Returns when the disk has it. `labels` are the backend and the description; `detector` is what the bytes
        decode to; it stays in memory.

        Raises
        ------
        StorageFullError
            No room; nothing has changed.
        ConflictError
            `base` is the version of another model.
        """
        self._check_size(f"{base}_{labels['backend']}{SUFFIX}", len(data))
        created = self._next_ns(base)
        for name in [base] if overwrite else _versions(base, created):
            if not overwrite and os.path.lexists(self.path_of(name, labels["backend"])):
                continue  # another fit of this second; not worth a draft
            named = Labels(name=name, base_name=base, created_ns=created, **labels)
            stored = self._write(named, data, self._codec.encoder_text(detector), replace=overwrite)
            if stored is not None:
                self._remember(stored, detector)
                return stored
        raise AssertionError("versions do not end")

    def check_base(self, base: str) -> None:
        """Refuse `base` for a new model if it is the version of another one."""
        other = next((s for s in self._scan().named.get(base, ()) if s.labels.base_name != base), None)
        if other is not None:
            raise ConflictError(f"'{base}' is a version of the model '{other.labels.base_name}'; choose another name.")

    def keep(self, name: str, backend: str | None, description: str | None) -> Stored:
        """Store the model called `name` once more: a base under its plain name, a version anew to describe it."""
        changes = {"name": name.removesuffix(LATEST)} | (
            {"description": description} if description is not None else {}
        )
        while True:
            stored, detector = self.get(name, backend)
            labels = msgspec.structs.replace(stored.labels, **changes)
            with contextlib.suppress(NotFoundError):  # deleted since; the name may have others
                data = self._read(stored.path)
                kept = self._write(labels, data, self._codec.encoder_text(detector), replace=True, if_newest=stored)
                if kept is not None:
                    return kept

    def delete(self, filename: str) -> None:
        """Delete a model and the copy of its encoder; its names stop resolving to it."""
        path = self.folder / check_filename(filename)
        unknown = NotFoundError(f"Model file '{filename}' not found. List them with GET /v1/ml/anomaly/models.")
        if not filename.endswith(SUFFIX) or not os.path.lexists(path):
            raise unknown
        encoder_path = self._encoder_path(path)
        with storage_errors(), locked(self.folder) as folder:
            try:
                if not stat.S_ISREG(path.lstat().st_mode):
                    raise not_regular(filename)
            except FileNotFoundError:
                raise unknown from None
            with changed(folder, path, encoder_path):
                path.unlink()
                encoder_path.unlink(missing_ok=True)
        self._forget_scan()

    def path_of(self, name: str, backend: str) -> Path:
        """Where the model of that name and backend is or would be."""
        return self.folder / f"{name}_{backend}{SUFFIX}"

    def encoder_path(self, stored: Stored) -> Path | None:
        """The copy of the encoder beside a model, if it has one."""
        path = self._encoder_path(stored.path)
        return path if path.is_file() else None

    def _encoder_path(self, path: Path) -> Path:
        return path.with_name(path.name.removesuffix(SUFFIX) + ENCODER_SUFFIX)

    def _next_ns(self, base: str) -> int:
        """Now; but later than every fit of `base`, for the newest fit is what the name stands for, clocks or not."""
        newest = max((stored.labels.created_ns for stored in self._scan().named.get(base, ())), default=0)
        with self._lock:
            self._last_ns = max(time.time_ns(), self._last_ns + 1)
            return max(self._last_ns, min(newest + 1, LATEST_NS - 1))

    def _read(self, path: Path) -> bytes:
        with opened(path) as file:
            self._check_size(path.name, os.fstat(file.fileno()).st_size)
            return bytes(file.read())

    def _check_size(self, filename: str, size: int) -> None:
        if size > self._memory_bytes:
            raise TooLargeError(
                f"The model file '{filename}' has {size} bytes; allowed are {self._memory_bytes} "
                "(MILLSTREAM_MODEL_MEMORY_BYTES); fit the model on fewer rows, or raise the limit."
            )

    def _write(
        self, labels: Labels, data: bytes, encoder: bytes | None, replace: bool, if_newest: Stored | None = None
    ) -> Stored | None:
        """The stored model; None when its name is taken and not to be replaced, or `if_newest` is the newest no more.

        The copy of the encoder takes its place first: should the process end between the two, or the disk be full,
        a copy for people is newer than its model, or has none and is cleared away at the next start.
        """
        path = self.path_of(labels.name, labels.backend)
        encoder_path = self._encoder_path(path)
        with storage_errors(), contextlib.ExitStack() as drafts:
            self.folder.mkdir(parents=True, exist_ok=True)
            model = drafts.enter_context(draft(self.folder, with_labels(data, labels)))
            copy = drafts.enter_context(draft(self.folder, encoder)) if encoder is not None else None
            folder = drafts.enter_context(locked(self.folder))
            if not self._may_write(labels, replace, if_newest):
                return None
            with changed(folder, path, encoder_path):
                if copy is not None:
                    place(copy, encoder_path, replace=True)
                if not place(model, path, replace):
                    return None
                if copy is None:
                    encoder_path.unlink(missing_ok=True)
            stored = _stored(path, path.lstat(), labels)
        self._forget_scan()
        return stored

    def _may_write(self, labels: Labels, replace: bool, if_newest: Stored | None) -> bool:
        """Whether the folder still is what the writer thinks; a name of another model is a ConflictError."""
        named = self._scan(anew=True).named
        if if_newest is not None:
            newest = [s for s in named.get(labels.name, ()) if s.labels.backend == labels.backend]
            return bool(newest) and newest[0].identity == if_newest.identity
        self.check_base(labels.base_name)
        return replace or (labels.name not in named and not os.path.lexists(self.path_of(labels.name, labels.backend)))

    def _forget_scan(self) -> None:
        with self._lock:
            self._scanned = None

    def _scan(self, anew: bool = False) -> Listing:
        """The models, read anew only if the folder has changed. One stat when it has not."""
        with storage_errors():
            try:
                changed = self.folder.stat().st_mtime_ns
                with self._lock:
                    if changed == self._scanned and not anew:
                        return self._listing
                    known = self._listing
                listing = self._read_folder(known)
            except (FileNotFoundError, NotADirectoryError):  # taken away while the server runs
                return Listing()
        with self._lock:
            self._listing = listing
            held = {stored.identity for stored in listing.files.values()}
            for identity in [i for i in self._loaded if i not in held]:
                del self._loaded[identity]
            self._scanned = changed if time.time() - changed / 1e9 > _SETTLED_SECONDS else None
        return listing

    def _read_folder(self, known: Listing) -> Listing:
        """Only the headers of files that were not there before are read."""
        files: dict[str, Stored] = {}
        unsound: dict[str, Identity] = {}
        for entry in os.scandir(self.folder):
            if not (entry.name.endswith(SUFFIX) and is_filename(entry.name)):
                continue  # what no request can name is no model, drafts above all
            with contextlib.suppress(FileNotFoundError, NotFoundError):  # gone meanwhile
                status = entry.stat(follow_symlinks=False)
                identity = _identity(status)
                held = known.files.get(entry.name)
                if held is not None and held.identity == identity:
                    files[entry.name] = held
                elif stat.S_ISREG(status.st_mode) and known.unsound.get(entry.name) != identity:
                    try:
                        labels = read_labels(_read_head(Path(entry.path)), entry.name)
                        files[entry.name] = _stored(Path(entry.path), status, labels)
                    except ModelFileError:
                        unsound[entry.name] = identity  # not listed; who asks for it by name is told why
                else:
                    unsound[entry.name] = identity
        return Listing(files, _by_name(files), unsound)

    def _remember(self, stored: Stored, detector: Any) -> None:
        weight = stored.size_bytes + self._codec.memory_bytes(detector)
        with self._lock:
            self._loaded[stored.identity] = (detector, weight)
            held = sum(weight for _, weight in self._loaded.values())
            while held > self._memory_bytes and len(self._loaded) > 1:
                _, (_, weight) = self._loaded.popitem(last=False)
                held -= weight

    def _refuse_unsound(self, name: str, backend: str | None) -> None:
        """Say so if a file that should hold the model is there but is none."""
        for one in [backend] if backend is not None else NAMES:
            path = self.path_of(name, one)
            if path.name in self._scan().unsound:
                with contextlib.suppress(NotFoundError):  # gone meanwhile
                    read_labels(_read_head(path), path.name)

    def _clear_orphans(self) -> None:
        """Remove copies of encoders whose models were deleted while the process ended."""
        ends = tuple(f"_{backend}{ENCODER_SUFFIX}" for backend in NAMES)
        with locked(self.folder):
            for path in self.folder.glob(f"*{ENCODER_SUFFIX}"):
                model = path.with_name(path.name.removesuffix(ENCODER_SUFFIX) + SUFFIX)
                if path.name.endswith(ends) and not os.path.lexists(model) and stat.S_ISREG(path.lstat().st_mode):
                    path.unlink(missing_ok=True)


def _not_found(name: str, backend: str | None, others: Sequence[str]) -> str:
    if others:
        return (
            f"Model '{name}' has no {backend}; it has {', '.join(others)}; "
            "name one of them or fit it with POST /v1/ml/anomaly/fit."
        )
    return f"Model '{name}' not found. Fit it with POST /v1/ml/anomaly/fit."


def _read_head(path: Path) -> bytes:
    with opened(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(LARGEST_HEADER, os.fstat(file.fileno()).st_size):
            raise ModelFileError(f"The file '{path.name}' is no millstream model; delete it or fit a model.")
        return bytes(file.read(size))


def _by_name(files: dict[str, Stored]) -> dict[str, list[Stored]]:
    named: dict[str, list[Stored]] = {}
    for stored in sorted(files.values(), key=_age, reverse=True):
        for name in {stored.labels.name, stored.labels.base_name}:
            named.setdefault(name, []).append(stored)
    for name, fits in named.items():
        fits.sort(key=lambda stored: stored.labels.base_name == name)  # an exact version hides behind no newer fit
    return named


def _age(stored: Stored) -> tuple[int, str]:
    """What newest means; of a version and its copy under the plain name, the version."""
    return stored.labels.created_ns, stored.labels.name


def _is_unchanged(stored: Stored) -> bool:
    """Whether the file still is what was listed: one that is written over changes without its folder."""
    try:
        return _identity(os.lstat(stored.path)) == stored.identity
    except OSError:
        return False


def _identity(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _stored(path: Path, status: os.stat_result, labels: Labels) -> Stored:
    return Stored(path.name, path, labels, status.st_size, status.st_mtime, _identity(status))


def _versions(base: str, created_ns: int) -> Iterator[str]:
    """`<base>_<YYYYMMDD_HHMMSS>`, and the seconds after it: two fits in one second get distinct names."""
    at = datetime.fromtimestamp(created_ns / 1e9, UTC)
    while True:
        yield f"{base}_{at:%Y%m%d_%H%M%S}"
        at += timedelta(seconds=1)
