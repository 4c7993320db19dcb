"""Files below one directory, opened so that no symbolic link leads anywhere else.

Promise: below the root every step is taken by descriptor and follows no link; the root itself must
lie in its workspace, links followed. What is made is private (0700, 0600). Refusal: nothing here
knows what is in a file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from conductor_packs.sidekick.storage.errors import StorageError, StoreUnsafe

D = TypeVar("D", int, int | None)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEADS_ELSEWHERE = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)


class Signature(NamedTuple):
    """Which version of a file: renaming keeps it, and every version that we write has its own."""

    mtime_ns: int
    size: int
    inode: int


def signature(status: os.stat_result) -> Signature:
    """Return the signature of a file's status."""
    return Signature(status.st_mtime_ns, status.st_size, status.st_ino)


@contextlib.contextmanager
def opened_root(root: Path, workspace: Path) -> Generator[int | None]:
    """Open the root for the length of a block; None where it is missing.

    Raises:
        StoreUnsafe: It lies outside of the workspace, or is no directory.
        StorageError: It cannot be opened.
    """
    real = os.path.realpath(root)
    home = os.path.realpath(workspace)
    if os.path.commonpath((real, home)) != home:
        raise StoreUnsafe(f"{root} -> {real}")
    with _closing(_open_directory(real, None, str(root))) as descriptor:
        yield descriptor


@contextlib.contextmanager
def made_root(root: Path, workspace: Path) -> Generator[int]:
    """Open the root for the length of a block; made where it is missing.

    Raises:
        StoreUnsafe: As `opened_root`.
        StorageError: It cannot be made or opened.
    """
    if not root.exists():
        with opened_root(root.parent, workspace), translated(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened_root(root, workspace) as descriptor:
        if descriptor is None:
            raise StorageError(f"{root} was removed meanwhile")
        yield descriptor


@contextlib.contextmanager
def opened_child(root: int, name: str) -> Generator[int | None]:
    """Open a directory below the root; None where it is missing.

    Raises:
        StoreUnsafe: It is a symbolic link, or no directory.
        StorageError: It cannot be opened.
    """
    with _closing(_open_directory(name, root, name)) as descriptor:
        yield descriptor


@contextlib.contextmanager
def made_child(root: int, name: str) -> Generator[int]:
    """Open a directory below the root; made, and its name synced, where it is missing.

    Raises:
        StoreUnsafe: As `opened_child`.
        StorageError: It cannot be made or opened.
    """
    descriptor = _open_directory(name, root, name)
    if descriptor is None:
        with translated(name):
            os.mkdir(name, 0o700, dir_fd=root)
            os.fsync(root)
        descriptor = _open_directory(name, root, name)
    if descriptor is None:
        raise StorageError(f"{name} was removed meanwhile")
    with _closing(descriptor) as opened:
        yield opened


@contextlib.contextmanager
def _closing(descriptor: D) -> Generator[D]:
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def names_in(directory: int) -> list[str]:
    """Return the names in a directory, sorted."""
    return sorted(os.listdir(directory))


def _open_directory(path: str, parent: int | None, shown: str) -> int | None:
    try:
        return os.open(path, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _LEADS_ELSEWHERE:
            raise StoreUnsafe(f"{shown} is a link or no directory") from None
        raise StorageError(f"{shown}: {error.strerror}") from None


def status_of(parent: int, path: str) -> Signature | None:
    """Return the signature of a regular file; None where there is none."""
    try:
        found = os.stat(path, dir_fd=parent, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise StoreUnsafe(f"{path} is no regular file")
    return signature(found)


def read_file(parent: int, name: str, *, start: int = 0) -> tuple[bytes, Signature] | None:
    """Return the bytes from `start` on, and which version they are of; None: there is no file.

    Raises:
        StoreUnsafe: It is a link, or no regular file.
        StorageError: It cannot be read.
    """
    try:
        descriptor = os.open(name, _READ, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _LEADS_ELSEWHERE:
            raise StoreUnsafe(f"{name} is a link") from None
        raise StorageError(f"{name}: {error.strerror}") from None
    with open(descriptor, "rb", buffering=0) as file, translated(name):  # noqa: PTH123  # by descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreUnsafe(f"{name} is no regular file")
        file.seek(start)
        return file.read(), signature(status)


def create_file(
    parent: int, name: str, content: Iterable[bytes], *, after: Signature | None = None
) -> Signature:
    """Write a new file and sync it; its mtime is later than `after`'s, whatever the clock says.

    Raises:
        OSError: As the system says; a part of the file may be there.
    """
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
    try:
        for part in content:
            write_all(descriptor, part)
        status = os.fstat(descriptor)
        if after is not None and status.st_mtime_ns <= after.mtime_ns:
            os.utime(descriptor, ns=(status.st_atime_ns, after.mtime_ns + 1))
        os.fsync(descriptor)
        return signature(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, however many calls that takes."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def remove_file(parent: int, name: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


@contextlib.contextmanager
def translated(what: object) -> Generator[None]:
    """Raise what the system says as a StorageError that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror}") from error
