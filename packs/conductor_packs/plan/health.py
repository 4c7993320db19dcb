"""Whether plans work here: the workspace's own, looked at, and the whole pack, tried out elsewhere.

Promise: real plans are only read; what is tried out is tried out in a directory that is removed
again. Every finding says how much it saw, and what nobody looked at is said too. Refusal: UNKNOWN
never counts as GREEN.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from conductor_packs.plan.apply import Fact, apply
from conductor_packs.plan.batch import Caller
from conductor_packs.plan.errors import ClaimHeld, PlanError
from conductor_packs.plan.events import CHANGES
from conductor_packs.plan.graph import Graph
from conductor_packs.plan.projection import TABLES, projection
from conductor_packs.plan.questions import Answer
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.requests import AddItem, ClaimItem, CreatePlan
from conductor_packs.plan.scenario import parse
from conductor_packs.plan.scenario_run import run
from conductor_packs.plan.store import Plans
from conductor_sdk.clock import SystemClock
from conductor_sdk.context import JournalPort, JournalReceipt, JournalTransaction

T = TypeVar("T")
Status = Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]
_RACERS: Final = 8
_BACKLOG: Final = 1000
_EXPECTED: Final[Mapping[str, Mapping[str, object]]] = {
    "L3_PLAN_FLOW_001": {
        "plan_created": True, "items_added": 2, "item_updates": 1, "state_changes": 2,
        "conflicts": 1, "events_written": 7,
    },
    "L3_CONTRACT_FLOW_001": {
        "plan_created": True, "items_added": 1, "exec_ready": 1, "exec_requests": 1,
        "exec_results": 1, "conflicts": 0, "events_written": 5,
    },
}  # fmt: skip


class Check(msgspec.Struct, frozen=True):
    """One finding."""

    name: str
    status: Status
    detail: str
    sample: int = 0
    """How many things were looked at."""


def report(checks: Sequence[Check], now: str, not_checked: Sequence[str]) -> Answer:
    """Return findings as JSON, with the worst of them in front."""
    order: tuple[Status, ...] = ("RED", "UNKNOWN", "YELLOW", "GREEN")
    worst = min((order.index(check.status) for check in checks), default=1)
    return {
        "status": order[worst], "checked_at": now,
        "checks": msgspec.to_builtins(checks), "not_checked": list(not_checked),
    }  # fmt: skip


async def look(plans: Plans) -> list[Check]:
    """Look at the plans that are there."""
    backlog = len(await plans.unsent(_BACKLOG))
    if not await plans.present():
        return [Check("tables", "UNKNOWN", "the tables were never made")]
    return [
        *await plans.read(_looked),
        Check("pushed", "YELLOW" if backlog >= _BACKLOG else "GREEN",
              f"{backlog} changes wait for the daemon", backlog),
    ]  # fmt: skip


def _looked(reader: Reader, now: str) -> list[Check]:
    plans = reader.plans()
    overdue = reader.overdue(now)
    items, damage = 0, ""
    for plan in plans:
        board = reader.board(plan.plan_id, now)
        items += len(board.items)
        try:
            _ = Graph(board).order
        except PlanError as error:
            damage = error.message
    late = f"{len(overdue)} ran out, the oldest at {overdue[0].lease_until}" if overdue else "none"
    return [
        Check("tables", "GREEN", f"{len(plans)} plans", items),
        Check("graphs", "RED" if damage else "GREEN", damage or "nothing waits in a circle", items),
        Check("leases", "YELLOW" if overdue else "GREEN", late, len(overdue)),
    ]


async def try_out(journal: JournalPort) -> list[Check]:
    """Run the shipped scenarios, a race for one item and a replay on an empty journal.

    Args:
        journal: Of a place that holds nothing else.
    """
    recorder = _Recorder(journal)
    plans = Plans(recorder, SystemClock())
    checks = [await _scenario(plans, name) for name in _EXPECTED]
    checks.append(await _race(plans))
    checks.append(await recorder.compare())
    return checks


async def _scenario(plans: Plans, name: str) -> Check:
    file = Path(__file__).parent / "scenarios" / f"{name}.json"
    expected = _EXPECTED[name]
    try:
        counts = await run(plans, parse(await asyncio.to_thread(file.read_bytes)))
    except PlanError as error:
        return Check(name, "RED", error.message)
    found = {key: counts[key] for key in expected}
    same = found == expected
    return Check(name, "GREEN" if same else "RED", f"{found}", int(counts["events_written"]))


async def _race(plans: Plans) -> Check:
    await plans.change(CreatePlan(plan_id="P-RACE", title="Race"), Caller("healthcheck"))
    item = AddItem(plan_id="P-RACE", item_id="I-RACE", title="One for all")
    await plans.change(item, Caller("healthcheck"))

    async def claim(number: int) -> bool:
        try:
            await plans.change(ClaimItem(item_id="I-RACE"), Caller(f"racer-{number}"))
        except ClaimHeld:
            return False
        return True

    won = sum(await asyncio.gather(*map(claim, range(_RACERS))))
    return Check("race", "GREEN" if won == 1 else "RED", f"{won} of {_RACERS} won", _RACERS)


class _Recorder:
    """A journal that remembers what was appended, to replay it afterwards."""

    def __init__(self, journal: JournalPort) -> None:
        self._journal = journal
        self._facts: list[Fact] = []

    async def append(self, event_type: str, payload: Mapping[str, Any]) -> int:
        return await self._journal.append(event_type, payload)

    async def transaction(self, work: Callable[[JournalTransaction], T]) -> T:
        seen: list[Fact] = []
        result = await self._journal.transaction(lambda inner: work(_Recording(inner, seen)))
        self._facts += seen
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._journal.read(work)

    async def compare(self) -> Check:
        """Replay what was appended, and compare the tables."""
        have = await self._journal.read(_rows)
        with closing(sqlite3.connect(":memory:")) as memory:
            projection.create(memory)
            for fact in self._facts:
                if fact.event_type in CHANGES:
                    apply(memory, fact)
            same = have == _rows(memory)
        detail = "the tables are what the entries say" if same else "the tables differ"
        return Check("replay", "GREEN" if same else "RED", detail, len(self._facts))


class _Recording:
    def __init__(self, inner: JournalTransaction, seen: list[Fact]) -> None:
        self.connection = inner.connection
        self._inner = inner
        self._seen = seen

    def append(
        self, event_type: str, payload: Mapping[str, Any], *,
        actor: str | None = None, session_id: str | None = None, task_id: str | None = None,
    ) -> JournalReceipt:  # fmt: skip
        receipt = self._inner.append(
            event_type, payload, actor=actor, session_id=session_id, task_id=task_id
        )
        self._seen.append(Fact(receipt.sequence, receipt.hash, event_type, dict(payload)))
        return receipt


def _rows(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    return {
        table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)  # noqa: S608  our own names
        for table in TABLES
    }
