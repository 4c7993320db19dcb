"""The conservation law after every step, both ways: daemon parts against a small model.

accepted = delivered + buffered + dropped{reason} + dead-lettered, for every kind, whatever comes:
resends, full disks, lost links, failing handlers, crashes, clean stops and operators.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conductor_handlers.dispatcher import Dispatcher
from conductor_handlers.settlement import RetryPolicy
from conductor_handlers.subscribers import Routes, Subscriber
from conductor_protocol.effects import Arrived, Deliver, GapDetected, Refused
from conductor_protocol.messages import PushResult
from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError, QueueFull
from conductor_sdk.event import KernelEvent, parse_event
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.handler import Handled, Outcome, Reject, Retry
from conductor_sdk.records import KindCounts, Outgoing
from conductor_sidecar.delivery.downlink import GAP_KIND, Downlink
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed
from conductor_state.errors import StoreFull
from conductor_state.memory.dead_letters import MemoryDeadLetters
from conductor_state.memory.journal import MemoryJournal
from conductor_state.outbox_caps import Caps, OutboxCaps
from link_bench import EPOCH, SUBJECT, HeldLog, HeldOutbox
from virtual_time import LoopClock, VirtualLoop, turns

T = TypeVar("T")
GOOD, FLAKY, BAD, NOBODY = (f"conductor:{name}_asked" for name in ("good", "flaky", "bad", "nil"))
QUEUED, MORE, TRIED = "demo:queued_thing", "demo:more_things", "demo:tried_thing"
WINDOW = 64
LONG_S = 1000.0
CLOCK = ManualClock()


class Machine(RuleBasedStateMachine):
    """A virtual loop, and the law."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.do(self.finish())
        self.runner.close()

    async def finish(self) -> None:
        """Let what was started come to its end; a machine may check more once it is quiet."""
        await turns(20)


def check(counts: dict[str, KindCounts]) -> None:
    for kind, of in counts.items():
        assert of.balanced, f"{kind}: {of}"
        numbers = (of.accepted, of.delivered, of.buffered, of.dead_lettered, *of.dropped.values())
        assert min(numbers) >= 0, f"{kind}: {of}"


