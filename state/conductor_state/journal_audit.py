"""Questions to the journal: its sessions, what happened in one, what is said of an item.

Promise: every answer comes from one state of the file, read page by page where it may be long.
Refusal: nothing is judged here; whether the log can be believed is for `conductor log verify`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

from conductor_sdk.chain.canonical import canonical_json
from conductor_sdk.chain.entry import Entry
from conductor_sdk.chain.items import Item, fold, names
from conductor_sdk.errors import ConductorError, Exit
from conductor_state.journal_port import AuditedJournal
from conductor_state.journal_transaction import JournalView
from conductor_state.queries import load_queries

_PAGE = 1000


class NothingRecorded(ConductorError):
    """The journal holds nothing about this."""

    code = "LOG_NOTHING_RECORDED"
    default_hint = "list what there is: conductor log sessions"
    exit_code = Exit.NOT_FOUND


class Session(msgspec.Struct, frozen=True):
    """A session in one line."""

    session_id: str
    events: int
    first: int
    """Sequence of its first entry."""
    last: int
    tasks: int
    actors: int


class Summary(msgspec.Struct, frozen=True):
    """A session in numbers."""

    session_id: str
    events: int
    first: int
    last: int
    started: str
    """Time of the first entry."""
    ended: str
    event_types: dict[str, int]
    actors: dict[str, int]
    tasks: dict[str, int]


async def sessions(journal: AuditedJournal) -> list[Session]:
    """Return all sessions, oldest first.

    Raises:
        JournalMissing: There is no file.
    """
    queries = load_queries("journal_audit")

    def read(view: JournalView) -> list[Session]:
        if not view.log_id:
            return []
        return [Session(*row) for row in view.connection.execute(queries["sessions"]).fetchall()]

    return await journal.view(read)


async def session_summary(journal: AuditedJournal, session_id: str) -> Summary:
    """Return a session in numbers.

    Raises:
        JournalMissing: There is no file.
        NothingRecorded: No entry has this session.
    """
    queries = load_queries("journal_audit")

    def read(view: JournalView) -> Summary | None:
        if not view.log_id:
            return None
        found = view.select(queries["by_session"], (session_id, 0, 1))
        types, actors, tasks = (
            _counts(view, queries[name], session_id)
            for name in ("type_counts", "actor_counts", "task_counts")
        )
        if not found:
            return None
        rows = view.connection.execute(queries["sessions"]).fetchall()
        last = next(row[3] for row in rows if row[0] == session_id)
        ended = view.connection.execute(queries["times"], (last, last)).fetchone()[1]
        first, events = found[0], sum(types.values())
        return Summary(
            session_id, events, first.sequence, last, first.time, ended, types, actors, tasks
        )

    summary = await journal.view(read)
    if summary is None:
        raise NothingRecorded(f"session {session_id!a}")
    return summary


async def session_timeline(
    journal: AuditedJournal, session_id: str, after: int = 0
) -> AsyncGenerator[Entry]:
    """Iterate over the entries of a session, in order.

    Raises:
        JournalMissing: There is no file.
    """
    async for entry in _paged(journal, "by_session", session_id, after):
        yield entry


async def task_timeline(
    journal: AuditedJournal, task_id: str, after: int = 0
) -> AsyncGenerator[Entry]:
    """Iterate over the entries of a task, in order.

    Raises:
        JournalMissing: There is no file.
    """
    async for entry in _paged(journal, "by_task", task_id, after):
        yield entry


async def history(journal: AuditedJournal, item: str) -> AsyncGenerator[Entry]:
    """Iterate over the entries whose payload names an item, in order.

    Raises:
        JournalMissing: There is no file.
    """
    quoted = canonical_json({"": item})[len('{"":') : -1]
    async for entry in _paged(journal, "naming", quoted, 0):
        if names(entry, item):
            yield entry


async def items_at(journal: AuditedJournal, until: int) -> dict[str, Item]:
    """Return every item as of an entry.

    Raises:
        JournalMissing: There is no file.
    """
    found: dict[str, Item] = {}
    after = 0
    while entries := await journal.tail(after, min(_PAGE, max(0, until - after))):
        fold(entries, found)
        after = entries[-1].sequence
    return found


async def between(
    journal: AuditedJournal, start: int, end: int
) -> tuple[dict[str, Item], dict[str, Item], list[Entry]]:
    """Return items as of `start`, items as of `end`, and the entries after `start` up to `end`.

    Raises:
        JournalMissing: There is no file.
    """
    before = await items_at(journal, start)
    after, entries = dict(before), list[Entry]()
    at = start
    while page := await journal.tail(at, min(_PAGE, max(0, end - at))):
        fold(page, after)
        entries += page
        at = page[-1].sequence
    return before, after, entries


async def _paged(
    journal: AuditedJournal, query: str, value: str, after: int
) -> AsyncGenerator[Entry]:
    sql = load_queries("journal_audit")[query]

    def read(view: JournalView) -> list[Entry]:
        return view.select(sql, (value, after, _PAGE)) if view.log_id else []

    while entries := await journal.view(read):
        for entry in entries:
            yield entry
        after = entries[-1].sequence


def _counts(view: JournalView, query: str, session_id: str) -> dict[str, int]:
    rows: Mapping[str, int] = dict(view.connection.execute(query, (session_id,)).fetchall())
    return dict(rows)
