"""The lock that makes one process the owner of a workspace's `sidecar.db`.

Promise: the kernel keeps it and gives it back when the owner dies, however it dies; whoever
cannot have it is told who has. Refusal: nothing is concluded from a process id; what is written
into the file only tells people whom they wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator

import msgspec

from conductor_sdk.clock import Clock, SystemClock, wire_time
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.workspace import Workspace, WorkspaceUnsafe

_FIRST_RETRY_S = 0.005
_LAST_RETRY_S = 0.1
_COMMAND_MAX = 200


class WorkspaceBusy(ConductorError):
    """Another process owns this workspace."""

    code = "WORKSPACE_BUSY"
    default_hint = "see what it does: conductor status"
    retryable = True
    exit_code = Exit.BUSY


class Holder(msgspec.Struct, frozen=True):
    """Who has the lock, as it described itself."""

    pid: int
    command: str
    since: str
    """UTC, ends in `Z`."""


class WorkspaceLock:
    """An exclusive `flock` on `.lumenflow/state/conductor/lock`. Not shared between tasks."""

    def __init__(self, workspace: Workspace, command: str, *, clock: Clock | None = None) -> None:
        """Describe a lock; nothing is opened yet.

        Args:
            workspace: What to own.
            command: How people know this process, for example `conductor sidecar`.
            clock: Gives the time since when the lock is held.
        """
        self._path = workspace.lock
        self._workspace = workspace
        self._command = command[:_COMMAND_MAX]
        self._clock = clock or SystemClock()
        self._opened: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._opened is not None

    async def acquire(self, timeout_s: float) -> None:
        """Take the lock; 0 seconds: at once or not at all.

        Makes the state directory where it is missing. A descriptor is never inherited by a
        program that this process starts.

        Raises:
            WorkspaceBusy: Someone else still had it after `timeout_s`; names the holder.
            WorkspaceUnsafe: The state directory leads elsewhere.
        """
        if self._opened is not None:
            return
        self._workspace.create()
        opened = self._open()
        try:
            if _take(opened) or (timeout_s > 0 and await _wait(opened, timeout_s)):
                self._describe(opened)
                self._opened = opened
                return
            holder = _read(opened)
        finally:
            if self._opened is None:
                os.close(opened)
        raise self._busy(holder, timeout_s)

    def release(self) -> None:
        """Give the lock back. Idempotent. The file stays: removing it would allow two owners."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(opened, 0)
            os.close(opened)

    @contextlib.asynccontextmanager
    async def hold(self, timeout_s: float) -> AsyncGenerator[None]:
        """Hold the lock for the length of a block.

        Raises:
            WorkspaceBusy: As `acquire`.
        """
        await self.acquire(timeout_s)
        try:
            yield
        finally:
            self.release()

    def holder(self) -> Holder | None:
        """Return who has the lock now; None when nobody has, or when it has not said."""
        try:
            opened = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if self._opened is None and _take(opened):
                return None
            return _read(opened)
        finally:
            os.close(opened)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o600)
        except OSError as error:
            raise WorkspaceUnsafe(f"{self._path}: {error.strerror}") from None

    def _describe(self, opened: int) -> None:
        holder = Holder(os.getpid(), self._command, wire_time(self._clock.now()))
        os.ftruncate(opened, 0)
        os.pwrite(opened, msgspec.json.encode(holder), 0)

    def _busy(self, holder: Holder | None, timeout_s: float) -> WorkspaceBusy:
        if holder is None:
            return WorkspaceBusy(f"{self._workspace.root} (it has not said who it is)")
        waited = f"; waited {timeout_s:g} s" if timeout_s > 0 else ""
        return WorkspaceBusy(
            f"{holder.command} (process {holder.pid}, since {holder.since}){waited}",
            data={"pid": holder.pid, "command": holder.command, "since": holder.since},
        )


def _take(opened: int) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _wait(opened: int, timeout_s: float) -> bool:
    """Ask again and again: a blocking `flock` in a thread could not be given up."""
    pause_s = _FIRST_RETRY_S
    try:
        async with asyncio.timeout(timeout_s):
            while not _take(opened):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LAST_RETRY_S)
    except TimeoutError:
        return False
    return True


def _read(opened: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(opened, 4096, 0), type=Holder)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
