"""What the journal says of calls that have not ended; asked once, at start.

Promise: a call that a crash left open is found, and what was looked through before is not looked
through again. Refusal: a journal that cannot be read does not keep the daemon from starting; its
calls stay open, and the log says so.
"""

from __future__ import annotations

import msgspec

from conductor_handlers.toolhost.ports import OpenCall
from conductor_sdk.errors import ConductorError
from conductor_sidecar.logs import get_logger
from conductor_sidecar.ports import Marks
from conductor_state.journal_calls import Begun, CallMark, open_calls
from conductor_state.journal_port import AuditedJournal

MARK = "tool_calls.closed"


class JournalCalls:
    """`CallHistory` over the workspace's journal."""

    def __init__(self, journal: AuditedJournal, marks: Marks) -> None:
        self._journal = journal
        self._marks = marks

    async def open_calls(self) -> list[OpenCall]:
        """Return the calls that have not ended, oldest first; none of an unreadable journal."""
        return [call for call in map(_open_call, await self._look()) if call is not None]

    async def look_on(self) -> None:
        """Look through what was added, and remember up to where no call is open."""
        await self._look()

    async def _look(self) -> list[Begun]:
        try:
            begun, mark = await open_calls(self._journal, await self._mark())
        except ConductorError as error:
            get_logger(part="tools").error("open_calls_unknown", error=error.message)
            return []
        await self._marks.put(MARK, msgspec.json.encode(mark).decode())
        return begun

    async def _mark(self) -> CallMark | None:
        text = await self._marks.get(MARK)
        try:
            return None if text is None else msgspec.json.decode(text, type=CallMark)
        except msgspec.DecodeError:
            return None


def _open_call(begun: Begun) -> OpenCall | None:
    try:
        return msgspec.convert({**begun.payload, "actor": begun.actor}, OpenCall)
    except msgspec.ValidationError:
        return None
