"""The outbox against a list and a few counters: caps, crashes and time in any order.

Every rule ends with the same check: what is queued, the counts, the law and the depth are the
model's, on SQLite and in memory.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.errors import QueueFull
from conductor_sdk.records import KindCounts, OutboxDepth, Outgoing, PutResult
from conductor_state.database import Database
from conductor_state.memory.outbox import MemoryOutbox
from conductor_state.outbox import SqliteOutbox
from conductor_state.outbox_caps import Caps, OutboxCaps
from conductor_state.schema import load_schema

T = TypeVar("T")
KINDS = ("acme:a", "acme:b", "acme:c")
LIMIT = st.none() | st.integers(0, 8)
CAPS = st.builds(
    Caps,
    max_events=LIMIT,
    max_bytes=st.none() | st.integers(0, 150),
    max_age_s=st.none() | st.sampled_from([1.0, 5.0]),
    overflow=st.sampled_from(["block", "reject", "drop_oldest", "drop_newest"]),
)
ALL_CAPS = st.builds(
    OutboxCaps,
    default=st.just(Caps()) | CAPS,
    kinds=st.dictionaries(st.sampled_from(KINDS), CAPS, max_size=2),
)
EVENTS = st.lists(
    st.builds(
        lambda number, kind, size: Outgoing(f"e{number}", kind, b"x" * size),
        st.integers(0, 11), st.sampled_from(KINDS), st.sampled_from([1, 10, 40]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    position: int
    event: Outgoing
    put_ms: int


@dataclass
class Model:
    """The outbox, as simple as it can be said."""

    caps: OutboxCaps = field(default_factory=OutboxCaps)
    queue: list[Line] = field(default_factory=list)
    last: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def copy(self) -> Model:
        copies = {
            name: getattr(self, name).copy()
            for name in ("queue", "accepted", "delivered", "duplicates", "dropped")
        }
        return replace(self, **copies)

    def pool(self, kind: str) -> str:
        return kind if kind in self.caps.kinds else "rest"

    def rules(self, kind: str) -> Caps:
        return self.caps.kinds.get(kind, self.caps.default)

    def has_room(self, kind: str, lines: Sequence[Line]) -> bool:
        own = [line for line in lines if line.event.kind == kind]
        sides = [(self.caps.default, lines)]
        sides += [(self.caps.kinds[kind], own)] if kind in self.caps.kinds else []
        return all(
            (caps.max_events is None or len(side) < caps.max_events)
            and (caps.max_bytes is None or sum(len(x.event.body) for x in side) < caps.max_bytes)
            for caps, side in sides
        )

    def drop(self, line: Line, reason: str) -> None:
        self.queue.remove(line)
        self.dropped[line.event.kind, reason] += 1

    def put(self, events: Sequence[Outgoing], now_ms: int) -> list[PutResult] | str:
        """Change the model and answer the results, or `full`, or `wait <pool>`: use a copy."""
        before = self.last
        answers: list[int | str] = []
        for event in events:
            kind = event.kind
            if any(line.event.event_id == event.event_id for line in self.queue):
                self.duplicates[kind] += 1
                answers.append("duplicate")
                continue
            overflow = self.rules(kind).overflow
            while not self.has_room(kind, self.queue) and overflow == "drop_oldest":
                pool = [x for x in self.queue if self.pool(x.event.kind) == self.pool(kind)]
                if not pool:
                    break
                self.drop(pool[0], "overflow")
            if self.has_room(kind, self.queue):
                self.last += 1
                self.accepted[kind] += 1
                self.queue.append(Line(self.last, event, now_ms))
                answers.append(self.last)
            elif overflow in {"drop_oldest", "drop_newest"}:
                self.accepted[kind] += 1
                self.dropped[kind, "overflow"] += 1
                answers.append("dropped")
            else:
                mine = [line for line in self.queue if line.position > before]
                alone = self.has_room(kind, mine)
                return f"wait {self.pool(kind)}" if overflow == "block" and alone else "full"
        kept = {line.position for line in self.queue}
        return [
            PutResult(event.event_id, "queued")
            if answer in kept
            else PutResult(event.event_id, "duplicate")
            if answer == "duplicate"
            else PutResult(event.event_id, "dropped", "overflow")
            for event, answer in zip(events, answers, strict=True)
        ]

    def counts(self) -> dict[str, KindCounts]:
        kinds = {*self.accepted, *self.duplicates}
        return {
            kind: KindCounts(
                accepted=self.accepted[kind],
                delivered=self.delivered[kind],
                buffered=sum(line.event.kind == kind for line in self.queue),
                dropped={r: count for (k, r), count in self.dropped.items() if k == kind and count},
                duplicates=self.duplicates[kind],
            )
            for kind in kinds
        }


@dataclass
class Waiting:
    """A put that waits, in the model and in the outbox."""

    events: Sequence[Outgoing]
    task: asyncio.Task[list[PutResult]]


class OutboxMachine(RuleBasedStateMachine):
    """Rules for the in-memory twin; SQLite adds crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(debug=False)
        self.clock = ManualClock()
        self.model = Model()
        self.waiting: list[Waiting] = []
        self.outbox = self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> SqliteOutbox | MemoryOutbox:
        return MemoryOutbox(clock=self.clock)

    def now_ms(self) -> int:
        return epoch_ms(self.clock.now())

    async def settle(self) -> None:
        """Let the outbox finish all that it can decide now."""
        await asyncio.sleep(0)
        while self.outbox._gate._task is not None:
            await asyncio.wait([self.outbox._gate._task])
        await asyncio.sleep(0)

    def let_in(self, *newcomers: Waiting) -> None:
        """Decide waiting calls and newcomers as the contract says, and compare the answers."""
        calls = [*self.waiting, *newcomers]
        stored = True
        while stored and calls:
            stored, still, full_pools = False, [], set()
            for call in calls:
                pools = {self.model.pool(event.kind) for event in call.events}
                trial = self.model.copy()
                answer = "wait" if pools & full_pools else trial.put(call.events, self.now_ms())
                if isinstance(answer, list):
                    stored, self.model = True, trial
                    assert call.task.result() == answer
                elif answer == "full":
                    assert isinstance(call.task.exception(), QueueFull)
                else:
                    full_pools |= {answer.removeprefix("wait ")} - {"wait"}
                    still.append(call)
            calls = still
        self.waiting = calls
        assert not any(call.task.done() for call in calls)

    @rule(batches=st.lists(EVENTS, min_size=1, max_size=3))
    def put(self, batches: list[list[Outgoing]]) -> None:
        """Callers at the same time share a commit and wait each for themselves."""

        async def work() -> list[Waiting]:
            calls = [Waiting(e, asyncio.create_task(self.outbox.put(e))) for e in batches]
            await self.settle()
            return calls

        self.let_in(*self.run(work()))

    @rule(events=EVENTS)
    def put_one(self, events: list[Outgoing]) -> None:
        self.put([events])

    @rule(caps=ALL_CAPS)
    def configure(self, caps: OutboxCaps) -> None:
        async def work() -> None:
            self.outbox.configure(caps)
            await self.settle()

        self.model.caps = caps
        self.run(work())
        self.let_in()

    @rule(after=st.integers(0, 12), limit=st.integers(1, 5), max_bytes=st.integers(0, 80))
    def take(self, after: int, limit: int, max_bytes: int) -> None:
        page: list[Line] = []
        for line in self.model.queue:
            size = sum(len(x.event.body) for x in [*page, line])
            if line.position > after and len(page) < limit and (not page or size <= max_bytes):
                page.append(line)
            elif line.position > after:
                break

        taken = self.run(self.outbox.take(after, limit, max_bytes))

        assert [(x.position, x.event.event_id) for x in page] == [
            (event.position, event.event_id) for event in taken
        ]

    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        queued = st.sampled_from([line.position for line in self.model.queue] or [1])
        unknown = st.integers(-1, self.model.last + 3)
        positions = data.draw(st.lists(queued, max_size=6) | st.lists(queued | unknown))
        rejected = data.draw(st.dictionaries(queued | unknown, st.just("no"), max_size=2))

        async def work() -> None:
            await self.outbox.confirm(positions, rejected=rejected)
            await self.settle()

        self.run(work())
        self.leave(positions, rejected)
        self.let_in()

    def leave(self, positions: Sequence[int], rejected: dict[int, str]) -> None:
        for line in list(self.model.queue):
            if line.position in rejected:
                self.model.drop(line, "rejected")
            elif line.position in positions:
                self.model.queue.remove(line)
                self.model.delivered[line.event.kind] += 1

    @rule(kind=st.sampled_from(KINDS), delivered=st.integers(0, 2), offline=st.integers(0, 2))
    def count_ephemeral(self, kind: str, delivered: int, offline: int) -> None:
        accepted = delivered + offline
        self.run(
            self.outbox.count_ephemeral(
                kind, accepted=accepted, delivered=delivered, dropped={"offline": offline}
            )
        )
        self.model.accepted[kind] += accepted
        self.model.delivered[kind] += delivered
        self.model.dropped[kind, "offline"] += offline

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def expire(self, seconds: float) -> None:
        async def work() -> int:
            dropped = await self.outbox.expire(self.now_ms())
            await self.settle()
            return dropped

        self.clock.advance(seconds)
        old = []
        for line in self.model.queue:
            max_age_s = self.model.rules(line.event.kind).max_age_s
            if max_age_s is not None and self.now_ms() - line.put_ms > max_age_s * 1000:
                old.append(line)
        for line in old:
            self.model.drop(line, "expired")

        assert self.run(work()) == len(old)
        self.let_in()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel_a_waiting_put(self, data: st.DataObject) -> None:
        call = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))

        async def work() -> None:
            call.task.cancel()
            await asyncio.wait([call.task])
            await self.settle()

        self.run(work())
        self.let_in()

    @rule(number=st.integers(0, 11))
    def tell(self, number: int) -> None:
        queued = any(line.event.event_id == f"e{number}" for line in self.model.queue)

        story = self.run(self.outbox.story(f"e{number}"))

        assert queued == (story is not None and story.state in {"queued", "pushed"})

    @rule()
    def prune(self) -> None:
        self.run(self.outbox.prune(self.now_ms(), 2))

    @invariant()
    def agrees_with_the_model(self) -> None:
        queue = self.model.queue
        size = sum(len(line.event.body) for line in queue)
        oldest_ms = queue[0].put_ms if queue else None

        taken = self.run(self.outbox.take(0, 1000, 1 << 30))
        counts = self.run(self.outbox.counts())

        assert [(line.position, line.event.body) for line in queue] == [
            (event.position, event.body) for event in taken
        ]
        assert {k: v for k, v in self.model.counts().items() if v != KindCounts()} == {
            k: v for k, v in counts.items() if v != KindCounts()
        }
        assert all(kind.balanced for kind in counts.values())
        assert self.run(self.outbox.depth()) == OutboxDepth(len(queue), size, oldest_ms)

    def teardown(self) -> None:
        for call in self.waiting:
            call.task.cancel()
        self.run(asyncio.sleep(0))
        self.runner.close()


