"""The composition root: the bill of materials of a sidecar.

Promise: concrete stores are named here and nowhere else. Refusal: nothing runs here but opening
and closing; what runs is `runtime`'s.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from conductor_adapters.http import HttpPusher
from conductor_adapters.transport import Adapter, LinkOptions, Transport
from conductor_handlers.dispatcher import Dispatcher, DispatchSettings
from conductor_handlers.registry import Registry
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_protocol.messages import Head, Limits
from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_sidecar import __version__
from conductor_sidecar.credentials import Credentials, Identity
from conductor_sidecar.desk import StoreDesk
from conductor_sidecar.downlink import Downlink
from conductor_sidecar.enrollment import Grant
from conductor_sidecar.errors import AdapterNotFound
from conductor_sidecar.fallback import HttpFallback, http_base
from conductor_sidecar.feed import Feed
from conductor_sidecar.keeper import Keeper
from conductor_sidecar.packs import BoundPacks, Surroundings
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.settings import OutboxSettings, Settings
from conductor_sidecar.uplink import Uplink
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.enrollment import Enrollment
from conductor_state.errors import StoreCorrupt
from conductor_state.history import SqliteHistory
from conductor_state.history_records import HistoryRecords
from conductor_state.identity import read_enrollment, write_enrollment
from conductor_state.journal import SqliteJournal
from conductor_state.journal_recovery import open_or_set_aside
from conductor_state.lock import WorkspaceLock
from conductor_state.outbox import SqliteOutbox
from conductor_state.outbox_caps import Caps, OutboxCaps
from conductor_state.private_file import read_private
from conductor_state.quarantine import open_or_quarantine
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema

CrashPoint = Callable[[str], None]
SOFTWARE = f"conductor-sidecar/{__version__}"

__all__ = [
    "Stores", "build_daemon", "enroll_workspace", "load_enrollment",
    "open_history", "open_journal",
    "open_stores", "read_private", "workspace_lock",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stores:
    """The open stores of one workspace."""

    database: Database
    log: SqliteReplayLog
    dead_letters: SqliteDeadLetters
    outbox: SqliteOutbox
    journal: SqliteJournal
    clock: Clock

    @property
    def desk(self) -> StoreDesk:
        """The operator's hands on these stores."""
        return StoreDesk(self.log, self.dead_letters, self.outbox, self.journal, self.clock)


def no_crash(point: str) -> None:
    """Do nothing at a named crash point; fault suites pass a function that kills the process."""


def workspace_lock(workspace: Workspace, command: str) -> WorkspaceLock:
    """Return the lock that makes a process the owner of the workspace's stores."""
    return WorkspaceLock(workspace, command)


def load_enrollment(workspace: Workspace) -> Enrollment:
    """Read the workspace's enrollment; raises as `identity.read_enrollment`."""
    return read_enrollment(workspace)


async def enroll_workspace(workspace: Workspace, grant: Grant) -> None:
    """Replace the workspace's enrollment by what the conductor granted, durably; journal it."""
    enrollment = Enrollment(grant.link, Secret(grant.credential), grant.subject, grant.expires_at)
    write_enrollment(workspace, enrollment)
    journal = SqliteJournal(workspace.journal_db)
    try:
        await journal.create()
        facts = {"subject": grant.subject, "link": grant.link}
        await journal.append("ENROLLED", "operator", facts)
    finally:
        await journal.close()


def open_journal(workspace: Workspace) -> SqliteJournal:
    """Return the workspace's journal; it opens at first use and creates nothing by reading."""
    return SqliteJournal(workspace.journal_db)


async def open_history(path: Path) -> SqliteHistory[HistoryEvent, Anchor, TokenRecord]:
    """Open an embedded conductor's memory; closing it closes the file."""
    database = await Database.open(path, schema=load_schema("conductor"), clock=SystemClock())
    records = HistoryRecords(HistoryEvent, Anchor, TokenRecord)
    return await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, records)


@contextlib.asynccontextmanager
async def open_stores(
    workspace: Workspace, settings: Settings, *, clock: Clock, crash_point: CrashPoint = no_crash
) -> AsyncGenerator[Stores]:
    """Open a workspace's stores; the caller holds its lock.

    A database that is damaged is set aside and what can be read of it is kept: the daemon starts,
    and the journal says exactly what was lost. Damage that shows only later ends the block with
    `StoreCorrupt`, and the next start sets the file aside.
    """
    workspace.create()
    # A journal that was set aside says so itself, in the first entry of the new one.
    journal, _ = await open_or_set_aside(workspace.journal_db, clock=clock, crash_point=crash_point)
    try:
        stores = await _open_database(workspace, settings, journal, clock, crash_point)
        try:
            yield stores
        except StoreCorrupt as error:
            _suspect(workspace).write_text(error.detail, encoding="utf-8")
            raise
        finally:
            await stores.database.close()
    finally:
        await journal.close()


