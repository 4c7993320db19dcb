"""Errors of the journal's store, beside the ones that all stores share."""

from __future__ import annotations

import sqlite3

from conductor_sdk.errors import Exit
from conductor_state.errors import StateError, StoreCorrupt, StoreLocked, state_error

_PRIMARY = 0xFF
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_MISMATCH,
})  # fmt: skip
"""Our statements are fixed, so an SQL error means that tables or guards are not ours any more."""


class JournalMissing(StateError):
    """There is no journal in this workspace."""

    code = "JOURNAL_MISSING"
    default_hint = (
        "name the workspace: --workspace DIRECTORY; a sidecar makes it: conductor sidecar"
    )
    exit_code = Exit.NOT_FOUND


class JournalBusy(StoreLocked):
    """Another process kept the journal locked for too long."""

    code = "JOURNAL_BUSY"
    default_hint = "find who holds it: fuser .lumenflow/state/conductor/journal.db"


class JournalCorrupt(StoreCorrupt):
    """The journal is damaged or was changed; nothing is appended to it."""

    code = "JOURNAL_CORRUPT"
    default_hint = "run: conductor log verify"


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether another connection was in the way, so that asking again may help."""
    return _primary(error) in _BUSY


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the content of the file is to blame, and not the disk or a lock."""
    return _primary(error) in _DAMAGED


def journal_error(error: sqlite3.Error, where: str) -> StateError:
    """Translate what SQLite said; `where` is the file."""
    if is_busy(error):
        return JournalBusy(where)
    if is_damage(error):
        return JournalCorrupt(f"{where}: {error}")
    return state_error(error, where)


def _primary(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & _PRIMARY if isinstance(code, int) else None
