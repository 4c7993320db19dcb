"""A pause of the dispatcher, and what becomes of events when the packs are exchanged in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from conductor_handlers.dispatcher import Dispatcher, DispatchSettings
from conductor_handlers.settlement import RetryPolicy
from conductor_handlers.subscribers import Routes, Subscriber
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.handler import Handled, Outcome, Retry
from conductor_sdk.records import Arrival
from conductor_state.memory.replay_log import MemoryReplayLog
from virtual_time import LoopClock, turns, virtual

KIND = "conductor:thing_happened"
POLICY = RetryPolicy(max_attempts=5, first_delay_s=5.0)


class Bench:
    """A dispatcher with packs that write down what they see."""

    def __init__(self, *, concurrency: int = 4) -> None:
        self.clock = LoopClock()
        self.log = MemoryReplayLog(self.clock)
        self.seen: list[tuple[str, int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.retried: set[int] = set()
        self.settings = DispatchSettings(concurrency=concurrency, held_in_memory=1)
        self.dispatcher = Dispatcher(
            self.log, self.routes("first"), self.clock, random=lambda: 0.0, settings=self.settings
        )

    def routes(self, *names: str) -> Routes:
        return {KIND: tuple(self.subscriber(name) for name in names)} if names else {}

    def subscriber(self, name: str) -> Subscriber:
        """A pack's handler; `pack/2` is the pack `pack` as it was loaded the second time."""

        async def handler(event: KernelEvent, ctx: Any) -> Outcome:
            number = event.payload["n"]
            if number in self.retried:
                self.retried.discard(number)
                return Retry(after_s=5.0)
            await self.open.wait()
            self.seen.append((name, number))
            return Handled()

        return Subscriber(
            name.partition("/")[0], handler, None, POLICY, 3600.0,
            partition_key=lambda event: str(event.payload.get("lane", "")),
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Dispatcher]:
        task = asyncio.create_task(self.dispatcher.run(), name="dispatcher")
        try:
            yield self.dispatcher
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def send(self, *numbers: int, lane: str = "") -> None:
        events = [
            build_kernel_event_v2(
                {"kind": KIND, "from": "ws", "payload": {"n": n, "lane": lane}},
                idempotency_key=str(n), clock=self.clock,
            )
            for n in numbers
        ]  # fmt: skip
        arrivals = [Arrival(event.event_id, event.kind, event.to_json()) for event in events]
        receipt = await self.log.receive("e", numbers[-1], arrivals)
        batch = [(p, e) for p, e in zip(receipt.positions, events, strict=True) if p is not None]
        await self.dispatcher.submit(batch)

    async def counts(self) -> Any:
        return (await self.log.counts())[KIND]


@virtual
async def test_nothing_begins_while_it_lasts() -> None:
    bench = Bench()
    async with bench.running() as dispatcher:
        assert await dispatcher.pause(1.0)
        sending = asyncio.create_task(bench.send(1, 2))
        await asyncio.sleep(60)
        assert ([], False) == (bench.seen, sending.done())
        dispatcher.go_on()
        await sending
        await turns()
        assert [("first", 1), ("first", 2)] == bench.seen


@virtual
async def test_what_runs_is_waited_for_and_no_longer_than_asked() -> None:
    bench = Bench()
    async with bench.running() as dispatcher:
        bench.open.clear()
        await bench.send(1)
        await turns()
        began = bench.clock.monotonic()
        assert not await dispatcher.pause(3.0)
        assert 3.0 == round(bench.clock.monotonic() - began, 3)
        bench.open.set()
        await bench.send(2)
        await turns()
        assert [("first", 1), ("first", 2)] == bench.seen
        assert await dispatcher.pause(3.0)


@virtual
async def test_events_in_lanes_go_on_with_the_new_handler_in_order() -> None:
    bench = Bench(concurrency=1)
    async with bench.running() as dispatcher:
        bench.open.clear()
        await bench.send(1, 2, 3)
        await turns()
        pausing = asyncio.create_task(dispatcher.pause(60.0))
        await turns()
        bench.open.set()
        assert await pausing
        dispatcher.adopt(bench.routes("first/2"), bench.settings)
        dispatcher.go_on()
        await turns()
        assert [("first", 1), ("first/2", 2), ("first/2", 3)] == bench.seen
        assert 3 == (await bench.counts()).delivered


@virtual
async def test_an_event_that_waits_for_its_retry_keeps_its_attempts_and_its_time() -> None:
    bench = Bench()
    async with bench.running() as dispatcher:
        bench.retried.add(1)
        await bench.send(1, 2, 3, 4)  # held up behind it, two of them without their bodies
        await turns()
        assert await dispatcher.pause(1.0)
        dispatcher.adopt(bench.routes("first/2"), bench.settings)
        dispatcher.go_on()
        await asyncio.sleep(4.5)
        assert [] == bench.seen
        await asyncio.sleep(1)
        assert [("first/2", n) for n in (1, 2, 3, 4)] == bench.seen


@virtual
async def test_events_of_a_pack_that_is_gone_are_unhandled() -> None:
    bench = Bench()
    async with bench.running() as dispatcher:
        bench.retried.add(1)
        await bench.send(1, 2)
        await turns()
        assert await dispatcher.pause(1.0)
        dispatcher.adopt({}, bench.settings)
        dispatcher.go_on()
        await bench.send(3)
        await asyncio.sleep(60)
        counts = await bench.counts()
        assert ([], {"unhandled": 3}, 0) == (bench.seen, dict(counts.dropped), counts.buffered)
        assert (0, 0) == (dispatcher.in_flight, dispatcher.lanes()["lanes"])


@virtual
async def test_a_shared_event_is_done_when_those_who_are_left_are_done() -> None:
    bench = Bench()
    async with bench.running() as dispatcher:
        assert await dispatcher.pause(1.0)
        dispatcher.adopt(bench.routes("first", "second"), bench.settings)
        dispatcher.go_on()
        bench.retried.add(1)
        await bench.send(1)
        await turns()
        [(done, _)] = bench.seen
        assert await dispatcher.pause(1.0)
        dispatcher.adopt(bench.routes(done), bench.settings)
        dispatcher.go_on()
        await asyncio.sleep(60)
        assert ([(done, 1)], 1) == (bench.seen, (await bench.counts()).delivered)


@virtual
async def test_workers_follow_the_concurrency() -> None:
    bench = Bench(concurrency=8)

    def workers() -> int:
        names = [task.get_name() for task in asyncio.all_tasks()]
        return sum(name.startswith("dispatcher.worker") for name in names)

    async with bench.running() as dispatcher:
        found: list[int] = []
        for number, concurrency in enumerate((8, 2, 5)):
            assert await dispatcher.pause(1.0)
            dispatcher.adopt(bench.routes("first"), DispatchSettings(concurrency=concurrency))
            dispatcher.go_on()
            bench.open.clear()
            for lane in range(10):
                await bench.send(number * 100 + lane, lane=str(lane))
            await turns()
            found.append(workers())
            bench.open.set()
            await turns()
        assert ([8, 2, 5], 30) == (found, len(bench.seen))
