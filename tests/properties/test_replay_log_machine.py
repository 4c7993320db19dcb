"""The replay log and the dead letters against a small model, step by step, with crashes."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import Arrival, Buried, Delivered, KindCounts, RetryLater, Settled
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.memory.dead_letters import MemoryDeadLetters
from conductor_state.memory.replay_log import MemoryReplayLog
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.testing.crash import crash_image

T = TypeVar("T")

IDS = st.integers(0, 14).map(lambda number: f"evt-{number}")
PICK = st.lists(st.integers(0, 40), min_size=1, max_size=6)
STATUS = st.sampled_from(["handled", "replayed", "ignored", "unhandled", "retry", "bury"])


def kind_of(event_id: str) -> str:
    return "acme-demo:job_completed" if event_id < "evt-4" else "conductor:recovery_requested"


@dataclass
class Batch:
    received_ms: int
    redriven: bool
    positions: list[int] = field(default_factory=list)


@dataclass
class Model:
    """What the stores must answer, in dicts."""

    ids: dict[int, str] = field(default_factory=dict)
    """Every position within retention."""
    waiting: dict[int, list[int]] = field(default_factory=dict)
    """Position to [attempts, not_before_ms, redriven]."""
    claimed: set[int] = field(default_factory=set)
    dead: dict[int, int] = field(default_factory=dict)
    """Position to redrives."""
    redrives: dict[int, int] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    keys: set[tuple[str, str]] = field(default_factory=set)

    def latest(self, event_id: str) -> int | None:
        return max((p for p, known in self.ids.items() if known == event_id), default=None)

    def count(self, event_id: str, **changes: int) -> None:
        counts = self.counts.setdefault(kind_of(event_id), Counter())
        for name, change in changes.items():
            counts[name] += change

    def drop(self, event_id: str, reason: str) -> None:
        self.count(event_id)
        self.dropped.setdefault(kind_of(event_id), Counter())[reason] += 1

    def add(self, batch: Batch, position: int, event_id: str) -> None:
        batch.positions.append(position)
        self.ids[position] = event_id
        self.waiting[position] = [0, 0, batch.redriven]

    def settle(self, outcome: Settled) -> None:
        position = outcome.position
        self.claimed.discard(position)
        if position not in self.waiting:
            return
        event_id = self.ids[position]
        if isinstance(outcome, RetryLater):
            self.waiting[position][:2] = [outcome.attempts, outcome.not_before_ms]
            return
        del self.waiting[position]
        self.count(event_id, buffered=-1)
        if isinstance(outcome, Buried):
            self.count(event_id, dead_lettered=1)
            self.dead[position] = self.redrives.get(position, 0)
        elif outcome.status == "unhandled":
            self.drop(event_id, "unhandled")
        else:
            self.count(event_id, delivered=1, replayed=int(outcome.status == "replayed"))

    def prune(self, older_than_ms: int) -> None:
        kept: list[Batch] = []
        for batch in self.batches:
            old = batch.received_ms < older_than_ms
            held = any(p in self.waiting or p in self.dead for p in batch.positions)
            older_kept = any(before.received_ms < older_than_ms for before in kept)
            if not old or held or (batch.redriven and older_kept):
                kept.append(batch)
            else:
                for position in batch.positions:
                    del self.ids[position]
        self.batches = kept


class InboundMachine(RuleBasedStateMachine):
    """On the memory twins; `crash` leaves the stores as a killed process would."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.model = Model()
        self.sequence = 0
        self.run(self.open())

    log: Any
    letters: Any

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> None:
        self.log = MemoryReplayLog(self.clock)
        self.letters = MemoryDeadLetters(self.log)

    async def crash(self) -> None:
        """Memory survives in a test: only the claims are left behind."""

    async def close(self) -> None: ...

    def teardown(self) -> None:
        self.run(self.close())
        self.runner.close()

    def pick(self, picks: list[int], positions: list[int]) -> list[int]:
        if not positions:
            return []
        return list(dict.fromkeys(positions[pick % len(positions)] for pick in picks))

    @rule(event_ids=st.lists(IDS, max_size=8))
    def receive(self, event_ids: list[str]) -> None:
        model = self.model
        self.sequence += len(event_ids)
        batch = Batch(epoch_ms(self.clock.now()), redriven=False)
        fresh: list[bool] = []
        duplicates = replayed = 0
        seen: set[str] = set()
        for event_id in event_ids:
            latest = model.latest(event_id)
            fresh.append(latest is None and event_id not in seen)
            if event_id in seen or latest in model.waiting:
                duplicates += 1
                model.count(event_id, duplicates=1)
            elif latest is not None:
                replayed += 1
                model.count(event_id, replayed=1)
            seen.update({event_id} if latest is None else ())
        events = [Arrival(event_id, kind_of(event_id), event_id.encode()) for event_id in event_ids]
        receipt = self.run(self.log.receive("e", self.sequence, events))
        assert fresh == [position is not None for position in receipt.positions]
        assert (duplicates, replayed) == (receipt.duplicates, receipt.replayed)
        for position, event_id in zip(receipt.positions, event_ids, strict=True):
            if position is not None:
                assert position > max(model.ids, default=0)
                model.add(batch, position, event_id)
                model.count(event_id, accepted=1, buffered=1)
        if batch.positions:
            model.batches.append(batch)

    @rule(event_id=IDS, reason=st.sampled_from(["too_large", "malformed"]))
    def refuse(self, event_id: str, reason: str) -> None:
        self.run(self.log.receive("e", self.sequence, [], {(kind_of(event_id), reason): 1}))
        self.model.count(event_id, accepted=1)
        self.model.drop(event_id, reason)

    @precondition(lambda self: self.model.waiting)
    @rule(picks=PICK)
    def claim(self, picks: list[int]) -> None:
        positions = self.pick(picks, sorted(self.model.waiting))
        self.run(self.log.claim(positions))
        self.model.claimed.update(positions)

    @precondition(lambda self: self.model.ids)
    @rule(picks=PICK, statuses=st.lists(STATUS, min_size=6, max_size=6))
    def settle(self, picks: list[int], statuses: list[str]) -> None:
        preferred = sorted(self.model.claimed) or sorted(self.model.waiting)
        positions = self.pick(picks, preferred or sorted(self.model.ids))
        outcomes: list[Any] = []
        for position, status in zip(positions, statuses, strict=False):
            key = ("acme", f"k{position}")
            if status == "retry":
                outcomes.append(RetryLater(position, 4, 99, "again"))
            elif status == "bury":
                outcomes.append(Buried(position, 5, "CODE", "boom"))
            else:
                outcomes.append(Delivered(position, status, "x", (key,)))  # type: ignore[arg-type]
                self.model.keys.add(key)
        self.run(self.log.settle(outcomes))
        for outcome in outcomes:
            self.model.settle(outcome)

    @rule()
    def settle_everything_that_waits(self) -> None:
        outcomes = [Delivered(position, "handled", "all") for position in self.model.waiting]
        self.run(self.log.settle(outcomes))
        for outcome in outcomes:
            self.model.settle(outcome)

    @precondition(lambda self: self.model.claimed)
    @rule(picks=PICK)
    def release(self, picks: list[int]) -> None:
        positions = self.pick(picks, sorted(self.model.claimed))
        self.run(self.log.release(positions))
        self.model.claimed.difference_update(positions)

    @rule()
    def crash_and_start_again(self) -> None:
        self.run(self.crash())
        left = self.model.claimed & self.model.waiting.keys()
        assert len(left) == self.run(self.log.reap())
        for position in left:
            self.model.waiting[position][0] += 1
        self.model.claimed.clear()

    @precondition(lambda self: self.model.dead)
    @rule(picks=PICK)
    def redrive(self, picks: list[int]) -> None:
        model = self.model
        old = self.pick(picks, sorted(model.dead))
        event_ids = [model.ids[position] for position in old]
        found = self.run(self.letters.redrive([*event_ids, "evt-unknown"]))
        assert event_ids == [pending.event_id for pending in found]
        batch = Batch(epoch_ms(self.clock.now()), redriven=True)
        for before, pending in zip(old, found, strict=True):
            model.redrives[pending.position] = model.dead.pop(before) + 1
            model.add(batch, pending.position, pending.event_id)
            model.count(pending.event_id, dead_lettered=-1, buffered=1)
        model.batches.append(batch)

    @precondition(lambda self: self.model.dead)
    @rule(picks=PICK)
    def drop(self, picks: list[int]) -> None:
        positions = self.pick(picks, sorted(self.model.dead))
        event_ids = [self.model.ids[position] for position in positions]
        assert len(positions) == self.run(self.letters.drop(event_ids))
        for position, event_id in zip(positions, event_ids, strict=True):
            del self.model.dead[position]
            self.model.count(event_id, dead_lettered=-1)
            self.model.drop(event_id, "operator")

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(age_s=st.integers(0, 5), limit=st.integers(1, 5))
    def prune(self, age_s: int, limit: int) -> None:
        older_than_ms = epoch_ms(self.clock.now()) - 1000 * age_s
        while self.run(self.log.prune(older_than_ms, limit)):
            pass
        self.model.prune(older_than_ms)
        self.model.keys.clear()  # which of them are old is the contract suite's matter

    @invariant()
    def what_waits_is_there_in_order(self) -> None:
        model = self.model
        expected = [
            (position, model.ids[position], attempts + (position in model.claimed), time, redriven)
            for position, (attempts, time, redriven) in sorted(model.waiting.items())
        ]
        found = self.run(self.log.pending(0, 1000))
        assert expected == [
            (p.position, p.event_id, p.attempts, p.not_before_ms, p.redriven) for p in found
        ]
        assert len(expected) == self.run(self.log.backlog())
        assert all(p.body == p.event_id.encode() and p.kind == kind_of(p.event_id) for p in found)

    @invariant()
    def the_law_holds(self) -> None:
        counts = self.run(self.log.counts())
        expected = {
            kind: KindCounts(dropped=dict(self.model.dropped.get(kind, {})), **numbers)
            for kind, numbers in self.model.counts.items()
        }
        assert expected == counts
        assert all(kind.balanced for kind in counts.values())

    @invariant()
    def dead_letters_are_there(self) -> None:
        found = self.run(self.letters.list(limit=1000))
        assert sorted(self.model.dead.items()) == [(dead.position, dead.redrives) for dead in found]

    @invariant()
    def keys_are_there(self) -> None:
        assert all(self.run(self.log.has_key(*key)) for key in self.model.keys)

    @invariant()
    def every_event_within_retention_has_a_story(self) -> None:
        for event_id in sorted(set(self.model.ids.values()))[:3]:
            assert self.run(self.log.story(event_id)) is not None


class SqliteMachine(InboundMachine):
    async def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.crashes = 0
        await self._open(Path(self.folder.name) / "0" / "sidecar.db")

    async def _open(self, path: Path) -> None:
        self.database = await Database.open(path, schema=load_schema("sidecar"), clock=self.clock)
        self.log = await SqliteReplayLog.open(self.database, seal_at=4)
        self.letters = SqliteDeadLetters(self.log)

    async def crash(self) -> None:
        self.crashes += 1
        image = await crash_image(self.database, Path(self.folder.name) / str(self.crashes))
        await self.database.close()
        await self._open(image)

    async def close(self) -> None:
        await self.database.close()
        self.folder.cleanup()


SETTINGS = settings(max_examples=25, stateful_step_count=30, deadline=None, derandomize=True)
SqliteMachine.TestCase.settings = SETTINGS
InboundMachine.TestCase.settings = SETTINGS


class TestSqliteReplayLogMachine(SqliteMachine.TestCase): ...


class TestMemoryReplayLogMachine(InboundMachine.TestCase): ...
