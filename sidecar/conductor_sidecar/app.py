"""The composition root: the bill of materials of a sidecar.

Promise: concrete stores are named here and nowhere else. Refusal: nothing runs here but opening
and closing; what runs is `runtime`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec

from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.workspace import Workspace
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_sidecar.call_history import JournalCalls
from conductor_sidecar.enrollment import Grant
from conductor_sidecar.restoring.swap import finish_restore, stage_dir
from conductor_sidecar.settings import OutboxSettings, Settings
from conductor_sidecar.stores import Stores
from conductor_state.approvals import SqliteApprovals
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.enrollment import Enrollment, EnrollmentExpired
from conductor_state.errors import StoreCorrupt
from conductor_state.history import SqliteHistory
from conductor_state.history_records import HistoryRecords
from conductor_state.identity import CredentialFiles, read_enrollment, write_enrollment
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalCorrupt
from conductor_state.journal_recovery import open_or_set_aside
from conductor_state.lock import WorkspaceLock
from conductor_state.marks import SqliteMarks
from conductor_state.outbox import SqliteOutbox
from conductor_state.outbox_caps import Caps, OutboxCaps
from conductor_state.private_file import read_private
from conductor_state.quarantine import open_or_quarantine
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.snapshot import SqliteVault
from conductor_state.storage import DISK, Storage
from conductor_state.tool_results import SqliteToolResults

CrashPoint = Callable[[str], None]

__all__ = [
    "DISK", "Storage", "Stores", "credential_files", "enroll_workspace", "load_enrollment",
    "open_history", "open_journal", "open_stores", "read_private", "workspace_lock",
]  # fmt: skip


def no_crash(point: str) -> None:
    """Do nothing at a named crash point; fault suites pass a function that kills the process."""


def workspace_lock(workspace: Workspace, command: str) -> WorkspaceLock:
    """Return the lock that makes a process the owner of the workspace's stores."""
    return WorkspaceLock(workspace, command)


def load_enrollment(workspace: Workspace) -> Enrollment:
    """Read the workspace's enrollment, or the candidate of one that has expired.

    Raises:
        EnrollmentError: As `identity.read_enrollment`.
    """
    try:
        return read_enrollment(workspace)
    except EnrollmentExpired:
        clock = SystemClock()
        found = CredentialFiles(workspace, clock).candidate()
        if found is None or found.enrollment.expired(clock.now()):
            raise
        return found.enrollment


def credential_files(
    workspace: Workspace, clock: Clock, crash_point: CrashPoint = no_crash
) -> CredentialFiles:
    """Return the two files of a rotation."""
    return CredentialFiles(workspace, clock, crash_point)


async def enroll_workspace(
    workspace: Workspace, grant: Grant, conductor: str | None = None
) -> None:
    """Replace the workspace's enrollment by what a conductor granted, durably; journal it."""
    now = SystemClock().now()
    enrollment = Enrollment(
        grant.link, grant.credential, grant.subject, grant.expires_at, conductor, grant.version, now
    )
    write_enrollment(workspace, enrollment)
    journal = SqliteJournal(workspace.journal_db)
    try:
        await journal.create()
        facts = {"subject": grant.subject, "link": grant.link}
        await journal.append("ENROLLED", "operator", facts)
    finally:
        await journal.close()


def open_journal(workspace: Workspace, path: Path | None = None) -> SqliteJournal:
    """Return the workspace's journal; it opens at first use and creates nothing by reading."""
    return SqliteJournal(path or workspace.journal_db)


async def open_history(
    path: Path, *, storage: Storage = DISK
) -> SqliteHistory[HistoryEvent, Anchor, TokenRecord]:
    """Open an embedded conductor's memory; closing it closes the file."""
    database = await Database.open(
        path, schema=load_schema("conductor"), clock=SystemClock(), storage=storage
    )
    records = HistoryRecords(HistoryEvent, Anchor, TokenRecord)
    return await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, records)


@contextlib.asynccontextmanager
async def open_stores(
    workspace: Workspace, settings: Settings, *, clock: Clock,
    crash_point: CrashPoint = no_crash, storage: Storage = DISK,
) -> AsyncGenerator[Stores]:  # fmt: skip
    """Open a workspace's stores; the caller holds its lock.

    A database that is damaged is set aside and what can be read of it is kept: the daemon starts,
    and the journal says exactly what was lost. Damage that shows only later ends the block with
    `StoreCorrupt`, and the next start sets the file aside.
    """
    workspace.create()
    # What a crash has left of a restore is finished before anybody reads it.
    if stage_dir(workspace).exists():
        await asyncio.to_thread(finish_restore, workspace, crash_point)
    # A journal that was set aside says so itself, in the first entry of the new one.
    journal, _ = await open_or_set_aside(
        workspace.journal_db, clock=clock, crash_point=crash_point, storage=storage
    )
    try:
        database, stores = await _open_database(
            workspace, settings, journal, clock, crash_point, storage
        )
        try:
            yield stores
        except JournalCorrupt:
            raise  # the next start tries the journal out, and sets it aside
        except StoreCorrupt as error:
            with contextlib.suppress(OSError):  # then the next start finds the damage itself
                storage.write(_suspect(workspace), error.detail.encode())
            raise
        finally:
            await database.close()
    finally:
        await journal.close()


async def _open_database(
    workspace: Workspace, settings: Settings, journal: SqliteJournal, clock: Clock,
    crash_point: CrashPoint, storage: Storage,
) -> tuple[Database, Stores]:  # fmt: skip
    marker = _suspect(workspace)
    marked = storage.size(marker) is not None
    suspect = (storage.head(marker, 4096).decode(errors="replace") or "damage") if marked else ""
    while True:
        database, report = await open_or_quarantine(
            workspace.sidecar_db, schema=load_schema("sidecar"), clock=clock,
            crash_point=crash_point, suspect=suspect, storage=storage,
        )  # fmt: skip
        try:
            log = await SqliteReplayLog.open(database)
            outbox = await SqliteOutbox.open(database, caps=outbox_caps(settings.outbox))
            if report is not None:
                await outbox.mend()
                facts = msgspec.to_builtins(report)
                await journal.append("STORE_QUARANTINED", "sidecar", facts)
        except StoreCorrupt as error:
            await database.close()
            if suspect:
                raise  # what was salvaged is damaged again: this disk is not to be trusted
            suspect = error.detail or "damage"
        except BaseException:
            await database.close()
            raise
        else:
            storage.remove(marker)
            return database, Stores(
                log, SqliteDeadLetters(log), outbox, journal,
                SqliteApprovals(database), SqliteToolResults(database),
                JournalCalls(journal, SqliteMarks(database)), clock, SqliteVault(database),
                vitals=(database.vitals, journal.vitals),
            )  # fmt: skip


def _suspect(workspace: Workspace) -> Path:
    """Return where a run that met damage leaves word for the next start."""
    return workspace.sidecar_db.with_name("sidecar.db.suspect")


def outbox_caps(settings: OutboxSettings) -> OutboxCaps:
    """Translate the settings of the outbox."""

    def caps(of: object) -> Caps:
        names = ("max_events", "max_bytes", "max_age_s", "overflow")
        return Caps(**{name: getattr(of, name) for name in names})

    kinds = {kind: caps(section) for kind, section in settings.kinds.items()}
    return OutboxCaps(default=caps(settings), kinds=kinds)
