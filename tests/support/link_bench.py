"""The parts of a link on in-memory twins, and the conductor's end played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from conductor_adapters.memory import MemoryTransport, pair
from conductor_adapters.transport import LinkClosed, Transport, TransportError
from conductor_handlers.dispatcher import Dispatcher
from conductor_handlers.settlement import RetryPolicy
from conductor_handlers.subscribers import Routes, Subscriber
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_protocol.codec import decode_sidecar, encode
from conductor_protocol.effects import Arrived, Close, Connected, Deliver
from conductor_protocol.messages import (
    Ack,
    ConductorMessage,
    Events,
    Hello,
    Limits,
    Push,
    Pushed,
    PushResult,
    SidecarMessage,
    UnknownMessage,
    Welcome,
)
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.handler import Handled
from conductor_sdk.records import Arrival, Position, Receipt
from conductor_sidecar.delivery.downlink import GAP_KIND, Downlink
from conductor_sidecar.delivery.keeper import Keeper
from conductor_sidecar.delivery.link import Link
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed
from conductor_state.memory.journal import MemoryJournal
from conductor_state.memory.outbox import MemoryOutbox
from conductor_state.memory.replay_log import MemoryReplayLog
from virtual_time import LoopClock, turns

M = TypeVar("M")
KIND = "conductor:thing_happened"
QUEUED = "demo:queued_thing"
TRIED = "demo:tried_thing"
SUBJECT = "ws"
EPOCH = "epoch-1"
PATIENCE_S = 1000.0
"""Virtual seconds."""


def down_event(number: int, kind: str = KIND) -> KernelEvent:
    fields = {"kind": kind, "from": SUBJECT, "payload": {"n": number}}
    return build_kernel_event_v2(fields, idempotency_key=str(number), clock=LoopClock())


def up_event(number: int, kind: str = QUEUED) -> KernelEvent:
    return down_event(number, kind)


def deliver(*numbers: int, epoch: str = EPOCH, first: int | None = None) -> Deliver:
    """A batch whose sequences begin at `first`, or are the numbers themselves."""
    start = numbers[0] if first is None else first
    arrived = [Arrived(start + index, down_event(n), down_event(n).to_json())
               for index, n in enumerate(numbers)]  # fmt: skip
    return Deliver(epoch, start + len(numbers) - 1, arrived, [])


class HeldLog(MemoryReplayLog):
    """The replay log's twin on a disk that can be slow or full."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.turning = asyncio.Event()
        """Cleared: nothing commits until it is set again."""
        self.turning.set()
        self.refuse_receive: ConductorError | None = None
        self.refuse_claim: ConductorError | None = None

    async def receive(
        self, epoch: str, last: int, events: Sequence[Arrival],
        refused: Mapping[tuple[str, str], int] | None = None,
    ) -> Receipt:  # fmt: skip
        await self.turning.wait()
        if self.refuse_receive is not None:
            raise self.refuse_receive
        return await super().receive(epoch, last, events, refused)

    async def claim(self, positions: Sequence[Position]) -> None:
        if self.refuse_claim is not None:
            raise self.refuse_claim
        await super().claim(positions)