class SqliteOutboxMachine(OutboxMachine):
    """The same, and the process dies at any moment: what a copy of the files shows is true."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-machine-"))
        self.path = self.folder / "0" / "sidecar.db"
        self.lives = 0
        self.dies_at = ""
        super().__init__()

    async def open(self) -> SqliteOutbox:
        self.database = await Database.open(
            self.path, schema=load_schema("sidecar"), clock=self.clock, crash_point=self.reached
        )
        return await SqliteOutbox.open(self.database, caps=self.model.caps, recent_ids=3)

    def reached(self, point: str) -> None:
        """At the armed point keep what a killed process would leave: its files as they are."""
        if point == self.dies_at:
            self.dies_at = ""
            self.lives += 1
            shutil.copytree(self.path.parent, self.folder / str(self.lives))

    @initialize()
    def begin(self) -> None:
        assert self.run(self.outbox.depth()) == OutboxDepth(0, 0, None)

    def wake_up(self) -> None:
        for call in self.waiting:
            call.task.cancel()
        self.waiting = []
        self.run(self.database.close())
        self.path = self.folder / str(self.lives) / "sidecar.db"
        self.outbox = self.run(self.open())

    @rule()
    def crash(self) -> None:
        self.dies_at = "now"
        self.reached("now")
        self.wake_up()

    @rule(
        events=EVENTS,
        point=st.sampled_from([
            "outbox.before_put", "outbox.after_put", "database.before_commit",
            "database.after_commit",
        ]),
    )  # fmt: skip
    def crash_while_putting(self, events: list[Outgoing], point: str) -> None:
        async def work() -> None:
            task = asyncio.create_task(self.outbox.put(events))
            await self.settle()
            task.cancel()
            await asyncio.wait([task])

        for call in self.waiting:
            call.task.cancel()
        self.waiting = []
        self.run(self.settle())
        self.dies_at = point
        trial = self.model.copy()
        stored = isinstance(trial.put(events, self.now_ms()), list)
        self.run(work())
        if point == "database.after_commit" and stored:
            self.model = trial
        self.wake_up()

    @rule(
        data=st.data(),
        point=st.sampled_from([
            "outbox.before_confirm", "outbox.after_confirm", "database.before_commit",
            "database.after_commit",
        ]),
    )  # fmt: skip
    def crash_while_confirming(self, data: st.DataObject, point: str) -> None:
        where = st.sampled_from([line.position for line in self.model.queue] or [1])
        positions = data.draw(st.lists(where, min_size=1, max_size=6))
        rejected = data.draw(st.dictionaries(where, st.just("no"), max_size=1))
        self.dies_at = point
        self.run(self.outbox.confirm(positions, rejected=rejected))
        if point == "database.after_commit":
            self.leave(positions, rejected)
        self.wake_up()

    @invariant()
    def totals_are_true(self) -> None:
        assert self.run(self.outbox.mend()) is False

    def teardown(self) -> None:
        super_runner = self.runner
        for call in self.waiting:
            call.task.cancel()
        super_runner.run(asyncio.sleep(0))
        super_runner.run(self.database.close())
        super_runner.close()
        shutil.rmtree(self.folder)


SETTINGS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMemoryOutboxMachine = OutboxMachine.TestCase
TestMemoryOutboxMachine.settings = settings(SETTINGS, max_examples=100)
TestSqliteOutboxMachine = SqliteOutboxMachine.TestCase
TestSqliteOutboxMachine.settings = SETTINGS