class Acks:
    """The link's half: how far it was told that things are stored."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.failed = False

    async def stored(self, last: int, credit: int) -> None:
        assert 0 <= credit <= WINDOW
        self.last = last

    async def grant(self, credit: int) -> None:
        assert 0 <= credit <= WINDOW

    def fail(self, error: ConductorError) -> None:
        self.failed = True


NUMBERS = st.lists(st.integers(0, 24), min_size=1, max_size=6)


class DownMachine(Machine):
    """Downlink and dispatcher: resends, refusals, full disks, crashes, stops, operators."""

    @initialize()
    def begin(self) -> None:
        self.accepted: Counter[str] = Counter()
        """By kind, what was acknowledged or must have been: first sights only."""
        self.known: set[str] = set()
        self.finished: Counter[str] = Counter()
        """Handler runs that ended well, by event id."""
        self.operator_dropped = 0
        self.sequence = 0
        self.do(self._begin())

    async def _begin(self) -> None:
        self.clock = LoopClock()
        self.log = HeldLog(self.clock)
        self.letters = MemoryDeadLetters(self.log)
        self.journal = MemoryJournal(clock=self.clock)
        self.feed = Feed(self.clock)
        self.gate = asyncio.Event()
        self.gate.set()
        self._build()

    def _build(self) -> None:
        self.dispatcher = Dispatcher(
            self.log, self._routes(), self.clock, random=lambda: 0.5, observer=self.feed
        )
        self.downlink = Downlink(
            self.log, self.dispatcher, self.journal, self.clock, window=WINDOW,
            observer=self.feed, subject=SUBJECT,
        )  # fmt: skip
        self.link = Acks(self.sequence)
        self.tasks = [asyncio.create_task(self.dispatcher.run()),
                      asyncio.create_task(self.downlink.run())]  # fmt: skip

    def _routes(self) -> Routes:
        tried: set[str] = set()

        async def good(event: KernelEvent, ctx: Any) -> Outcome:
            await self.gate.wait()
            self.finished[event.event_id] += 1
            return Handled()

        async def flaky(event: KernelEvent, ctx: Any) -> Outcome:
            if event.event_id not in tried:
                tried.add(event.event_id)
                return Retry(after_s=5.0)
            return await good(event, ctx)

        async def bad(event: KernelEvent, ctx: Any) -> Outcome:
            return Reject("bad")

        policy = RetryPolicy(max_attempts=100, first_delay_s=1.0)
        handlers = {GOOD: good, FLAKY: flaky, BAD: bad, GAP_KIND: good}
        return {
            kind: (Subscriber("demo", handler, None, policy, LONG_S, partition_key=_lane),)
            for kind, handler in handlers.items()
        }

    @rule(numbers=NUMBERS, refused=st.integers(0, 2))
    def events_arrive(self, numbers: Sequence[int], refused: int) -> None:
        events = [_down(number) for number in numbers]
        self.do(self._arrive(events, refused))

    async def _arrive(self, events: Sequence[KernelEvent], refused: int) -> None:
        first = self.sequence + 1
        self.sequence += len(events) + refused
        arrived = [Arrived(first + i, event, event.to_json()) for i, event in enumerate(events)]
        bad = [Refused(first + len(events) + i, "EVENT_MALFORMED", "x") for i in range(refused)]
        await self.downlink.arrived(Deliver(EPOCH, self.sequence, arrived, bad), self.link)
        await self.downlink.idle()
        await turns(20)
        if self.link.failed:
            # A new link goes on from the cursor: the conductor sends all of it again.
            self.sequence = (await self.log.cursor()).sequence
            self.link = Acks(self.sequence)
            return
        assert self.link.last == self.sequence
        for event in events:
            if event.event_id not in self.known:
                self.known.add(event.event_id)
                self.accepted[event.kind] += 1
        self.accepted[""] += refused

    @rule()
    def a_gap_is_found(self) -> None:
        self.do(self._gap())

    async def _gap(self) -> None:
        old, self.sequence = self.sequence, self.sequence + 3
        gap = GapDetected(EPOCH, old, EPOCH, old + 1, old + 3, self.sequence)
        await self.downlink.arrived(gap, self.link)
        await self.downlink.idle()
        await turns(20)
        if self.link.failed:
            self.sequence = (await self.log.cursor()).sequence
            self.link = Acks(self.sequence)
        else:
            self.accepted[GAP_KIND] += 1

    @rule(full=st.booleans())
    def the_disk_fills_or_is_emptied(self, full: bool) -> None:
        self.log.refuse_receive = StoreFull("no room") if full else None

    @rule(opened=st.booleans())
    def handlers_wait_or_go_on(self, opened: bool) -> None:
        self.do(self._gate(opened))

    async def _gate(self, opened: bool) -> None:
        (self.gate.set if opened else self.gate.clear)()
        await turns(20)

    @rule(seconds=st.sampled_from([0.5, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule()
    def the_process_is_killed_and_starts_again(self) -> None:
        self.do(self._restart())

    @rule()
    def the_daemon_stops_cleanly_and_starts_again(self) -> None:
        self.do(self._stop())

    async def _stop(self) -> None:
        before = {item.position: item.attempts for item in await self.log.pending(0, 1000)}
        claimed = set(self.log.inbound.claims)
        await self.dispatcher.drain(0.5)
        await self.tasks[0]
        await self.downlink.idle()
        for item in await self.log.pending(0, 1000):
            # What was claimed is given back: the attempt that it shows is taken off again.
            assert item.attempts <= before[item.position] - (item.position in claimed)
        await self._restart()

    async def _restart(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.log.reap()
        self.sequence = (await self.log.cursor()).sequence
        self._build()
        await self.dispatcher.resume(await self.log.pending(0, 1000))
        await turns(20)

    @rule()
    def an_operator_redrives_everything(self) -> None:
        self.do(self._redrive())

    async def _redrive(self) -> None:
        letters = [letter.event_id for letter in await self.letters.list(limit=1000)]
        await self.dispatcher.resume(await self.letters.redrive(letters))
        await turns(20)

    @rule()
    def an_operator_drops_everything(self) -> None:
        self.do(self._drop())

    async def _drop(self) -> None:
        letters = [letter.event_id for letter in await self.letters.list(limit=1000)]
        self.operator_dropped += await self.letters.drop(letters)

    @invariant()
    def the_law_holds(self) -> None:
        if not hasattr(self, "log"):
            return
        counts = self.do(self.log.counts())
        check(counts)
        assert +self.accepted == +Counter({k: of.accepted for k, of in counts.items()})
        assert sum(of.buffered for of in counts.values()) == self.do(self.log.backlog())
        assert self.downlink.backlog >= 0
        dropped = sum(of.dropped.get("operator", 0) for of in counts.values())
        assert dropped == self.operator_dropped

    async def finish(self) -> None:
        self.gate.set()
        await asyncio.sleep(30.0)
        counts = await self.log.counts()
        check(counts)
        assert sum(of.buffered for of in counts.values()) == 0
        for kind in (GOOD, FLAKY):
            wanted = {i for i in self.known if _kind_of(i) == kind}
            assert wanted <= self.finished.keys()
            assert len(wanted) == counts.get(kind, KindCounts()).delivered
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def _lane(event: KernelEvent) -> str:
    return str(event.payload.get("n", 0) % 3)


_ids: dict[str, str] = {}


def _down(number: int) -> KernelEvent:
    kind = (GOOD, GOOD, FLAKY, BAD, NOBODY)[number % 5]
    fields = {"kind": kind, "from": SUBJECT, "payload": {"n": number}}
    event = build_kernel_event_v2(fields, idempotency_key=str(number), clock=CLOCK)
    _ids[event.event_id] = kind
    return event


def _kind_of(event_id: str) -> str:
    return _ids[event_id]


class UpMachine(Machine):
    """Uplink and outbox: caps, lost links, rejections, full disks, restarts."""

    @initialize(
        limit=st.sampled_from([None, 4]),
        overflow=st.sampled_from(["reject", "drop_oldest", "drop_newest"]),
    )
    def begin(self, limit: int | None, overflow: Any) -> None:
        self.number = 0
        self.published: Counter[str] = Counter()
        """Ephemeral events whose push returned, since the last crash."""
        self.lost = 0
        """Ephemeral events of which a crash took the knowledge."""
        self.queued: dict[str, Outgoing] = {}
        """Queued events that were taken, by id, in order."""
        self.conductor: list[str] = []
        """Ids that the conductor has stored, in order."""
        self.sent: list[str] = []
        """Ids on the open link, unanswered."""
        self.up = False
        self.do(self._begin(OutboxCaps(default=Caps(max_events=limit, overflow=overflow))))

    async def _begin(self, caps: OutboxCaps) -> None:
        self.outbox = HeldOutbox(LoopClock())
        self.outbox.configure(caps)
        self.uplink = Uplink(self.outbox, _policy)

    @rule(kinds=st.lists(st.sampled_from([QUEUED, MORE, TRIED]), min_size=1, max_size=5))
    def events_are_pushed(self, kinds: Sequence[str]) -> None:
        self.do(self._publish(kinds))

    async def _publish(self, kinds: Sequence[str]) -> None:
        events = [self._new(kind) for kind in kinds]
        try:
            receipts = await self.uplink.publish(events)
        except QueueFull:
            return
        for event, receipt in zip(events, receipts, strict=True):
            if event.kind == TRIED:
                self.published[TRIED] += 1
                assert (receipt.status == "sent") == self.up
            elif receipt.status == "queued":
                self.queued[event.event_id] = Outgoing(event.event_id, event.kind, b"")

    def _new(self, kind: str) -> KernelEvent:
        self.number += 1
        fields = {"kind": kind, "from": SUBJECT, "payload": {"n": self.number}}
        return build_kernel_event_v2(fields, idempotency_key=str(self.number), clock=CLOCK)

    @precondition(lambda self: not self.up)
    @rule()
    def a_link_opens(self) -> None:
        self.uplink.connected()
        self.up, self.sent = True, []

    @precondition(lambda self: self.up)
    @rule()
    def the_link_is_lost(self) -> None:
        self.do(self.uplink.disconnected())
        self.up, self.sent = False, []
        accepted = self.do(self.outbox.counts()).get(TRIED, KindCounts()).accepted
        assert accepted + self.lost == self.published[TRIED]

    @precondition(lambda self: self.up)
    @rule(room=st.integers(1, 6))
    def the_link_sends(self, room: int) -> None:
        self.do(self._send(room))

    async def _send(self, room: int) -> int:
        try:
            async with asyncio.timeout(1.0):
                batch = await self.uplink.next_batch(room)
        except TimeoutError:
            return 0
        assert 0 < len(batch) <= room
        self.sent += [item.event_id for item in batch]
        for item in batch:
            # Whether the conductor answers is another matter: it has them from here.
            if not _unwanted(parse_event(item.body)) and item.event_id not in self.conductor:
                self.conductor.append(item.event_id)
        return len(batch)

    @precondition(lambda self: self.up and self.sent)
    @rule(pick=st.integers(0, 5), count=st.integers(1, 4))
    def the_conductor_answers(self, pick: int, count: int) -> None:
        chosen = [self.sent.pop(pick % len(self.sent)) for _ in range(min(count, len(self.sent)))]
        self.do(self._answer(chosen))

    async def _answer(self, event_ids: Sequence[str]) -> None:
        results = [
            PushResult(event_id, "accepted" if event_id in self.conductor else "rejected", None)
            for event_id in [*event_ids, "evt-nobody"]
        ]
        try:
            await self.uplink.confirmed(results)
        except StoreFull:
            await self.uplink.disconnected()
            self.up, self.sent = False, []

    @rule(full=st.booleans())
    def the_disk_fills_or_is_emptied(self, full: bool) -> None:
        self.outbox.refuse_confirm = StoreFull("no room") if full else None

    @rule()
    def the_process_is_killed_and_starts_again(self) -> None:
        accepted = self.do(self.outbox.counts()).get(TRIED, KindCounts()).accepted
        self.lost = self.published[TRIED] - accepted
        self.uplink = Uplink(self.outbox, _policy)
        self.up, self.sent = False, []

    @invariant()
    def the_law_holds(self) -> None:
        if not hasattr(self, "outbox"):
            return
        counts = self.do(self.outbox.counts())
        check(counts)
        depth = self.do(self.outbox.depth())
        assert sum(of.buffered for of in counts.values()) == depth.events
        tried = counts.get(TRIED, KindCounts())
        assert tried.accepted + self.lost <= self.published[TRIED]
        assert tried.buffered == 0

    async def finish(self) -> None:
        self.outbox.refuse_confirm = None
        await self.uplink.disconnected()
        self.uplink.connected()
        self.up, self.sent = True, []
        while await self._send(6):
            await self._answer(self.sent)
            self.sent = []
        await self.uplink.disconnected()
        counts = await self.outbox.counts()
        check(counts)
        assert (await self.outbox.depth()).events == 0
        assert self.uplink.unconfirmed == 0
        lost = sum(of.dropped.get("overflow", 0) for of in counts.values())
        arrived = [event_id for event_id in self.conductor if event_id in self.queued]
        wanted = [event_id for event_id in self.queued if event_id in set(arrived)]
        assert arrived == wanted, "out of order"
        rejected = sum(of.dropped.get("rejected", 0) for k, of in counts.items() if k != TRIED)
        assert len(self.queued) - len(arrived) <= lost + rejected


def _policy(kind: str) -> Any:
    return "ephemeral" if kind == TRIED else "queue"


def _unwanted(event: KernelEvent) -> bool:
    return bool(event.payload["n"] % 7 == 0)


SETTINGS = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
TestDown = DownMachine.TestCase
TestDown.settings = SETTINGS
TestUp = UpMachine.TestCase
TestUp.settings = settings(SETTINGS, max_examples=250)
