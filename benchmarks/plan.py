"""The plan pack: what is ready and what decides the end, on plans of 100 to 100,000 items.

Promise: every plan is made by the pack's own mutations, and an answer is the whole answer that a
tool call or a command gives. Refusal: nothing is kept between two questions, as in real use.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from benchmarks.bench import Bench
from benchmarks.processes import MeasurementFailed
from conductor_packs.plan import questions
from conductor_packs.plan.batch import Batch, Caller
from conductor_packs.plan.mutations.perform import perform
from conductor_packs.plan.projection import projection
from conductor_packs.plan.requests import AddItem, AddLink, CreatePlan, Patch, UpdateItem
from conductor_packs.plan.store import Plans
from conductor_sdk.chain.entry import Draft
from conductor_sdk.clock import SystemClock
from conductor_sdk.context import JournalReceipt
from conductor_sdk.context import JournalTransaction as PackTransaction
from conductor_state.journal import SqliteJournal
from conductor_state.journal_replay import audit
from conductor_state.journal_transaction import JournalTransaction

T = TypeVar("T")

PLAN = "P-1"
CALLER = Caller("bench")
_NEAR = 50
"""How far back the items lie that an item waits for: plans are deep as well as wide."""


@dataclass(frozen=True, slots=True)
class PlanSizes:
    """How much is measured."""

    rounds: int
    items: tuple[int, ...]
    changes: int
    """Changes of one caller that waits for each."""
    replayed: int
    """Which of `items` is replayed."""


FULL = PlanSizes(rounds=5, items=(100, 1_000, 10_000, 100_000), changes=300, replayed=10_000)
QUICK = PlanSizes(rounds=1, items=(100, 1_000), changes=50, replayed=1_000)


class _Transaction:
    """A commit as the pack is given it."""

    def __init__(self, inner: JournalTransaction) -> None:
        self.connection = inner.connection
        self._inner = inner

    def append(
        self, event_type: str, payload: Mapping[str, Any], *,
        actor: str | None = None, session_id: str | None = None, task_id: str | None = None,
    ) -> JournalReceipt:  # fmt: skip
        """Append an entry."""
        draft = Draft(event_type, actor or "bench", payload, session_id or "", task_id or "")
        entry = self._inner.append(draft)
        return JournalReceipt(entry.sequence, entry.hash)


class _Journal:
    """The journal as the pack is given it, without a daemon around it."""

    def __init__(self, store: SqliteJournal) -> None:
        self.store = store

    async def append(self, event_type: str, payload: Mapping[str, Any]) -> int:
        """Append an entry."""
        return await self.store.append(event_type, "bench", payload)

    async def transaction(self, work: Callable[[PackTransaction], T]) -> T:
        """Run statements and entries in one commit."""
        return await self.store.transaction(lambda inner: work(_Transaction(inner)))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a reading on the file as it is."""
        return await self.store.view(lambda inner: work(inner.connection))


def measure(bench: Bench) -> None:
    """Make the plans, then ask them in interleaved rounds."""
    sizes = QUICK if bench.sizes.rounds == 1 else FULL
    directory = bench.directory / bench.name("plans")
    directory.mkdir()
    asyncio.run(_measure(bench, sizes, directory))
    shutil.rmtree(directory)


async def _measure(bench: Bench, sizes: PlanSizes, directory: Path) -> None:
    journals = {number: SqliteJournal(directory / f"{number}.db") for number in sizes.items}
    plans = {number: Plans(_Journal(each), SystemClock()) for number, each in journals.items()}
    edges: dict[int, dict[str, list[str]]] = {}
    for number in sizes.items:
        bench.part(f"making a plan of {number} items")
        edges[number] = await _made(plans[number], number)
    for at in range(sizes.rounds):
        bench.part(f"plans, round {at + 1} of {sizes.rounds}")
        for number in sizes.items:
            await _asked(bench, plans[number], number)
            _peers(bench, journals[number].path, edges[number], number)
        await _changes(bench, plans[sizes.items[0]], sizes.changes)
        _commits(bench, directory / bench.name("raw"), sizes.changes)
        await _replayed(bench, journals[sizes.replayed])
    for journal in journals.values():
        await journal.close()


