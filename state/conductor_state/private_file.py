"""Files that hold a secret: read with suspicion, written all or nothing.

Promise: what is read belongs to this user alone, is a plain file and is not reached through a
symbolic link as its last step; a write is durable and complete or has not happened. Refusal: an
unsafe file is not repaired silently, because whoever could read it may have read it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from conductor_sdk.errors import ConductorError, Exit

SIZE_MAX = 65_536


def no_crash(point: str) -> None:
    """Do nothing at a named crash point; fault suites pass a function that dies."""


class PrivateFileRefused(ConductorError):
    """The file is not private to this user, so it is not used."""

    code = "PRIVATE_FILE_REFUSED"
    default_hint = "look at it: ls -l FILE"
    exit_code = Exit.TOKEN_REFUSED


def read_private(path: Path) -> bytes:
    """Read a whole file of at most 64 KiB that only this user can read.

    Raises:
        FileNotFoundError: There is none.
        PrivateFileRefused: A symbolic link, not a plain file, of another user, readable by
            others, or too long; the hint is the command that mends it.
    """
    quoted = shlex.quote(str(path))
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            hint = f"name the file itself: readlink -f {quoted}"
            raise PrivateFileRefused(f"{path} is a symbolic link", hint=hint) from None
        raise PrivateFileRefused(
            f"{path}: {error.strerror}", hint=f"look at it: ls -l {quoted}"
        ) from None
    try:
        _check(path, quoted, os.fstat(opened))
        with os.fdopen(opened, "rb", closefd=False) as file:
            data = file.read(SIZE_MAX + 1)
    finally:
        os.close(opened)
    if len(data) > SIZE_MAX:
        del data  # a traceback that shows local variables must not show it
        raise PrivateFileRefused(f"{path} is longer than {SIZE_MAX} bytes")
    return data


def write_private(
    path: Path, data: bytes, *, crash_point: Callable[[str], None] = no_crash
) -> None:
    """Replace a file by `data`, mode 0600, in one step that a power cut cannot split.

    Args:
        path: The file.
        data: All of it.
        crash_point: Called with `drafted`, `synced`, `replaced` and `durable`, for fault suites.

    Raises:
        OSError: Nothing has changed.
    """
    opened, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(opened, "wb") as file:  # mkstemp has made it with mode 0600
            file.write(data)
            file.flush()
            crash_point("drafted")
            os.fsync(file.fileno())
        crash_point("synced")
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    crash_point("replaced")
    sync_directory(path.parent)
    crash_point("durable")


def remove_private(path: Path) -> None:
    """Remove a file, durably; one that is not there is fine."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove_drafts(path: Path, *, older_than: float) -> int:
    """Remove what killed writers of a file left half done; returns how many there were.

    Args:
        path: The file that they were to replace.
        older_than: Seconds since the epoch; a younger draft may be somebody's who still writes.
    """
    removed = 0
    for draft in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if draft.lstat().st_mtime < older_than:
                draft.unlink()
                removed += 1
    return removed


def sync_directory(path: Path) -> None:
    """Make the names in a directory as durable as its files."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check(path: Path, quoted: str, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise PrivateFileRefused(f"{path} is not a plain file", hint=f"look at it: ls -l {quoted}")
    if facts.st_uid != os.geteuid():
        raise PrivateFileRefused(
            f"{path} belongs to user {facts.st_uid}", hint=f"run: chown $(id -u) {quoted}"
        )
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise PrivateFileRefused(
            f"{path} is open to other users (mode {stat.S_IMODE(facts.st_mode):04o})",
            hint=f"run: chmod 600 {quoted}",
        )
