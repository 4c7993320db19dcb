"""Opening a database that may be damaged: set it aside, keep what can be read, start anew.

Promise: the damaged file stays for inspection as `<name>.corrupt-<time>`, its report beside it as
`….json`, and the daemon starts; a crash in the middle is finished by the next start. Refusal: a
healthy file is never touched, and a file of a newer program is not called damaged.

The statements of its tables are compared at every start. A file is looked through (`PRAGMA
quick_check`) when it is small, or when the last process did not close it: a clean start on a large
one stays fast, and `conductor doctor` looks through that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from conductor_sdk.clock import Clock, epoch_ms
from conductor_state.connection import DEFAULTS, Connect, DatabaseSettings, prepare
from conductor_state.database import Database, no_crash
from conductor_state.errors import StoreCorrupt
from conductor_state.salvage import TableReport, copy_table
from conductor_state.salvage_inbound import is_sound, repair_inbound
from conductor_state.salvage_schema import forget, readable, schema_of
from conductor_state.schema import Schema
from conductor_state.storage import DISK, Storage, wrong_header

_NOTE_MAX = 1 << 20
_SMALL_BYTES = 8 << 20
"""Looking through so much takes about ten milliseconds."""
_REBUILT = frozenset({
    "key_partitions", "key_buckets", "key_filters",
    "outbox_ids_0", "outbox_ids_1", "outbox_ids_state",
})  # fmt: skip
"""Tables that only repeat what others hold: made again, not copied."""


class SalvageReport(msgspec.Struct, frozen=True):
    """What was wrong, where the file is now, and what the new one holds of it."""

    reason: str
    set_aside: str
    tables: list[TableReport]
    inbound_events_lost: int = 0
    """Waiting events and dead letters that are gone; counted as dropped{lost}."""

    @property
    def kept(self) -> int:
        """Rows that were kept, all tables together."""
        return sum(table.kept for table in self.tables)


async def open_or_quarantine(
    path: Path,
    *,
    schema: Schema,
    clock: Clock,  # also dates the file that is set aside
    settings: DatabaseSettings = DEFAULTS,
    connect: Connect | None = None,
    crash_point: Callable[[str], None] = no_crash,
    suspect: str = "",
    storage: Storage = DISK,
) -> tuple[Database, SalvageReport | None]:
    """Open a database as `Database.open` does; a damaged file is replaced by what it still holds.

    `suspect` says why the file must be replaced although it opens, for example the text of a
    `StoreCorrupt` that a store raised later; the rest is as for `Database.open`.

    Returns:
        The database, and a report if the file was replaced.

    Raises:
        SchemaTooNew: A newer program wrote the file.
        StateError: The file cannot be opened for another reason than damage.
    """
    opening = partial(
        Database.open, path, schema=schema, clock=clock, settings=settings, connect=connect,
        crash_point=crash_point, storage=storage,
    )  # fmt: skip
    report = await storage.run(_finish_swap, path, storage)
    ailment = suspect or await storage.run(_ailment, path, schema, storage)
    if not ailment:
        try:
            return await opening(), report
        except StoreCorrupt as error:
            ailment = error.detail
    report = await storage.run(_replace, path, schema, clock, ailment, storage)
    return await opening(), report


def _ailment(path: Path, schema: Schema, storage: Storage) -> str:
    """Return what is wrong with a file, "" if nothing is known to be."""
    size = storage.size(path)
    if not size:
        return ""
    # A first write that a power cut has split: its rollback journal undoes it.
    unborn = bool(storage.size(path.with_name(f"{path.name}-journal")))
    if not unborn and wrong_header(path, storage):
        return "the header is not that of a database"
    closed = not storage.size(path.with_name(f"{path.name}-wal"))
    try:
        with closing(storage.connect_read_only(path)) as connection:
            if not schema.is_of(connection):
                return "the schema is not what this program wrote"
            if closed and size > _SMALL_BYTES:
                return ""
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except UnicodeDecodeError:
        return "the schema is not text"
    except sqlite3.DatabaseError as error:
        return "" if isinstance(error, sqlite3.OperationalError) else str(error)
    return "" if found == "ok" else str(found)


def _replace(
    path: Path, schema: Schema, clock: Clock, reason: str, storage: Storage
) -> SalvageReport:
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    building = path.with_name(f"{path.name}.salvaging")
    for suffix in ("", "-wal", "-shm"):
        storage.remove(building.with_name(building.name + suffix))
    tables, lost = _salvage(path, building, schema, epoch_ms(clock.now()), storage)
    report = SalvageReport(reason, str(aside), tables, lost)
    storage.write(_report_path(path), msgspec.json.encode(report))
    storage.rename(building, _salvaged(path))
    _finish_swap(path, storage)
    return report


def _salvage(
    path: Path, building: Path, schema: Schema, now_ms: int, storage: Storage
) -> tuple[list[TableReport], int]:
    lost = 0
    target = prepare(building, schema, DEFAULTS, storage=storage)
    tables = schema_of(target)
    with closing(target), closing(readable(path, tables, schema.version, storage)) as source:
        names = [name for name in tables if name not in _REBUILT]
        target.execute("BEGIN IMMEDIATE")
        reports = [copy_table(source, target, name, is_sound) for name in names]
        if "receipts" in names:
            lost = repair_inbound(target, now_ms)
        target.execute("COMMIT")
    forget(path, storage)
    return reports, lost


def _finish_swap(path: Path, storage: Storage) -> SalvageReport | None:
    """Put a finished new file in place of the damaged one; again after a crash in the middle."""
    new, note = _salvaged(path), _report_path(path)
    if storage.size(note) is None:
        return None
    report = msgspec.json.decode(storage.head(note, _NOTE_MAX), type=SalvageReport)
    aside = Path(report.set_aside)
    if storage.size(new) is not None:
        # The log first: beside the new file it would be played into it.
        log = path.with_name(f"{path.name}-wal")
        if storage.size(log):
            storage.rename(log, aside.with_name(f"{aside.name}-wal"))
        for suffix in ("-wal", "-shm"):
            storage.remove(path.with_name(path.name + suffix))
        if storage.size(path) is not None:
            storage.rename(path, aside)
        storage.rename(new, path)
    elif storage.size(aside) is None:
        return None  # the crash came before the new file was complete
    storage.rename(note, aside.with_name(f"{aside.name}.json"))
    return report


def _salvaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _report_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged.json")
