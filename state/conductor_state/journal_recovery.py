"""Opening a journal that may be damaged: set it aside, begin a new log that says so.

Promise: the daemon gets a journal that it can append to; the damaged file stays beside it,
unchanged, for whoever looks into it, and the new log's first entry names it and counts what can
still be read. Refusal: nothing is repaired or copied over: a mended chain would prove nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from conductor_sdk.clock import Clock
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalCorrupt

EVENT_TYPE = "JOURNAL_SET_ASIDE"


class SetAside(msgspec.Struct, frozen=True):
    """What became of a damaged journal."""

    file: str
    """Name of the file that was set aside, in the same directory."""
    log_id: str
    """"" where it cannot be read."""
    readable: int
    """Entries that can be read in it."""
    sound: int
    """Entries before the first fault."""
    head: str
    """Stored hash of the last readable entry."""
    reason: str

    def as_json(self) -> dict[str, object]:
        """Return the payload of the journal's entry."""
        return msgspec.structs.asdict(self)


async def open_or_set_aside(
    path: Path, *, clock: Clock, crash_point: Callable[[str], None] | None = None
) -> tuple[SqliteJournal, SetAside | None]:
    """Open a workspace's journal for appending, made where it is missing.

    The caller holds the workspace's lock, so that only one process ever sets a file aside. A
    crash between setting aside and the new log's first entry leaves an empty new log.

    Raises:
        StateError: Busy, full, too new: anything but damage.
    """
    journal = _journal(path, clock, crash_point)
    try:
        await journal.create()
        await journal.head()
    except JournalCorrupt:
        verdict = await journal.verify()
        await journal.close()
    except BaseException:
        await journal.close()
        raise
    else:
        return journal, None
    target = await asyncio.to_thread(_move, path, f"{clock.now():%Y%m%dT%H%M%SZ}")
    sound = verdict.size if verdict.first_bad is None else min(verdict.first_bad - 1, verdict.size)
    report = SetAside(
        target.name, verdict.log_id, verdict.size, sound, verdict.head,
        f"{verdict.reason}: {verdict.detail}",
    )  # fmt: skip
    journal = _journal(path, clock, crash_point)
    try:
        await journal.append(EVENT_TYPE, "sidecar", report.as_json())
    except BaseException:
        await journal.close()
        raise
    return journal, report


def _journal(path: Path, clock: Clock, crash_point: Callable[[str], None] | None) -> SqliteJournal:
    if crash_point is None:
        return SqliteJournal(path, clock=clock)
    return SqliteJournal(path, clock=clock, crash_point=crash_point)


def _move(path: Path, stamp: str) -> Path:
    """Rename the file and, first, its rollback journal, which must never meet a new file."""
    number = 0
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    rollback = path.with_name(f"{path.name}-journal")
    if rollback.exists():
        rollback.rename(target.with_name(f"{target.name}-journal"))
    path.rename(target)
    return target
