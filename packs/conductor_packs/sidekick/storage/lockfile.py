"""The lock that makes one process at a time the writer of a `.sidekick` directory.

Promise: the kernel keeps it and gives it back when the holder dies, however it dies; it is never
taken from a holder that lives. Refusal: no age, no process id and no content of the file decides
anything; what is written into it tells people whom they wait for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import time
from collections.abc import Generator

from conductor_packs.sidekick.storage.directory import translated
from conductor_packs.sidekick.storage.errors import StorageError, StoreBusy, StoreUnsafe
from conductor_packs.sidekick.storage.layout import LOCK

LOCK_WAIT_S = 15.0
"""How long a change waits for another process; shorter than a tool's deadline."""
_FIRST_PAUSE_S = 0.0005
_LAST_PAUSE_S = 0.005
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Held:
    """A lock that is held."""

    def __init__(self, root: int, descriptor: int, *, after_death: bool) -> None:
        self._root = root
        self._descriptor = descriptor
        self.after_death = after_death
        """Whether whoever had it before never gave it back: there may be something to tidy up."""

    def still_ours(self) -> bool:
        """Whether the file at the lock's name is still the one that we hold."""
        return _same(self._root, self._descriptor)


@contextlib.contextmanager
def held_lock(root: int, wait_s: float) -> Generator[Held]:
    """Hold the lock of the directory `root` for the length of a block.

    Raises:
        StoreBusy: Someone else still had it after `wait_s`; names the process.
        StoreUnsafe: The lock is a symbolic link.
    """
    descriptor = _acquire(root, wait_s)
    try:
        with translated(LOCK):
            after_death = os.fstat(descriptor).st_size > 0
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield Held(root, descriptor, after_death=after_death)
        # Not in a `finally`: after a failure the next holder looks for what is left.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
    finally:
        # Said aloud: a child that was forked meanwhile has the descriptor too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _acquire(root: int, wait_s: float) -> int:
    until = time.monotonic() + wait_s
    pause_s = _FIRST_PAUSE_S
    while True:
        descriptor = _open(root)
        try:
            # Whoever removes the lock file must not get two holders: only the file that has the
            # name counts, and it is looked at again before a commit.
            if _take(descriptor) and _same(root, descriptor):
                taken, descriptor = descriptor, -1
                return taken
            if time.monotonic() >= until:
                raise _busy(descriptor, wait_s)
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311  # spreads waiters, no secret
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def _open(root: int) -> int:
    try:
        return os.open(LOCK, _FLAGS, 0o600, dir_fd=root)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreUnsafe(f"{LOCK} is a link") from None
        raise StorageError(f"{LOCK}: {error.strerror}") from None


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(root: int, descriptor: int) -> bool:
    try:
        named = os.stat(LOCK, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _busy(descriptor: int, wait_s: float) -> StoreBusy:
    holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    pid = int(holder) if holder.isdigit() else None
    who = f"process {pid}" if pid is not None else "a process that has not said who it is"
    hint = None if pid is None else f"see what it does: ps -fp {pid}; then try again"
    data = {} if pid is None else {"pid": pid}
    return StoreBusy(f"{who}; waited {wait_s:g} s", hint=hint, data=data)
