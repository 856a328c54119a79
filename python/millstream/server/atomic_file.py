"""Files that appear whole or not at all, in a folder that several processes share.

A draft is written under a name of its own and synced before it takes its place in one step. Who writes a draft holds a
lock on it, so a draft nobody holds was left over by a process that died. Changes of the folder take turns under a lock
on the folder. The system drops locks with their process, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from millstream.errors import MillstreamError, ModelFileError, NotFoundError, OverloadedError, StorageFullError

DRAFT = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def draft(folder: Path, data: bytes) -> Iterator[Path]:
    """A new file holding `data`, on the disk; gone when the block ends, unless it was renamed."""
    path = folder / _draft_name()
    with contextlib.ExitStack() as ends:
        with locked(folder):  # nobody clears it away between its making and its lock
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            ends.callback(path.unlink, missing_ok=True)
            ends.callback(os.close, descriptor)
            _lock(descriptor, fcntl.LOCK_EX)
        _write_all(descriptor, data)
        os.fsync(descriptor)
        yield path


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """The turn to change the folder, as its descriptor: who changes names syncs it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def changed(folder: int, *paths: Path) -> Iterator[None]:
    """What the block does to the names `paths` is on the disk when it ends, or taken back. `folder` is from `locked`.

    Meanwhile the files have second names, those of drafts, for the next start to clear away should the process end. On
    a file system without such names nothing can be taken back.
    """
    with contextlib.ExitStack() as second_names:
        before = _second_names(paths, second_names)
        try:
            yield
            os.fsync(folder)
        except BaseException:
            for path, name in before.items():
                path.unlink(missing_ok=True) if name is None else os.replace(name, path)
            raise


def place(source: Path, target: Path, replace: bool) -> bool:
    """Give a draft its name in one step; False when the name is taken and not to be replaced."""
    try:
        if not replace:
            os.link(source, target)
            return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):  # nobody else makes it meanwhile: the folder is locked
            return False
    os.replace(source, target)
    return True


def _second_names(paths: Iterable[Path], ends: contextlib.ExitStack) -> dict[Path, Path | None]:
    """A draft's name for each file, until `ends`; None where there is no file, nothing where files have one name."""
    names: dict[Path, Path | None] = {}
    for path in paths:
        name = path.with_name(_draft_name())
        try:
            os.link(path, name, follow_symlinks=False)
        except FileNotFoundError:
            names[path] = None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            names[path] = name
            ends.callback(name.unlink, missing_ok=True)
    return names


def _draft_name() -> str:
    return f".{os.urandom(12).hex()}{DRAFT}"


def clear_drafts(folder: Path) -> None:
    """Remove the drafts that nobody writes any more."""
    with locked(folder):
        for path in folder.glob(f".*{DRAFT}"):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # gone meanwhile, or of another user
                if stat.S_ISREG(path.lstat().st_mode) and not _is_held(path):
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A regular file, open for reading; a link, pipe or folder is never opened.

    Raises
    ------
    NotFoundError
        There is none any more.
    ModelFileError
        It is no regular file, or this user may not read it.
    OverloadedError
        The process has as many files open as it may.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"Model file '{path.name}' not found. It was deleted just now.") from None
    except OSError as error:
        raise _not_opened(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise not_regular(path.name)
    with open(descriptor, "rb") as file:
        yield file


def _not_opened(path: Path, error: OSError) -> MillstreamError:
    if error.errno in _NO_MORE_FILES:
        return _no_more_files()
    if not path.is_symlink() and path.is_file():
        return ModelFileError(
            f"The file '{path.name}' cannot be read ({os.strerror(error.errno or 0).lower()}); "
            "mend its permissions, or remove it from the models' folder.",
            loc=("filename",),
        )
    return not_regular(path.name)


def _no_more_files() -> OverloadedError:
    return OverloadedError(
        "The server has as many files and connections open as the system lets it; try again, or raise its limit "
        "of open files.",
        retry_after=1,
    )


def not_regular(filename: str) -> ModelFileError:
    """The refusal of a name that stands for something else than a file."""
    return ModelFileError(
        f"'{filename}' is a link, pipe or folder; allowed are regular files; remove it from the models' folder.",
        loc=("filename",),
    )


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """Turn a full or read-only disk, a folder that is none, or too many open files, into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_MORE_FILES:
            raise _no_more_files() from None
        if error.errno in _FULL:
            message = "The disk of the models is full; nothing was changed; make room, then try again."
        elif error.errno in _UNUSABLE:
            message = (
                f"The folder of the models cannot be used ({os.strerror(error.errno).lower()}); "
                "nothing was changed; mend it or its permissions, or set LF_DATA_DIR, then try again."
            )
        else:
            raise
        raise StorageFullError(message) from None


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _lock(descriptor: int, operation: int) -> None:
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # A file system without locks: names still appear whole, and links still refuse one that is taken.


def _is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