async def _open_database(
    workspace: Workspace, settings: Settings, journal: SqliteJournal, clock: Clock,
    crash_point: CrashPoint,
) -> Stores:  # fmt: skip
    marker = _suspect(workspace)
    suspect = marker.read_text(encoding="utf-8") or "damage" if marker.exists() else ""
    while True:
        database, report = await open_or_quarantine(
            workspace.sidecar_db, schema=load_schema("sidecar"), clock=clock,
            crash_point=crash_point, suspect=suspect,
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
            marker.unlink(missing_ok=True)
            return Stores(database, log, SqliteDeadLetters(log), outbox, journal, clock)


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


def find_adapter(name: str) -> Adapter:
    """Import an adapter by its entry point.

    Raises:
        AdapterNotFound: None of that name is installed.
    """
    found = {entry.name: entry for entry in metadata.entry_points(group="conductor.adapters")}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise AdapterNotFound(
            f"{name!r}; installed: {known}", hint="set link.adapter to an installed one"
        )
    adapter: Adapter = found[name].load()
    return adapter


def build_daemon(
    workspace: Workspace, settings: Settings, stores: Stores, registry: Registry, *,
    identity: Identity, read_identity: Callable[[], Identity],
) -> tuple[Daemon, Parts]:  # fmt: skip
    """Put a daemon together; nothing runs yet."""
    clock, feed, subject = stores.clock, Feed(stores.clock), identity.subject
    around = _Around(workspace, settings, stores, feed, subject)
    credentials = Credentials(identity, workspace.enrollment, read_identity, feed)
    uplink = Uplink(stores.outbox, lambda kind: registry.policy(kind) or "queue", feed)
    packs = BoundPacks(registry, around.surroundings(uplink), settings)
    dispatcher = Dispatcher(
        stores.log, packs.routes, clock, random=random.random, observer=feed,
        settings=DispatchSettings(concurrency=settings.dispatch.concurrency),
    )  # fmt: skip
    downlink = Downlink(
        stores.log, dispatcher, stores.journal, clock,
        window=settings.dispatch.window, observer=feed, subject=subject,
    )  # fmt: skip
    keeper = _keeper(around, downlink, uplink, packs, credentials)
    fallback = _fallback(around, keeper, identity)
    parts = Parts(
        workspace.shown, subject, settings, clock, stores.desk, feed, dispatcher, downlink,
        uplink, keeper, fallback, packs,
    )  # fmt: skip
    return Daemon(parts), parts


@dataclass(frozen=True, slots=True)
class _Around:
    workspace: Workspace
    settings: Settings
    stores: Stores
    feed: Feed
    subject: str

    def surroundings(self, uplink: Uplink) -> Surroundings:
        return Surroundings(
            store=self.stores.log, publisher=uplink, journal=self.stores.journal,
            clock=self.stores.clock, feed=self.feed, subject=self.subject,
            workspace=self.workspace.root, pack_db=self.workspace.pack_db,
            max_event_bytes=Limits().max_event_bytes,
        )  # fmt: skip


def _keeper(
    around: _Around, downlink: Downlink, uplink: Uplink, packs: BoundPacks,
    credentials: Credentials,
) -> Keeper:  # fmt: skip
    link, reconnect = around.settings.link, around.settings.reconnect
    adapter = find_adapter(link.adapter)
    options = LinkOptions(
        open_timeout_s=link.open_timeout_s, ca_file=link.ca_file,
        allow_plaintext=link.allow_plaintext,
    )  # fmt: skip

    async def connect(moved_to: str | None) -> Transport:
        now = credentials.current()
        return await adapter.connect(moved_to or now.address, now.credential, options)

    async def head() -> Head | None:
        try:
            return Head(*await around.stores.journal.head())
        except ConductorError as error:
            around.feed.failed(error)
            return None

    policy = BackoffPolicy(first_spread_s=reconnect.first_spread_s, cap_s=reconnect.cap_s)
    return Keeper(
        connect, downlink=downlink, uplink=uplink, feed=around.feed, clock=around.stores.clock,
        backoff=Backoff(policy, random.random), cursor=around.stores.log.cursor, head=head,
        packs=packs.notices, software=SOFTWARE, adapter=link.adapter,
        address=credentials.current().address, changed=credentials.changed,
    )  # fmt: skip


def _fallback(around: _Around, keeper: Keeper, identity: Identity) -> HttpFallback | None:
    link, address = around.settings.link, identity.address
    if link.http_fallback_after_s is None or not address.startswith(("ws://", "wss://")):
        return None
    pusher = HttpPusher(
        http_base(address), identity.credential, ca_file=link.ca_file,
        allow_plaintext=link.allow_plaintext,
    )  # fmt: skip
    return HttpFallback(
        pusher, around.stores.outbox, keeper, around.stores.clock, around.feed,
        subject=around.subject, after_s=link.http_fallback_after_s,
    )  # fmt: skip
