"""Killed at every step of a rotation, either end comes back and is let in."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from conductor_sidecar.app import open_journal
from delivery_world import PATIENCE_S
from rotation_deaths import CONDUCTOR, SIDECAR, Death, Life
from rotation_world import RotationWorld


async def rotations_written(world: RotationWorld) -> list[int]:
    """The generations of which the journal tells."""
    journal = open_journal(world.workspace)
    try:
        entries = await journal.tail(0, 1000)
    finally:
        await journal.close()
    return [json.loads(e.payload)["generation"] for e in entries if e.event_type == "ROTATED"]


async def over(life: Life) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await life.over.wait()


async def bury(world: RotationWorld) -> None:
    """End a sidecar that has died, without a word."""
    daemon, world.daemon = world.daemon, None
    assert daemon is not None
    daemon.cancel()
    await asyncio.gather(daemon, return_exceptions=True)


def leftovers(world: RotationWorld) -> list[str]:
    """Files that hold a credential and should not be there."""
    return [path.name for path in world.workspace.state_dir.glob("*enrollment*")
            if path.name != "enrollment.json"]  # fmt: skip


@pytest.mark.parametrize("point", SIDECAR)
async def test_a_sidecar_killed_at_a_step_is_let_in_afterwards(
    world: RotationWorld, point: str
) -> None:
    world.crash_point = life = Life(point)
    await world.run()
    await world.order()
    await over(life)
    await bury(world)

    world.crash_point = Life()
    await world.start()
    await world.linked()
    await world.rotated(2)
    await world.stop()
    assert [2] == await rotations_written(world)
    assert [] == leftovers(world)


@pytest.mark.parametrize("point", CONDUCTOR)
async def test_a_conductor_killed_at_a_step_lets_the_sidecar_in_afterwards(
    world: RotationWorld, point: str
) -> None:
    await world.run()
    life = Life(point)
    world.conductor.rotations._crash_point = life
    with contextlib.suppress(Death):
        await world.order()
    await over(life)
    await world.close()

    await world.open()
    await world.linked()
    await world.rotated(2)


@pytest.mark.parametrize("point", ["candidate.durable", "rotation.probing", "enrollment.durable"])
async def test_a_sidecar_killed_twice_at_a_step_is_let_in_afterwards(
    world: RotationWorld, point: str
) -> None:
    await world.open()
    for _ in range(2):
        world.crash_point = life = Life(point)
        await world.start()
        with contextlib.suppress(Death):
            await world.order()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await life.over.wait()
        await bury(world)
    world.crash_point = Life()
    await world.start()
    await world.linked()
    assert world.generation in await world.valid()


async def test_every_step_of_a_rotation_is_in_the_lists(world: RotationWorld) -> None:
    world.crash_point = ours = Life()
    await world.run()
    world.conductor.rotations._crash_point = theirs = Life()
    await world.order()
    await world.rotated(2)
    await world.until("it is confirmed", lambda: "rotation.confirmed" in ours.seen)
    assert SIDECAR == [point for point in dict.fromkeys(ours.seen) if point in SIDECAR]
    assert CONDUCTOR == list(dict.fromkeys(theirs.seen))
    assert 12 <= len(SIDECAR) + len(CONDUCTOR)
