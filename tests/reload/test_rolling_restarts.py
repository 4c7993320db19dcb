"""Restarts under load, of either end: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import pytest

from reload_load import Traffic, give_back_large_blocks, held, tell
from reload_world import ReloadWorld

WARM = 3
FLOOD = 20_000
"""Events after which the indexes of known ids, at both ends, have the size that they keep for a
million: 8,192 to 16,384 ids each in a table, and a filter in front of those before."""
GROWTH_BYTES = 8 << 20
EVENT_BYTES, EVENT_BLOCKS = 384, 6
"""What an event leaves in this process, nearly all of it in the test: its packs count by number
what they handled."""
YOUNG_BYTES = 1 << 10
"""The same while the indexes still grow."""
FILES = 4


async def restarts(
    world: ReloadWorld, count: int, *, flood: int = 0, every_s: float = 0.05
) -> None:
    give_back_large_blocks()
    per_event = EVENT_BYTES if flood else YOUNG_BYTES
    flooding = Traffic(world, every_s=every_s)
    await flooding.flood(flood)
    async with flooding.flowing() as traffic:
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
    events = traffic.sent - already
    tell(f"{count} restarts, {events} events, {growth:+.1f} MiB, {blocks:+} blocks")
    # A daemon that was stopped is gone as a whole: nothing and nobody keeps it.
    assert 1 == after.daemons
    assert after.rss - before.rss < GROWTH_BYTES + per_event * events
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
    await restarts(world, 200 - WARM, flood=FLOOD)
