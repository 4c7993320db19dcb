"""Opening a database that may be damaged: set it aside, keep what can be read, start anew.

Promise: the damaged file stays for inspection as `<name>.corrupt-<time>`, its report beside it as
`….json`, and the daemon starts; a crash in the middle is finished by the next start. Refusal: a
healthy file is never touched, and a file of a newer program is not called damaged.

A file is looked through (`PRAGMA quick_check`) only when the last process did not close it or its
header is wrong: a clean start stays fast.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from conductor_sdk.clock import Clock, epoch_ms
from conductor_state.connection import DEFAULTS, Connect, DatabaseSettings, connect_sqlite, prepare
from conductor_state.database import Database, no_crash
from conductor_state.errors import StoreCorrupt
from conductor_state.salvage import TableReport, copy_table, tables_of
from conductor_state.salvage_inbound import is_sound, repair_inbound
from conductor_state.schema import Schema

_HEADER = b"SQLite format 3\0"
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
    connect: Connect = connect_sqlite,
    crash_point: Callable[[str], None] = no_crash,
    suspect: str = "",
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
        crash_point=crash_point,
    )  # fmt: skip
    report = await asyncio.to_thread(_finish_swap, path)
    ailment = suspect or await asyncio.to_thread(_ailment, path)
    if not ailment:
        try:
            return await opening(), report
        except StoreCorrupt as error:
            ailment = error.detail
    report = await asyncio.to_thread(_replace, path, schema, clock, ailment)
    return await opening(), report


def _ailment(path: Path) -> str:
    """Return what is wrong with a file, "" if nothing is known to be."""
    if not path.exists() or not path.stat().st_size:
        return ""
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            return "the header is not that of a database"
    wal = path.with_name(path.name + "-wal")
    if not wal.exists() or not wal.stat().st_size:
        return ""
    try:
        with closing(_read_only(path)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return "" if isinstance(error, sqlite3.OperationalError) else str(error)
    return "" if found == "ok" else str(found)


def _replace(path: Path, schema: Schema, clock: Clock, reason: str) -> SalvageReport:
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    building = path.with_name(f"{path.name}.salvaging")
    for suffix in ("", "-wal", "-shm"):
        building.with_name(building.name + suffix).unlink(missing_ok=True)
    tables, lost = _salvage(path, building, schema, epoch_ms(clock.now()))
    report = SalvageReport(reason, str(aside), tables, lost)
    _report_path(path).write_bytes(msgspec.json.encode(report))
    building.rename(_salvaged(path))
    _finish_swap(path)
    return report


def _salvage(
    path: Path, building: Path, schema: Schema, now_ms: int
) -> tuple[list[TableReport], int]:
    lost = 0
    target = prepare(building, schema, DEFAULTS, connect_sqlite)
    with closing(target), closing(_read_only(path)) as source:
        names = [name for name in tables_of(target) if name not in _REBUILT]
        target.execute("BEGIN IMMEDIATE")
        reports = [copy_table(source, target, name, is_sound) for name in names]
        if "receipts" in names:
            lost = repair_inbound(target, now_ms)
        target.execute("COMMIT")
    return reports, lost


def _finish_swap(path: Path) -> SalvageReport | None:
    """Put a finished new file in place of the damaged one; again after a crash in the middle."""
    new, note = _salvaged(path), _report_path(path)
    if not note.exists():
        return None
    report = msgspec.json.decode(note.read_bytes(), type=SalvageReport)
    aside = Path(report.set_aside)
    if new.exists():
        # The log first: beside the new file it would be played into it.
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            log.rename(aside.with_name(f"{aside.name}-wal"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if path.exists():
            path.rename(aside)
        new.rename(path)
    elif not aside.exists():
        return None  # the crash came before the new file was complete
    note.rename(aside.with_name(f"{aside.name}.json"))
    return report


def _read_only(path: Path) -> sqlite3.Connection:
    """Open without changing a byte: what is set aside is what was found."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _salvaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _report_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged.json")
