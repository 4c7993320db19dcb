"""What can go wrong with a store.

Promise: every failure of a database reaches the caller as one of these, with a stable code, and a
failed call left nothing behind. Refusal: no `sqlite3` exception leaves this package.
"""

from __future__ import annotations

import sqlite3

from conductor_sdk.errors import ConductorError, Exit


class StateError(ConductorError):
    """A store failed."""

    code = "STATE_FAILED"


class StoreFull(StateError):
    """The disk is full: nothing of the call was stored."""

    code = "STORE_FULL"
    retryable = True
    default_hint = "free disk space, then run: conductor doctor"


class StoreLocked(StateError):
    """Another process holds the database."""

    code = "STORE_LOCKED"
    retryable = True
    default_hint = "close other programs that use the workspace, then run: conductor doctor"
    exit_code = Exit.BUSY


class StoreIOError(StateError):
    """The disk failed while reading or writing a store."""

    code = "STORE_IO"
    retryable = True
    default_hint = "look at the disk and its permissions, then run: conductor doctor"


class StoreCorrupt(StateError):
    """The file is not a healthy database."""

    code = "STORE_CORRUPT"
    default_hint = "run: conductor sidecar; it sets the file aside and keeps what can be read"
    exit_code = Exit.INTEGRITY


class StoreClosed(StateError):
    """The store is closed."""

    code = "STORE_CLOSED"


class SchemaTooNew(StateError):
    """The database was written by a newer version of this program."""

    code = "SCHEMA_TOO_NEW"
    default_hint = "install that version or newer; an older one cannot read the file"
    exit_code = Exit.BAD_CONFIG


class ApprovalNotFound(StateError):
    """No approval has that id."""

    code = "APPROVAL_NOT_FOUND"
    default_hint = "run: conductor approvals list"
    exit_code = Exit.NOT_FOUND


class ApprovalDecided(StateError):
    """The approval was decided before."""

    code = "APPROVAL_DECIDED"
    default_hint = "run: conductor approvals list"


_BY_PRIMARY_CODE: dict[int, type[StateError]] = {
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_BUSY: StoreLocked,
    sqlite3.SQLITE_LOCKED: StoreLocked,
    sqlite3.SQLITE_CORRUPT: StoreCorrupt,
    sqlite3.SQLITE_NOTADB: StoreCorrupt,
    sqlite3.SQLITE_IOERR: StoreIOError,
    sqlite3.SQLITE_CANTOPEN: StoreIOError,
    sqlite3.SQLITE_READONLY: StoreIOError,
    sqlite3.SQLITE_PERM: StoreIOError,
    sqlite3.SQLITE_PROTOCOL: StoreLocked,
}
_PRIMARY = 0xFF
"""SQLite keeps the primary code in the low byte of an extended one."""


def state_error(error: sqlite3.Error, where: str) -> StateError:
    """Translate what SQLite said into the layer's own words; `where` is a file or an operation."""
    code = getattr(error, "sqlite_errorcode", None)
    kind = _BY_PRIMARY_CODE.get(code & _PRIMARY, StateError) if isinstance(code, int) else None
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return (kind or StateError)(f"{where}: {error} ({name})")
