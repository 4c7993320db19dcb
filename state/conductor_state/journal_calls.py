"""Which tool calls the journal knows the beginning of, and no end.

Promise: the whole of a call's beginning is returned, oldest first; a log that was looked through
once is not looked through again: the mark says how far it holds no open call. Refusal: nothing is
appended here, and an entry that nobody of ours wrote is passed over.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from conductor_sdk.chain.entry import Entry
from conductor_state.journal_errors import JournalMissing
from conductor_state.journal_port import AuditedJournal
from conductor_state.journal_transaction import JournalView
from conductor_state.queries import load_queries

STARTED = "TOOL_CALL_STARTED"
_PAGE = 5000


class CallMark(msgspec.Struct, frozen=True):
    """Up to where a log holds no open call."""

    log_id: str
    sequence: int


class Begun(msgspec.Struct, frozen=True):
    """The beginning of a call that has no end."""

    sequence: int
    actor: str
    payload: dict[str, Any]


async def open_calls(
    journal: AuditedJournal, mark: CallMark | None
) -> tuple[list[Begun], CallMark]:
    """Return the beginnings without an end, oldest first, and the mark for the next look.

    Args:
        journal: Open.
        mark: From an earlier look; of another log, or beyond this one's end, it means nothing.

    Raises:
        StateError: The journal cannot be read.
    """
    now = await _end(journal)
    after = 0
    if mark is not None and mark.log_id == now.log_id and mark.sequence <= now.sequence:
        after = mark.sequence
    found: dict[str, Begun] = {}
    while after < now.sequence:
        page = await journal.view(partial(_page, after=after))
        for entry in page:
            _take(found, entry)
        if len(page) < _PAGE:
            break
        after = page[-1].sequence
    begun = list(found.values())
    return begun, CallMark(now.log_id, begun[0].sequence - 1 if begun else now.sequence)


async def _end(journal: AuditedJournal) -> CallMark:
    try:
        return await journal.view(lambda view: CallMark(view.log_id, _size(view)))
    except JournalMissing:
        return CallMark("", 0)


def _take(found: dict[str, Begun], entry: Entry) -> None:
    try:
        payload = msgspec.json.decode(entry.payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return
    call_id = payload.get("call_id")
    if not isinstance(call_id, str):
        return
    if entry.event_type == STARTED:
        found[call_id] = Begun(entry.sequence, entry.actor, payload)
    else:
        found.pop(call_id, None)


def _page(view: JournalView, *, after: int) -> list[Entry]:
    return view.select(load_queries("journal_audit")["of_calls"], (after, _PAGE))


def _size(view: JournalView) -> int:
    last = (
        view.connection.execute(load_queries("journal")["last"]).fetchone() if view.log_id else None
    )
    return 0 if last is None else int(last[0])