async def _made(plans: Plans, number: int) -> dict[str, list[str]]:
    """Make a plan in which most items wait for one or two of the fifty before them."""
    random = Random(number)
    names = [f"I-{at:06}" for at in range(number)]
    waits = {
        names[at]: [names[low] for low in sorted({
            random.randrange(max(0, at - _NEAR), at) for _ in range(random.randint(1, 2))
        })]
        for at in range(1, number)
    }  # fmt: skip

    def items(batch: Batch) -> None:
        for name in names:
            estimate = random.randrange(10, 200)
            perform(batch, AddItem(plan_id=PLAN, item_id=name, title=name, estimate=estimate))

    def links(batch: Batch) -> None:
        # From the end, so that looking for a circle finds nothing behind an item yet.
        for name in reversed(names[1:]):
            for before in waits[name]:
                perform(batch, AddLink(
                    from_item_id=name, to_item_id=before, link_type="DEPENDS_ON"
                ))  # fmt: skip

    await plans.change(CreatePlan(plan_id=PLAN, title="a plan"), CALLER)
    await plans.batch(items, CALLER)
    await plans.batch(links, CALLER)
    return waits


async def _asked(bench: Bench, plans: Plans, number: int) -> None:
    ready = questions.Ready(plan_id=PLAN)
    path = questions.OfPlan(plan_id=PLAN)
    repeats = max(1, 1000 // number)
    took = await _took(repeats, lambda: questions.ready(plans, ready))
    bench.add(f"ready_{number}", "ms", took)
    took = await _took(repeats, lambda: questions.critical_path(plans, path))
    bench.add(f"critical_path_{number}", "ms", took)


def _peers(bench: Bench, path: Path, edges: Mapping[str, list[str]], number: int) -> None:
    """Read the plan's rows and look at none; sort the same graph with the standard library."""
    repeats = max(1, 1000 // number)
    with closing(sqlite3.connect(path)) as connection:
        began = time.perf_counter()
        for _ in range(repeats):
            connection.execute("SELECT * FROM plan_items ORDER BY created_ts, item_id").fetchall()
            connection.execute("SELECT * FROM plan_links ORDER BY created_ts, link_id").fetchall()
        bench.add(f"raw_read_{number}", "ms", 1000 * (time.perf_counter() - began) / repeats)
    began = time.perf_counter()
    for _ in range(repeats):
        list(TopologicalSorter(edges).static_order())
    bench.add(f"graphlib_{number}", "ms", 1000 * (time.perf_counter() - began) / repeats)


async def _changes(bench: Bench, plans: Plans, count: int) -> None:
    """Change one item again and again, each time at the version that is there."""
    version = (await plans.read(lambda reader, _now: reader.item("I-000000"))).version
    began = time.perf_counter()
    for at in range(count):
        request = UpdateItem(
            item_id="I-000000",
            expected_version=version + at,
            patch=Patch(title=f"at {version + at}"),
        )
        await plans.change(request, CALLER)
    bench.add("plan_change", "changes/s", count / (time.perf_counter() - began))


def _commits(bench: Bench, path: Path, count: int) -> None:
    """Update one row and commit, in the journal's mode."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        connection.execute("CREATE TABLE item (item_id TEXT PRIMARY KEY, title TEXT)")
        connection.execute("INSERT INTO item VALUES ('I', '')")
        began = time.perf_counter()
        for at in range(count):
            connection.execute("UPDATE item SET title = ?", (f"at {at}",))
        bench.add("raw_update", "changes/s", count / (time.perf_counter() - began))


async def _replayed(bench: Bench, journal: SqliteJournal) -> None:
    """Verify a journal of nothing but plan changes, with the full replay of its tables."""
    began = time.perf_counter()
    verdict = await audit(journal, [projection])
    took = time.perf_counter() - began
    if (verdict.chain, verdict.state) != ("OK", "OK"):
        raise MeasurementFailed(f"{verdict.chain}, {verdict.state}: {verdict.detail}")
    bench.add("replay", "entries/s", verdict.size / took)


async def _took(repeats: int, ask: Callable[[], Awaitable[object]]) -> float:
    """Return the milliseconds of one answer."""
    began = time.perf_counter()
    for _ in range(repeats):
        await ask()
    return 1000 * (time.perf_counter() - began) / repeats