class HeldOutbox(MemoryOutbox):
    """The outbox's twin on a disk that can be slow or full."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.turning = asyncio.Event()
        self.turning.set()
        self.refuse_confirm: ConductorError | None = None
        self.refuse_take: ConductorError | None = None

    async def confirm(
        self, positions: Sequence[int], *, rejected: Mapping[int, str] | None = None
    ) -> None:
        await self.turning.wait()
        if self.refuse_confirm is not None:
            raise self.refuse_confirm
        await super().confirm(positions, rejected=rejected)

    async def take(self, after: int, limit: int, max_bytes: int) -> list[Any]:
        if self.refuse_take is not None:
            raise self.refuse_take
        return await super().take(after, limit, max_bytes)


class FarEnd:
    """Speaks the conductor's half word by word."""

    def __init__(self, link: Transport) -> None:
        self.link = link
        self.heard: list[SidecarMessage] = []
        """Everything that came, in order."""
        self._read = 0

    async def say(self, *messages: ConductorMessage) -> None:
        await self.link.send([encode(message) for message in messages])

    async def hear(self, kind: type[M]) -> M:
        """Wait for the next message of a kind; what comes before it is skipped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._read < len(self.heard):
                    message = self.heard[self._read]
                    self._read += 1
                    if isinstance(message, kind):
                        return message
                await self._receive()

    async def _receive(self) -> None:
        for frame in await self.link.receive(100):
            message = decode_sidecar(frame, Limits())
            assert not isinstance(message, UnknownMessage)
            self.heard.append(message)

    async def listen(self) -> None:
        """Take everything until the link ends."""
        while True:
            try:
                await self._receive()
            except LinkClosed:
                return

    async def welcome(
        self, *, start: int = 0, epoch: str = EPOCH, resumed: bool = True, session: str = "ses-1",
        beat_s: float = 10.0, gap: tuple[int, int] | None = None, limits: Limits | None = None,
    ) -> Hello:  # fmt: skip
        hello = await self.hear(Hello)
        await self.say(Welcome(
            version=1, session=session, subject=SUBJECT, epoch=epoch, resumed=resumed, start=start,
            gap_from=gap[0] if gap else None, gap_to=gap[1] if gap else None,
            limits=limits or Limits(), beat_s=beat_s,
        ))  # fmt: skip
        return hello

    async def events(self, first: int, *numbers: int) -> None:
        raws = [msgspec.Raw(down_event(number).to_json()) for number in numbers]
        await self.say(Events(first=first, events=raws))

    async def pushed(self) -> list[KernelEvent]:
        """Wait for a push and return its events, unanswered."""
        push = await self.hear(Push)
        return [msgspec.json.decode(raw, type=KernelEvent) for raw in push.events]

    async def answer(self, *event_ids: str, status: Any = "accepted") -> None:
        reason = "not wanted" if status == "rejected" else None
        await self.say(Pushed(results=[PushResult(i, status, reason) for i in event_ids]))

    def acks(self) -> list[Ack]:
        return [message for message in self.heard if isinstance(message, Ack)]


class Conductor:
    """What is found at the address: a link for each try, or an error."""

    def __init__(self) -> None:
        self.answer: TransportError | None = None
        self.tries: list[tuple[int, str | None]] = []
        """(second, address that was moved to) of every try."""
        self.ends: asyncio.Queue[FarEnd] = asyncio.Queue()

    async def connect(self, moved_to: str | None) -> MemoryTransport:
        self.tries.append((round(asyncio.get_running_loop().time()), moved_to))
        if self.answer is not None:
            raise self.answer
        near, far = pair()
        self.ends.put_nowait(FarEnd(far))
        return near

    @property
    def seconds(self) -> list[int]:
        return [second for second, _ in self.tries]

    async def arrival(self) -> FarEnd:
        """Wait for the next connection."""
        async with asyncio.timeout(10_000):
            return await self.ends.get()

    async def welcomed(self, **welcome: Any) -> tuple[FarEnd, Hello]:
        """Wait for the next connection and welcome it."""
        end = await self.arrival()
        hello = await end.welcome(**welcome)
        await turns()
        return end, hello


class LinkBench:
    """Downlink, uplink and dispatcher on twins; links are made by hand."""

    def __init__(self, *, window: int = 64, routes: Routes | None = None) -> None:
        self.clock = LoopClock()
        self.log = HeldLog(self.clock)
        self.outbox = HeldOutbox(self.clock)
        self.journal = MemoryJournal(clock=self.clock)
        self.feed = Feed(self.clock)
        self.handled: list[int] = []
        """Payload numbers, in the order in which the handler saw them."""
        self.gaps: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        """Cleared: the handler waits."""
        self.open.set()
        self.dispatcher = Dispatcher(
            self.log, routes or self.routes(), self.clock, random=lambda: 0.0, observer=self.feed
        )
        self.downlink = Downlink(
            self.log, self.dispatcher, self.journal, self.clock, window=window,
            observer=self.feed, subject=SUBJECT,
        )  # fmt: skip
        self.uplink = Uplink(self.outbox, lambda k: "ephemeral" if k == TRIED else "queue")
        self.opened: list[Connected] = []

    def routes(self) -> Routes:
        async def on_thing(event: KernelEvent, ctx: Any) -> Handled:
            await self.open.wait()
            self.handled.append(event.payload["n"])
            return Handled()

        async def on_gap(event: KernelEvent, ctx: Any) -> Handled:
            self.gaps.append(event.payload)
            return Handled()

        policy = RetryPolicy(max_attempts=3, first_delay_s=0.0)
        return {
            KIND: (Subscriber("demo", on_thing, None, policy, 3600.0),),
            GAP_KIND: (Subscriber("demo", on_gap, None, policy, 5.0),),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LinkBench]:
        tasks = [asyncio.create_task(self.dispatcher.run(), name="dispatcher"),
                 asyncio.create_task(self.downlink.run(), name="downlink")]  # fmt: skip
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def link(self, transport: Transport) -> Link:
        async def head() -> None:
            return None

        return Link(
            transport, downlink=self.downlink, uplink=self.uplink, feed=self.feed,
            clock=self.clock, head=head, opened=self.opened.append,
        )  # fmt: skip

    @asynccontextmanager
    async def linked(
        self, wrap: Callable[[MemoryTransport], Transport] = lambda near: near, **welcome: Any
    ) -> AsyncIterator[Talk]:
        """Run a link whose conductor has said welcome."""
        near, far = pair()
        talk = Talk(self.link(wrap(near)), FarEnd(far))
        talk.task = asyncio.create_task(
            talk.link.run(await self.log.cursor(), None, [], "test/1"), name="link"
        )
        try:
            if welcome.pop("greet", True):
                before = len(self.opened)
                talk.hello = await talk.far.welcome(**welcome)
                await until(lambda: len(self.opened) > before or talk.task.done())
            yield talk
        finally:
            talk.task.cancel()
            await asyncio.gather(talk.task, return_exceptions=True)
            await far.close()

    async def counts(self, kind: str = KIND) -> Any:
        return (await self.log.counts())[kind]

    async def up_counts(self, kind: str = QUEUED) -> Any:
        return (await self.outbox.counts())[kind]


class KeeperBench:
    """A keeper with everything it needs; `roll` is what its dice show."""

    def __init__(
        self, *, roll: float = 1.0, spread_s: float = 30.0,
        changed: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.bench = LinkBench()
        self.conductor = Conductor()
        policy = BackoffPolicy(first_spread_s=spread_s, cap_s=300.0)
        self.keeper = Keeper(
            self.conductor.connect, downlink=self.bench.downlink, uplink=self.bench.uplink,
            feed=self.bench.feed, clock=self.bench.clock, backoff=Backoff(policy, lambda: roll),
            cursor=self.bench.log.cursor, head=_no_head, packs=list, software="test/1",
            adapter="memory", address="memory://home", changed=changed,
        )  # fmt: skip
        self.task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[Conductor]:
        async with self.bench.running():
            self.task = asyncio.create_task(self.keeper.run(), name="keeper")
            try:
                yield self.conductor
            finally:
                self.task.cancel()
                await asyncio.gather(self.task, return_exceptions=True)

    def state(self) -> tuple[str, str]:
        """The state of the link, and the code of its reason."""
        report = self.keeper.report()
        return report.state, report.reason.split(":")[0]

    def handled(self, *numbers: int) -> bool:
        return self.bench.handled == list(numbers)


async def _no_head() -> None:
    return None


class Talk:
    """A link under test and its far end."""

    task: asyncio.Task[Close]
    hello: Hello

    def __init__(self, link: Link, far: FarEnd) -> None:
        self.link = link
        self.far = far

    async def ended(self) -> Close:
        """Wait for the end of the link; return why."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.task


async def until(reached: Callable[[], bool], what: str = "the condition") -> None:
    """Turn the loop, then let virtual time pass, until a condition holds."""
    for turn in range(2000):
        if reached():
            return
        await asyncio.sleep(0 if turn < 200 else 1.0)
    raise AssertionError(f"{what} did not come about")
