"""What must be true of the files when everything has arrived, whatever died on the way."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from conductor_sdk.chain.entry import Head
from conductor_sdk.clock import SystemClock
from conductor_sdk.event import parse_event
from conductor_sdk.records import KindCounts
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_sidecar.app import open_stores
from conductor_sidecar.settings import Settings
from conductor_state.database import Database
from conductor_state.history import SqliteHistory
from conductor_state.schema import load_schema
from crash_children import RECORDS, WINDOW, Home
from crash_pack import SLUG
from crash_traffic import DONE, HANDLED, ONCE, POISON, SUBJECT, UNKNOWN, Item, sent

EVERYTHING = 1_000_000


class Effect(NamedTuple):
    event_id: str
    kind: str
    lane: str
    n: int
    generation: int


@dataclass(frozen=True)
class Verdict:
    """Everything that was read, and the checks on it: each returns what is wrong."""

    items: list[Item]
    """First sights of events, in the order in which they were sent."""
    effects: list[Effect]
    pushed: list[HistoryEvent]
    inbound: dict[str, KindCounts]
    outbound: dict[str, KindCounts]
    buffered: int
    dead: set[str]
    journal_problem: str
    cursor: int
    last: int
    killed: set[int]
    """Lives of the sidecar that ended by SIGKILL."""

    def problems(self) -> list[str]:
        """Every breach of the contract; [] when it held."""
        return [
            *self._effects(), *self._repeats(), *self._order(), *self._pushes(),
            *self._accounts(), *([self.journal_problem] if self.journal_problem else []),
        ]  # fmt: skip

    def _effects(self) -> list[str]:
        """Everything that was sent and is handled has its effect, and nothing else has."""
        wanted = {item.event_id for item in self.items if item.kind in HANDLED}
        found = {effect.event_id for effect in self.effects}
        return [
            *(f"no effect of {event_id}" for event_id in sorted(wanted - found)),
            *(f"effect of nothing: {event_id}" for event_id in sorted(found - wanted)),
        ]

    def _repeats(self) -> list[str]:
        """`run_once` never repeats; the others only where a kill fell in between."""
        problems: list[str] = []
        lives: defaultdict[str, list[int]] = defaultdict(list)
        for effect in self.effects:
            lives[effect.event_id].append(effect.generation)
            if effect.kind == ONCE and len(lives[effect.event_id]) > 1:
                problems.append(f"effect of {effect.event_id} twice, in lives {lives}")
        in_flight: Counter[int] = Counter()
        for event_id, generations in lives.items():
            if len(set(generations)) < len(generations):
                problems.append(f"{event_id} twice in one life: {generations}")
            # A life that ended cleanly settles what it did: only a killed one may leave a repeat.
            for generation in generations[:-1]:
                in_flight[generation] += 1
                if generation not in self.killed:
                    problems.append(f"{event_id} repeated after the clean life {generation}")
        return problems + [
            f"{count} effects of life {generation} were repeated, {WINDOW} may be in flight"
            for generation, count in in_flight.items() if count > WINDOW
        ]  # fmt: skip

    def _order(self) -> list[str]:
        """In every lane, first effects and first pushes come in the order of the sequences."""
        problems: list[str] = []
        lanes: defaultdict[str, list[int]] = defaultdict(list)
        seen: set[str] = set()
        for effect in self.effects:
            if effect.event_id not in seen:
                seen.add(effect.event_id)
                lanes[f"effects of {effect.lane}"].append(effect.n)
        for event in self.pushed:
            if event.kind == DONE:
                payload = parse_event(event.body).payload
                lanes[f"pushes of {payload['lane']}"].append(payload["n"])
        for name, numbers in lanes.items():
            if numbers != sorted(numbers):
                problems.append(f"{name} are out of order: {numbers}")
        return problems

    def _pushes(self) -> list[str]:
        """The conductor has each queued event exactly once."""
        wanted = {item.done_id for item in self.items if item.kind in HANDLED}
        found = Counter(event.event_id for event in self.pushed if event.kind == DONE)
        return [
            *(f"{event_id} never arrived" for event_id in sorted(wanted - found.keys())),
            *(f"{event_id} was never pushed" for event_id in sorted(found.keys() - wanted)),
            *(f"{event_id} is there {n} times" for event_id, n in found.items() if n > 1),
        ]

    def _accounts(self) -> list[str]:
        """The conservation law, and the counts that follow from what was sent."""
        problems = [
            f"{kind} does not balance: {counts}"
            for kind, counts in [*self.inbound.items(), *self.outbound.items()]
            if not counts.balanced
        ]
        if (self.buffered, self.cursor) != (0, self.last):
            problems.append(f"{self.buffered} buffered, cursor {self.cursor} of {self.last}")
        expected = Counter(item.kind for item in self.items)
        for kind, number in expected.items():
            counts = self.inbound.get(kind, KindCounts())
            if counts.accepted != number:
                problems.append(f"{number} of {kind!r} were sent, {counts.accepted} accepted")
            if kind in HANDLED and counts.delivered != number:
                problems.append(f"{number} of {kind!r} were sent, {counts.delivered} delivered")
        unhandled = self.inbound.get(UNKNOWN, KindCounts()).dropped
        if expected[UNKNOWN] != sum(unhandled.values()):
            problems.append(f"unhandled: {unhandled}, sent: {expected[UNKNOWN]}")
        poison = {item.event_id for item in self.items if item.kind == POISON}
        dropped = self.inbound.get(POISON, KindCounts()).dropped.get("operator", 0)
        if not self.dead <= poison or len(poison) != len(self.dead) + dropped:
            problems.append(f"{len(poison)} poison, {len(self.dead)} dead, {dropped} dropped")
        return problems


async def read_verdict(home: Home, killed: set[int]) -> Verdict:
    """Open the files of a lineage whose processes have ended."""
    clock = SystemClock()
    database = await Database.open(home.history, schema=load_schema("conductor"), clock=clock)
    history = await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, RECORDS)
    try:
        _, last = await history.bounds(SUBJECT)
        pushed = await history.pushed(SUBJECT, 0, EVERYTHING)
        anchors = [Head(anchor.size, anchor.hash) for anchor in await history.anchors(SUBJECT)]
    finally:
        await history.close()
    async with open_stores(home.workspace, Settings(), clock=clock) as stores:
        facts = await stores.desk.facts()
        letters = await stores.dead_letters.list(limit=EVERYTHING)
        walk = await stores.journal.verify(anchors)
    fresh = {item.number: item for item in reversed(list(sent(last, resends=home.resends)))
             if not item.again}  # fmt: skip
    return Verdict(
        items=[fresh[number] for number in sorted(fresh)], effects=_effects(home), pushed=pushed,
        inbound=facts.inbound, outbound=facts.outbound,
        buffered=facts.backlog + facts.outbox.events, dead={one.event_id for one in letters},
        journal_problem="" if walk.intact and anchors else f"the journal: {walk}, {anchors}",
        cursor=facts.cursor.sequence, last=last, killed=killed,
    )  # fmt: skip


def _effects(home: Home) -> Sequence[Effect]:
    connection = sqlite3.connect(home.workspace.pack_db(SLUG))
    try:
        rows = connection.execute(
            "SELECT event_id, kind, lane, n, generation FROM effects ORDER BY place"
        ).fetchall()
    finally:
        connection.close()
    return [Effect(*row) for row in rows]
