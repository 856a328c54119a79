"""Models on disk, and those in memory.

The folder is the truth: names come from the labels inside the files, several processes may share it, and what is in
memory is only a copy of the most recently used. A file appears whole under its name or not at all: it is written beside
it, synced, and linked or renamed, then the folder is synced. Nothing here runs on the event loop but `cached`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from millstream.errors import ConflictError, ModelFileError, NotFoundError, StorageFullError
from millstream.server.limits import check_filename
from millstream.server.model_labels import LARGEST_HEADER, Labels, read_labels, with_labels

SUFFIX = ".safetensors"
ENCODER_SUFFIX = "_encoder.json"
LATEST = "-latest"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SETTLED_SECONDS = 0.05  # a folder's time of change moves in ticks; one younger than this may hide a second change


@dataclass(frozen=True)
class Stored:
    """One model file."""

    filename: str
    path: Path
    labels: Labels
    size_bytes: int
    modified: float
    identity: tuple[int, int, int]  # inode, time of change, size: another file under the name has another

    @property
    def created(self) -> str:
        """When the model was fitted, ISO 8601 in UTC."""
        at = datetime.fromtimestamp(self.labels.created_ns / 1e9, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ModelStore:
    """The models of one folder.

    Parameters
    ----------
    folder : Path
        Where the files are; made by `open`.
    memory_bytes : int
        How much of files may be in memory, loaded.
    decode : callable
        From the bytes of a file, and its name for messages, to a detector.
    """

    def __init__(self, folder: Path, memory_bytes: int, decode: Callable[[bytes, str], Any]) -> None:
        self.folder = folder
        self._memory_bytes = memory_bytes
        self._decode = decode
        self._lock = threading.Lock()  # guards the three below; never held while a file is read or written
        self._files: dict[str, Stored] = {}
        self._scanned: int | None = None
        self._loaded: OrderedDict[tuple[int, int, int], tuple[Any, int]] = OrderedDict()
        self._last_ns = 0

    def open(self) -> None:
        """Make the folder, and clear away what dead processes left half written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob(".*.tmp"):
            if not _is_running(path.name):
                path.unlink(missing_ok=True)
        self.list()

    def list(self) -> list[Stored]:
        """All models, the newest first."""
        return sorted(self._scan().values(), key=_age, reverse=True)

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
        fitting = (
            s
            for s in self._scan().values()
            if (s.labels.base_name == base or s.labels.name == name) and backend in (None, s.labels.backend)
        )
        found = max(fitting, key=_age, default=None)
        if found is None:
            self._refuse_unsound(base, backend)
            raise NotFoundError(f"Model '{name}' not found. Fit it with POST /v1/ml/anomaly/fit.")
        return found

    @property
    def is_current(self) -> bool:
        """Whether `find` would answer from memory, without reading the folder."""
        try:
            return self.folder.stat().st_mtime_ns == self._scanned
        except FileNotFoundError:
            return False

    def cached(self, stored: Stored) -> Any | None:
        """The detector, if it is in memory."""
        with self._lock:
            found = self._loaded.get(stored.identity)
            if found is None:
                return None
            self._loaded.move_to_end(stored.identity)
            return found[0]

    def load(self, stored: Stored) -> Any:
        """The detector, from memory or from its file."""
        found = self.cached(stored)
        if found is not None:
            return found
        detector = self._decode(read_regular(stored.path), stored.filename)
        self._keep(stored, detector)
        return detector

    def save(
        self,
        base: str,
        labels: dict[str, Any],
        data: bytes,
        encoder: bytes | None,
        overwrite: bool,
        detector: Any = None,
    ) -> Stored:
        """Store a fitted model: under a new version of `base`, or with `overwrite` under `base` itself.

        Returns when the disk has it. `labels` are the backend and the description; `detector`, if given, is what the
        bytes decode to and stays in memory.

        Raises
        ------
        StorageFullError
            No room; nothing has changed.
        """
        created = self._next_ns()
        names = iter([base]) if overwrite else _versions(base, created)
        for name in names:
            named = Labels(name=name, base_name=base, created_ns=created, **labels)
            if overwrite:
                self._check_not_a_version(named)
            stored = self._write(named, with_labels(data, named), replace=overwrite)
            if stored is not None:
                self._write_encoder(stored, encoder)
                if detector is not None:
                    self._keep(stored, detector)
                return stored
        raise AssertionError("versions do not end")

    def keep(self, stored: Stored, name: str, description: str | None) -> Stored:
        """Store a model once more, under `name`: its base name, or its own to describe it anew."""
        changes = {"name": name} | ({"description": description} if description is not None else {})
        labels = msgspec.structs.replace(stored.labels, **changes)
        self._check_not_a_version(labels)
        kept = self._write(labels, with_labels(read_regular(stored.path), labels), replace=True)
        assert kept is not None
        encoder = self.encoder_path(stored)
        self._write_encoder(kept, encoder.read_bytes() if encoder is not None else None)
        return kept

    def delete(self, filename: str) -> None:
        """Delete a model and the copy of its encoder; its names stop resolving to it."""
        path = self.folder / check_filename(filename)
        if not filename.endswith(SUFFIX) or not os.path.lexists(path):
            raise NotFoundError(f"Model file '{filename}' not found. List them with GET /v1/ml/anomaly/models.")
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _not_regular(filename)
        try:
            path.unlink()
        except FileNotFoundError:
            raise NotFoundError(f"Model file '{filename}' not found. It was deleted just now.") from None
        self._encoder_path(path).unlink(missing_ok=True)
        _sync(self.folder)
        with self._lock:
            self._scanned = None

    def path_of(self, name: str, backend: str) -> Path:
        """Where the model of that name and backend is or would be."""
        return self.folder / f"{name}_{backend}{SUFFIX}"

    def encoder_path(self, stored: Stored) -> Path | None:
        """The copy of the encoder beside a model, if it has one."""
        path = self._encoder_path(stored.path)
        return path if path.exists() else None

    def _encoder_path(self, path: Path) -> Path:
        return path.with_name(path.name.removesuffix(SUFFIX) + ENCODER_SUFFIX)

    def _next_ns(self) -> int:
        with self._lock:
            self._last_ns = max(time.time_ns(), self._last_ns + 1)
            return self._last_ns

    def _check_not_a_version(self, labels: Labels) -> None:
        held = self._scan().get(self.path_of(labels.name, labels.backend).name)
        if held is not None and held.labels.base_name != labels.base_name:
            raise ConflictError(
                f"'{labels.name}' is a version of the model '{held.labels.base_name}'; "
                "choose another name or send overwrite: false."
            )

    def _write(self, labels: Labels, data: bytes, replace: bool) -> Stored | None:
        """The stored model, or None when the name is taken and not to be replaced."""
        path = self.path_of(labels.name, labels.backend)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        with _storage_errors(), _removed(draft):
            write_synced(draft, data)
            if replace:
                os.replace(draft, path)
            else:
                try:
                    os.link(draft, path)  # fails when the name is taken, by another process too
                except FileExistsError:
                    return None
            _sync(self.folder)
        stored = _stored(path, path.lstat(), labels)
        with self._lock:
            self._files[stored.filename] = stored
            self._scanned = None
        return stored

    def _write_encoder(self, stored: Stored, encoder: bytes | None) -> None:
        path = self._encoder_path(stored.path)
        if encoder is None:
            path.unlink(missing_ok=True)
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        with _storage_errors(), _removed(draft):
            write_synced(draft, encoder)
            os.replace(draft, path)

    def _scan(self) -> dict[str, Stored]:
        """The files by name, read anew only if the folder has changed. One stat when it has not."""
        try:
            changed = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        with self._lock:
            if changed == self._scanned:
                return self._files
            known = self._files
        files = dict(self._read_folder(known))
        with self._lock:
            self._files = files
            held = {stored.identity for stored in files.values()}
            for identity in [i for i in self._loaded if i not in held]:
                del self._loaded[identity]
            self._scanned = changed if time.time() - changed / 1e9 > _SETTLED_SECONDS else None
        return files

    def _read_folder(self, known: dict[str, Stored]) -> Iterator[tuple[str, Stored]]:
        for entry in os.scandir(self.folder):
            if (
                entry.name.startswith(".")
                or not entry.name.endswith(SUFFIX)
                or not entry.is_file(follow_symlinks=False)
            ):
                continue
            with contextlib.suppress(FileNotFoundError, ModelFileError):  # gone meanwhile, or no model: not listed
                status = entry.stat(follow_symlinks=False)
                held = known.get(entry.name)
                if held is None or held.identity != _identity(status):
                    held = _stored(Path(entry.path), status, read_labels(_read_head(Path(entry.path)), entry.name))
                yield entry.name, held

    def _keep(self, stored: Stored, detector: Any) -> None:
        with self._lock:
            self._loaded[stored.identity] = (detector, stored.size_bytes)
            held = sum(size for _, size in self._loaded.values())
            while held > self._memory_bytes and len(self._loaded) > 1:
                _, (_, size) = self._loaded.popitem(last=False)
                held -= size

    def _refuse_unsound(self, name: str, backend: str | None) -> None:
        """Say so if a file that should hold the model is there but is none."""
        pattern = f"{name}_{backend or '*'}{SUFFIX}"
        for path in self.folder.glob(pattern) if not set(name) & set("*?[") else ():
            if not stat.S_ISREG(path.lstat().st_mode):
                raise _not_regular(path.name)
            labels = read_labels(_read_head(path), path.name)
            if name in (labels.name, labels.base_name):
                return


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; a link, pipe or folder is never opened."""
    with _opened(path) as file:
        return bytes(file.read())


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file, on the disk when this returns."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def encoder_text(encoder: Any) -> bytes:
    """The copy of an encoder for people."""
    return json.dumps(encoder, indent=1, ensure_ascii=False).encode() + b"\n"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"Model file '{path.name}' not found. It was deleted just now.") from None
    except OSError:
        raise _not_regular(path.name) from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _not_regular(path.name)
        yield file


def _read_head(path: Path) -> bytes:
    with _opened(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(LARGEST_HEADER, os.fstat(file.fileno()).st_size):
            raise ModelFileError(f"The file '{path.name}' is no millstream model; delete it or fit a model.")
        return bytes(file.read(size))


def _not_regular(filename: str) -> ModelFileError:
    return ModelFileError(
        f"'{filename}' is a link, pipe or folder; allowed are regular files; remove it from the models' folder.",
        loc=("filename",),
    )


def _age(stored: Stored) -> tuple[int, str]:
    """What newest means; of a version and its copy under the plain name, the version."""
    return stored.labels.created_ns, stored.labels.name


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _stored(path: Path, status: os.stat_result, labels: Labels) -> Stored:
    return Stored(path.name, path, labels, status.st_size, status.st_mtime, _identity(status))


def _versions(base: str, created_ns: int) -> Iterator[str]:
    """`<base>_<YYYYMMDD_HHMMSS>`, and the seconds after it: two fits in one second get distinct names."""
    at = datetime.fromtimestamp(created_ns / 1e9, UTC)
    while True:
        yield f"{base}_{at:%Y%m%d_%H%M%S}"
        at += timedelta(seconds=1)


def _is_running(draft: str) -> bool:
    process = draft.split(".")[-3]
    if not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _removed(draft: Path) -> Iterator[None]:
    try:
        yield
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFullError(
            "The disk of the models is full; nothing was changed; make room, then try again."
        ) from None
