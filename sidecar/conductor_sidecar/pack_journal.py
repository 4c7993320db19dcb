"""The journal as a pack has it: its entries carry its name, its tables stand beside them.

Promise: what a pack writes and the entries that explain it are one commit. Refusal: a pack can
neither touch the journal's own tables, nor end the commit, nor write while it reads, nor sign as
the daemon or another pack.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

from conductor_sdk.chain.entry import Draft, EntryRefused
from conductor_sdk.context import JournalReceipt, JournalTransaction
from conductor_sdk.reading import TELLING_PRAGMAS, read_nothing, read_only
from conductor_sidecar.ports import Journal, JournalCommit, JournalState
from conductor_state.journal_errors import JournalMissing

T = TypeVar("T")

RESERVED_ACTORS = frozenset({"sidecar", "operator", "conductor"})
"""Who else signs entries: the daemon, a person at its commands, the control plane."""
_PACK = "pack:"
_JOURNAL = frozenset({"journal", "journal_log"})
"""Never a pack's, not even of a pack that is called so."""
_SCHEMA_TABLES = ("sqlite_master", "sqlite_temp_master", "sqlite_sequence", "sqlite_stat")
_WRITES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_FIRST_NAMES = frozenset({
    sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_VIEW, sqlite3.SQLITE_CREATE_VTABLE,
    sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_VIEW, sqlite3.SQLITE_DROP_VTABLE,
})  # fmt: skip
"""Changes of the schema whose first argument is the table; for others it is the second."""
_SECOND_NAMES = frozenset({
    sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_TRIGGER, sqlite3.SQLITE_ALTER_TABLE,
})  # fmt: skip
_NEVER = frozenset({sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
_OF_THE_FILE = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB,
})  # fmt: skip
"""SQL errors that say something of the journal's file, and not of a statement."""


class _OfTheWork(Exception):
    """Carries an SQL error of a pack's statements past those that are the journal's."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__()
        self.error = error


class PackJournal:
    """A pack's way to the workspace's journal; a `conductor_sdk.context.JournalPort`."""

    def __init__(
        self, slug: str, journal: Journal, *,
        actor: str | None = None, session_id: str = "", task_id: str = "",
    ) -> None:  # fmt: skip
        """Bind a pack to a journal.

        Args:
            slug: The pack's.
            journal: Where the entries go.
            actor: Who signs where a call names nobody; the pack itself by default.
            session_id: Of entries whose call names none.
            task_id: As `session_id`.
        """
        self._slug = slug
        self._journal = journal
        self._actor = checked_actor(slug, actor)
        self._session_id = session_id
        self._task_id = task_id

    async def append(self, event_type: str, payload: Mapping[str, Any]) -> int:
        """Append one entry, durable when this returns; returns its sequence number."""
        return await self._journal.append(
            event_type, self._actor, payload, session_id=self._session_id, task_id=self._task_id
        )

    async def transaction(self, work: Callable[[JournalTransaction], T]) -> T:
        """Run `work` in one commit with the entries that it appends, off the event loop.

        Durable when this returns; an exception of `work` rolls everything back and is raised, one
        of its own SQL statements included.

        Raises:
            EntryRefused: An entry has the wrong shape, or its actor is someone else's name.
            StateError: Nothing was written: busy, full, corrupt, …
        """

        def run(commit: JournalCommit) -> T:
            own = _OwnTransaction(commit, self._slug, self._defaults())
            with own.guarded():
                return work(own)

        return await self._journal.transaction(run)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one state of the file, off the event loop; it may run again.

        It may read every table and change none; without a file it finds an empty database.

        Raises:
            StateError: The file cannot be read: busy, corrupt, …
        """

        def run(state: JournalState) -> T:
            with read_only(state.connection):
                try:
                    return work(state.connection)
                except sqlite3.Error as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_FILE:
                        raise
                    raise _OfTheWork(error) from None

        try:
            return await self._journal.view(run)
        except JournalMissing:
            return await asyncio.to_thread(read_nothing, work)
        except _OfTheWork as carrier:
            raise carrier.error from None

    def _defaults(self) -> tuple[str, str, str]:
        return self._actor, self._session_id, self._task_id


class _OwnTransaction:
    """`JournalTransaction` over the journal's own; on its thread, within one call."""

    def __init__(self, commit: JournalCommit, slug: str, defaults: tuple[str, str, str]) -> None:
        self._commit = commit
        self._slug = slug
        name = slug.replace("-", "_")
        self._prefix, self._plural = f"{name}_", f"{name}s"
        self._actor, self._session_id, self._task_id = defaults

    @property
    def connection(self) -> sqlite3.Connection:
        """For the pack's own tables, `<slug>s` and `<slug>_…`; others can only be read."""
        return self._commit.connection

    def append(
        self, event_type: str, payload: Mapping[str, Any], *,
        actor: str | None = None, session_id: str | None = None, task_id: str | None = None,
    ) -> JournalReceipt:  # fmt: skip
        """Append one entry; the receipt holds once the commit is through."""
        draft = Draft(
            event_type,
            self._actor if actor is None else checked_actor(self._slug, actor),
            payload,
            self._session_id if session_id is None else session_id,
            self._task_id if task_id is None else task_id,
        )
        self.connection.set_authorizer(None)
        try:
            entry = self._commit.append(draft)
        finally:
            self.connection.set_authorizer(self._authorize)
        return JournalReceipt(entry.sequence, entry.hash)

    @contextlib.contextmanager
    def guarded(self) -> Generator[None]:
        """Keep the pack's statements to its own tables inside the block."""
        self.connection.set_authorizer(self._authorize)
        try:
            yield
        finally:
            self.connection.set_authorizer(None)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _WRITES:
            allowed = self._is_own(first) or (first or "").startswith(_SCHEMA_TABLES)
        elif action in _FIRST_NAMES:
            allowed = self._is_own(first)
        elif action in _SECOND_NAMES:
            allowed = self._is_own(second)
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in TELLING_PRAGMAS
        else:
            allowed = action not in _NEVER
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _is_own(self, table: str | None) -> bool:
        name = (table or "").lower()
        own = name.startswith(self._prefix) or name == self._plural
        return own and name not in _JOURNAL


def checked_actor(slug: str, actor: str | None) -> str:
    """Return who signs a pack's entries.

    Raises:
        EntryRefused: The name is the daemon's or another pack's.
    """
    own = f"{_PACK}{slug}"
    if actor is None or actor == own:
        return own
    if actor in RESERVED_ACTORS or actor.startswith(_PACK):
        raise EntryRefused(f"the pack {slug} cannot sign as {actor!r}")
    return actor
