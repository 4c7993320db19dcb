"""A dispatcher on the in-memory replay log, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from conductor_handlers.dispatcher import Dispatcher, DispatchSettings
from conductor_handlers.settlement import RetryPolicy
from conductor_handlers.subscribers import Routes, Subscriber
from conductor_sdk.clock import ManualClock
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.records import Arrival, Settled
from conductor_state.memory.dead_letters import MemoryDeadLetters
from conductor_state.memory.replay_log import MemoryReplayLog

KIND = "demo:thing"
BOUND_S = 5.0


def make_event(
    number: int, *, subject: str = "ws", kind: str = KIND, **payload: Any
) -> KernelEvent:
    return build_kernel_event_v2(
        {"kind": kind, "from": subject, "payload": {"n": number, **payload}},
        idempotency_key=f"{subject}:{number}",
    )


class Seen:
    """An observer that remembers what was settled."""

    def __init__(self) -> None:
        self.outcomes: list[Settled] = []
        self.troubles: list[Exception] = []
        self._news = asyncio.Event()

    def settled(self, outcomes: Any) -> None:
        self.outcomes.extend(outcomes)
        self._news.set()

    def trouble(self, error: Exception) -> None:
        self.troubles.append(error)
        self._news.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not reached():
                self._news.clear()
                await self._news.wait()


class Bench:
    """A dispatcher on the in-memory replay log."""

    def __init__(self, routes: Routes, settings: DispatchSettings | None = None) -> None:
        self.clock = ManualClock()
        self.log = MemoryReplayLog(self.clock)
        self.dead = MemoryDeadLetters(self.log)
        self.seen = Seen()
        self.dispatcher = Dispatcher(
            self.log, routes, self.clock, random=lambda: 0.0, observer=self.seen, settings=settings
        )
        self._sequence = 0

    async def store(self, *events: KernelEvent) -> list[tuple[int, KernelEvent]]:
        self._sequence += len(events)
        arrivals = [Arrival(e.event_id, e.kind, e.to_json()) for e in events]
        receipt = await self.log.receive("epoch", self._sequence, arrivals)
        return [(p, e) for p, e in zip(receipt.positions, events, strict=True) if p is not None]

    async def arrive(self, *events: KernelEvent) -> None:
        await self.dispatcher.submit(await self.store(*events))

    async def settled(self, count: int) -> None:
        await self.seen.until(lambda: len(self.seen.outcomes) >= count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        task = asyncio.create_task(self.dispatcher.run(), name="dispatcher")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def subscriber(
    handler: Callable[[KernelEvent, Any], Awaitable[Any]], *, slug: str = "demo",
    policy: RetryPolicy | None = None, deadline_s: float = 5.0, **choices: Any,
) -> Subscriber:  # fmt: skip
    policy = policy or RetryPolicy(max_attempts=3, first_delay_s=0.0)
    return Subscriber(slug, handler, None, policy, deadline_s, **choices)
