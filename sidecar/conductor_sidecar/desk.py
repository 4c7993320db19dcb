"""What an operator does to the stores, with a daemon or without one.

Promise: redrive and drop are journaled, and `--dry-run` touches nothing. Refusal: it knows no
socket and prints nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from conductor_sdk.clock import Clock
from conductor_sdk.records import DeadLetter, Pending, Story
from conductor_sidecar.approvals import ApprovalDesk
from conductor_sidecar.errors import DeadLetterNotFound, EventNotFound
from conductor_sidecar.ports import DeadLetters, Journal, Outbox, ReplayLog
from conductor_sidecar.report import StoreFacts, read_stores

PAGE = 500


@dataclass(frozen=True, slots=True)
class StoreDesk:
    """The operator's hands on one workspace's stores."""

    log: ReplayLog
    dead_letters: DeadLetters
    outbox: Outbox
    journal: Journal
    approvals: ApprovalDesk
    clock: Clock

    async def facts(self) -> StoreFacts:
        """Return the stores' part of a status report."""
        return await read_stores(self.log, self.outbox, self.approvals, self.clock)

    async def explain(self, event_id: str) -> list[Story]:
        """Tell everything that is known of an event, inbound first.

        Raises:
            EventNotFound: Neither direction knows it within retention.
        """
        stories = [await self.log.story(event_id), await self.outbox.story(event_id)]
        found = [story for story in stories if story is not None]
        if not found:
            raise EventNotFound(event_id)
        return found

    async def letters(self, kind: str | None, limit: int, after: int) -> Sequence[DeadLetter]:
        """Page through dead letters, oldest first."""
        return await self.dead_letters.list(kind=kind, limit=limit, after=after)

    async def letter(self, event_id: str) -> DeadLetter:
        """Return one dead letter.

        Raises:
            DeadLetterNotFound: There is none of that id.
        """
        found = await self.dead_letters.get(event_id)
        if found is None:
            raise DeadLetterNotFound(event_id)
        return found

    async def select(
        self, event_ids: Collection[str], *, kind: str | None, everything: bool
    ) -> list[str]:
        """Return the ids that a redrive or drop would touch, in order of burial.

        Raises:
            DeadLetterNotFound: A given id is no dead letter.
        """
        if not everything:
            return [(await self.letter(event_id)).event_id for event_id in event_ids]
        selected: list[str] = []
        after = 0
        while page := await self.dead_letters.list(kind=kind, limit=PAGE, after=after):
            selected.extend(letter.event_id for letter in page)
            after = page[-1].position
        return selected

    async def redrive(self, event_ids: Collection[str]) -> list[Pending]:
        """Make dead letters pending again; each is an entry in the journal first.

        In this order a failing journal leaves them dead; the other way round they would be
        pending, and nobody would run them before the next start.
        """
        for event_id in event_ids:
            await self.journal.append("DEAD_LETTER_REDRIVEN", "operator", {"event_id": event_id})
        return list(await self.dead_letters.redrive(event_ids))

    async def drop(self, event_ids: Collection[str]) -> int:
        """Forget dead letters for good; each is an entry in the journal first."""
        for event_id in event_ids:
            await self.journal.append("DEAD_LETTER_DROPPED", "operator", {"event_id": event_id})
        return await self.dead_letters.drop(event_ids)
