"""Opening a journal that may be damaged: set it aside, begin a new log that says so.

Promise: the daemon gets a journal that it can append to; the damaged file stays beside it,
unchanged, for whoever looks into it, and the new log's first entry names it and counts what can
still be read. Refusal: nothing is repaired or copied over: a mended chain would prove nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from conductor_sdk.chain.entry import Draft
from conductor_sdk.chain.verdict import Verdict
from conductor_sdk.clock import Clock
from conductor_state.database import no_crash
from conductor_state.errors import StoreIOError
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalCorrupt
from conductor_state.journal_transaction import JournalTransaction
from conductor_state.storage import DISK, Storage, wrong_header

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
        return {name: _shown(value) for name, value in msgspec.structs.asdict(self).items()}


def _shown(value: object) -> object:
    """Return what was read of a damaged file as JSON: text may be none, or no text at all."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    text = value if isinstance(value, str) else None
    return value if text is None else text.encode("utf-8", "backslashreplace").decode()


async def open_or_set_aside(
    path: Path,
    *,
    clock: Clock,
    crash_point: Callable[[str], None] = no_crash,
    storage: Storage = DISK,
) -> tuple[SqliteJournal, SetAside | None]:
    """Open a workspace's journal for appending, made where it is missing.

    The caller holds the workspace's lock, so that only one process ever sets a file aside. A
    crash between setting aside and the new log's first entry leaves an empty new log.

    Raises:
        StateError: Busy, full, too new: anything but damage.
    """
    journal = SqliteJournal(path, clock=clock, crash_point=crash_point, storage=storage)
    try:
        await journal.create()
        await _try_out(journal)
    except (JournalCorrupt, StoreIOError) as error:
        if not isinstance(error, JournalCorrupt) and not wrong_header(path, storage):
            await journal.close()
            raise
        verdict = await journal.verify()
        await journal.close()
    except BaseException:
        await journal.close()
        raise
    else:
        return journal, None
    target = await storage.run(_move, path, f"{clock.now():%Y%m%dT%H%M%SZ}", storage)
    report = _report(target, verdict)
    journal = SqliteJournal(path, clock=clock, crash_point=crash_point, storage=storage)
    try:
        await journal.append(EVENT_TYPE, "sidecar", report.as_json())
    except BaseException:
        await journal.close()
        raise
    return journal, report


def _report(target: Path, verdict: Verdict) -> SetAside:
    sound = verdict.size if verdict.first_bad is None else min(verdict.first_bad - 1, verdict.size)
    return SetAside(
        target.name, verdict.log_id, verdict.size, sound, verdict.head,
        f"{verdict.reason}: {verdict.detail}",
    )  # fmt: skip


async def _try_out(journal: SqliteJournal) -> None:
    """Append and take it back: damage that only an append meets is found now, not in use."""

    def work(transaction: JournalTransaction) -> None:
        transaction.append(Draft("TRIED_OUT", "sidecar", {}))
        raise _TakenBackError

    with contextlib.suppress(_TakenBackError):
        await journal.transaction(work)


class _TakenBackError(Exception):
    """Rolls the trial back."""


def _move(path: Path, stamp: str, storage: Storage = DISK) -> Path:
    """Rename the file and, first, its rollback journal, which must never meet a new file."""
    number = 0
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    while storage.identity(target) is not None:
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    rollback = path.with_name(f"{path.name}-journal")
    if storage.identity(rollback) is not None:
        storage.rename(rollback, target.with_name(f"{target.name}-journal"))
    storage.rename(path, target)
    return target
