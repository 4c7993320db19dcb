"""A small world with plans in a journal, for tests of the plan pack.

Promise: time is manual, the journal is real. Refusal: nothing is asserted here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from conductor_packs.plan.batch import Caller, Settings
from conductor_packs.plan.gateway.requests import OrderMutation
from conductor_packs.plan.projection import projection
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.records import Changed, Item
from conductor_packs.plan.requests import (
    AddItem,
    AddLink,
    ClaimItem,
    CreatePlan,
    Mutation,
    Transition,
)
from conductor_packs.plan.store import Plans
from conductor_sdk.chain.canonical import parse_payload
from conductor_sdk.clock import ManualClock
from conductor_state.journal_replay import find_drift
from plan_journal import PackJournal, opened

LIAM = Caller("Liam", "session-1", "task-1")
CODEX = Caller("Codex")


class World:
    """Plans, their journal and their clock; plan `P` exists."""

    def __init__(self, journal: PackJournal, clock: ManualClock, settings: Settings) -> None:
        self.journal = journal
        self.clock = clock
        self.plans = Plans(journal, clock, settings)

    async def do(
        self, request: Mutation | OrderMutation, caller: Caller = LIAM, **options: Any
    ) -> Changed:
        result = await self.plans.change(request, caller, **options)
        assert isinstance(result, Changed)
        return result

    async def add(self, *items: str, **fields: Any) -> None:
        for item_id in items:
            await self.do(AddItem(plan_id="P", item_id=item_id, title=item_id, **fields))

    async def link(self, source: str, target: str, link_type: Any = "DEPENDS_ON") -> Changed:
        return await self.do(AddLink(from_item_id=source, to_item_id=target, link_type=link_type))

    async def claim(self, item_id: str, caller: Caller = LIAM, **fields: Any) -> Changed:
        return await self.do(ClaimItem(item_id=item_id, **fields), caller)

    async def move(
        self, item_id: str, *states: Any, caller: Caller = LIAM, token: int | None = None
    ) -> None:
        for state in states:
            version = (await self.item(item_id)).version
            await self.do(
                Transition(item_id=item_id, to_state=state, expected_version=version, token=token),
                caller,
            )

    async def finish(self, *items: str) -> None:
        for item_id in items:
            await self.move(item_id, "IN_PROGRESS", "DONE")

    async def item(self, item_id: str) -> Item:
        return await self.plans.read(lambda reader, _now: reader.item(item_id))

    async def read(self, name: str, *values: Any) -> Any:
        def work(reader: Reader, _now: str) -> Any:
            return getattr(reader, name)(*values)

        return await self.plans.read(work)

    async def entries(self, after: int = 0) -> list[tuple[str, str, dict[str, Any]]]:
        found = await self.journal.journal.tail(after, 100_000)
        return [(each.event_type, each.actor, parse_payload(each.payload)) for each in found]

    async def types(self) -> list[str]:
        return [each[0] for each in await self.entries()]

    async def sound(self) -> list[Any]:
        """Return chain verdict, and where the tables differ from a replay."""
        verdict = await self.journal.journal.verify()
        _, drift = await find_drift(self.journal.journal, [projection])
        return [verdict.chain, drift]


@asynccontextmanager
async def world(
    path: Path, settings: Settings | None = None, *, plans: Sequence[str] = ("P",)
) -> AsyncGenerator[World]:
    clock = ManualClock()
    async with opened(path / "journal.db", clock) as journal:
        made = World(journal, clock, settings or Settings())
        for plan_id in plans:
            await made.do(CreatePlan(plan_id=plan_id, title=plan_id))
        yield made


def replaced(item: Item, **fields: Any) -> Item:
    return msgspec.structs.replace(item, **fields)
