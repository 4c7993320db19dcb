"""A move that the conductor plans, to another one, under load: without a pause to see."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from conductor_sdk.clock import SystemClock
from conductor_server.hub import EmbeddedConductor
from conductor_server.server import serve
from delivery_world import SUBJECT
from reload_load import Traffic, tell
from reload_world import ReloadWorld

PAUSE_S = 2.0
"""Far more than the 0.2 s that are wanted: the machine of a test is busy with others."""


class Pauses:
    """The longest time between two events that were received."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last: float | None = None

    async def watch(self, world: ReloadWorld) -> None:
        seen = 0
        while True:
            received = len(world.pack().handled)
            now = asyncio.get_running_loop().time()
            if received != seen:
                if self._last is not None:
                    self.longest_s = max(self.longest_s, now - self._last)
                seen, self._last = received, now
            await asyncio.sleep(0.002)


async def moved(world: ReloadWorld, connections: int) -> None:
    async def is_moved() -> bool:
        link = (await world.status())["link"]
        return bool(link["connections"] >= connections and link["state"] == "open")

    await world.until("the link has moved", is_moved)


async def test_a_drained_sidecar_moves_to_another_conductor(world: ReloadWorld) -> None:
    await world.run()
    async with AsyncExitStack() as stack:
        second = EmbeddedConductor(world.conductor.history, SystemClock(), world.hub)
        if world.adapter == "websocket":
            address = (await stack.enter_async_context(serve(second, port=0))).link
        else:
            address = None  # one process has one listener of a name: it comes back to the first
        pauses = Pauses()
        async with Traffic(world, per_batch=20).flowing() as traffic:
            traffic.also.append(second)
            handled = world.pack().handled
            await world.until("it flows", lambda: len(handled) > 200, progress=lambda: len(handled))
            watching = asyncio.create_task(pauses.watch(world))
            # As `drain`, but the conductor keeps the link until it is left.
            [session] = world.conductor._sessions
            await session._perform(session._session.drain(0.0, address, session._now()))
            await moved(world, 2)
            beyond = traffic.sent
            await world.until(
                "it goes on", lambda: len(handled) > beyond + 500, progress=lambda: len(handled)
            )
            watching.cancel()
        await traffic.arrived()
        served = second if address else world.conductor
        assert (await served.workspace(SUBJECT)).serving is not None
        link = (await world.status())["link"]
        tell(f"{traffic.sent} events, longest pause {pauses.longest_s * 1000:.0f} ms")
        assert (2, True) == (link["connections"], pauses.longest_s < PAUSE_S)
        assert 0 == (await world.counts("conductor:job_asked"))["duplicates"]
        await world.stop()
        await second.close()


async def test_a_drain_that_closes_in_a_moment_is_survived(world: ReloadWorld) -> None:
    await world.run()
    async with Traffic(world).flowing() as traffic:
        for number in range(2, 5):
            await world.conductor.drain(retry_after_s=0.0)
            await moved(world, number)
    await traffic.arrived()
