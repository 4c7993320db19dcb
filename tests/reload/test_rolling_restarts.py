"""Restarts under load, of either end: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import pytest

from reload_load import Traffic, held, tell
from reload_world import ReloadWorld

WARM = 3
GROWTH_BYTES = 16 << 20
EVENT_BYTES, EVENT_BLOCKS = 2 << 10, 6
"""What an event leaves in this process, mostly at its far end and in the test: 1.96 KiB and 4.3
blocks were measured over 6,170 events without any restart. Restarts must add nothing to it."""
FILES = 4


async def restarts(world: ReloadWorld, count: int, *, every_s: float = 0.05) -> None:
    async with Traffic(world, every_s=every_s).flowing() as traffic:
        for number in range(WARM + count):
            if number == WARM:
                before, already = held(), traffic.sent
            await world.stop()
            await world.start()
            if number % 3 == 0:
                await world.conductor.restart()
            await world.linked()
            # What was stored before a start runs one by one: it must not pile up.
            await traffic.caught_up(300)
    await traffic.arrived()
    after = held()
    blocks, growth = after.blocks - before.blocks, (after.rss - before.rss) / 2**20
    tell(f"{count} restarts, {traffic.sent} events, {growth:+.1f} MiB, {blocks:+} blocks")
    # A daemon that was stopped is gone as a whole: nothing and nobody keeps it.
    assert 1 == after.daemons
    events = traffic.sent - already
    assert after.rss - before.rss < GROWTH_BYTES + EVENT_BYTES * events
    assert blocks < 20_000 + EVENT_BLOCKS * events
    assert after.files - before.files <= FILES
    more = after.tasks - before.tasks
    # Workers come as they are needed; the guest is a guest.
    own = ("dispatcher.worker", "pack.reload-guest")
    assert {} == {name: n for name, n in more.items() if not name.startswith(own)}


async def test_a_sample_of_restarts_under_load(world: ReloadWorld) -> None:
    await world.run()
    await restarts(world, 7)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_two_hundred_restarts_under_load(world: ReloadWorld) -> None:
    await world.run()
    await restarts(world, 200 - WARM, every_s=0.05)
