"""The errors of Sidekick's storage.

Promise: each names the file or the holder it is about, and what to type next. Refusal: none holds
the content of a record.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class StorageError(ConductorError):
    """Sidekick's storage failed."""

    code = "SIDEKICK_STORAGE_FAILED"
    default_hint = "check the disk and the permissions: ls -ld .sidekick; df -h ."


class StoreCorrupt(StorageError):
    """A store of Sidekick cannot be read."""

    code = "SIDEKICK_STORE_CORRUPT"
    default_hint = "look at the file, then repair it or move it away; nothing overwrites it"
    exit_code = Exit.INTEGRITY


class StoreBusy(StorageError):
    """Another process holds Sidekick's storage."""

    code = "SIDEKICK_STORE_BUSY"
    default_hint = "see what it does: ps -fp PID; then try again"
    retryable = True
    exit_code = Exit.BUSY


class StoreUnsafe(StorageError):
    """Sidekick's storage leads out of the workspace."""

    code = "SIDEKICK_STORE_UNSAFE"
    default_hint = "replace the symbolic link by a real directory: ls -l .sidekick"
    exit_code = Exit.BAD_CONFIG


class StoreClosed(StorageError):
    """Sidekick's storage was closed."""

    code = "SIDEKICK_STORE_CLOSED"
    default_hint = "open it again"


class StoreMisused(StorageError):
    """Sidekick's storage was given work that it cannot run."""

    code = "SIDEKICK_STORE_MISUSED"
    default_hint = "give a plain function that uses its view only while it runs"


class StoreNotEmpty(StorageError):
    """The storage to fill holds records already."""

    code = "SIDEKICK_STORE_NOT_EMPTY"
    default_hint = "move the old files away, or leave the setting sidekick.storage as it is"
