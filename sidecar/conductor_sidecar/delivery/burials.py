"""Dead letters into the journal.

Promise: every event that is given up has an entry, also when the process is killed between the
commit that buried it and the entry: the next start writes what is missing. Refusal: a journal that
refuses ends nothing; it is told, and delivery goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from conductor_sdk.clock import epoch_ms
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Buried, DeadLetter, Position
from conductor_sidecar.desk import PAGE, StoreDesk
from conductor_sidecar.feed import Feed
from conductor_sidecar.logs import get_logger

ENTRY = "DEAD_LETTERED"
LOOK_BACK = 1000
"""Newest entries that a start compares with the dead letters. A letter without its entry is the
last thing that the process before did, and only commands without a daemon wrote since."""


class Burials:
    """The journaler: one queue, one task."""

    def __init__(self, desk: StoreDesk, feed: Feed) -> None:
        self._desk = desk
        self._feed = feed
        self._log = get_logger(part="daemon")
        self._buried: asyncio.Queue[Sequence[Buried]] = asyncio.Queue()
        self._caught_up: set[Position] = set()
        """Written at start, though this process may have buried them itself meanwhile."""

    def add(self, buried: Sequence[Buried]) -> None:
        """Take note of events whose burial is durable."""
        self._buried.put_nowait(buried)

    async def idle(self) -> None:
        """Wait until every burial has its entry, or was refused one."""
        await self._buried.join()

    async def run(self) -> None:
        """Write entries until cancelled; first those that an earlier process owes."""
        await self._guarded(self._catch_up)
        while True:
            for item in await self._buried.get():
                await self._guarded(self._journal, item)
            self._buried.task_done()

    async def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            await work(*arguments)
        except ConductorError as error:
            self._feed.failed(error)

    async def _journal(self, item: Buried) -> None:
        if item.position in self._caught_up:
            return
        facts = {"position": item.position, "code": item.error_code, "attempts": item.attempts}
        facts |= await self._named(item.position)
        self._log.warning("dead_letter", **facts, error=item.error)
        await self._desk.journal.append(ENTRY, "sidecar", facts)

    async def _named(self, position: Position) -> dict[str, Any]:
        """Return id and kind of a dead letter; nothing when it was redriven or dropped already."""
        found = await self._desk.letters(None, 1, position - 1)
        if not found or found[0].position != position:
            return {}
        return {"event_id": found[0].event_id, "kind": found[0].kind}

    async def _catch_up(self) -> None:
        size, _ = await self._desk.journal.head()
        entries = await self._desk.journal.latest(LOOK_BACK) if size else []
        told = {
            msgspec.json.decode(entry.payload).get("position")
            for entry in entries
            if entry.event_type == ENTRY
        }
        since_ms = 0 if len(entries) < LOOK_BACK else _time_ms(entries[0].time)
        after = 0
        while page := await self._desk.letters(None, PAGE, after):
            for letter in page:
                if letter.buried_ms >= since_ms and letter.position not in told:
                    await self._owed(letter)
            after = page[-1].position

    async def _owed(self, letter: DeadLetter) -> None:
        facts = {
            "position": letter.position, "code": letter.error_code, "attempts": letter.attempts,
            "event_id": letter.event_id, "kind": letter.kind, "found_at_start": True,
        }  # fmt: skip
        self._log.warning("dead_letter_without_entry", **facts)
        self._caught_up.add(letter.position)
        await self._desk.journal.append(ENTRY, "sidecar", facts)


def _time_ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))
