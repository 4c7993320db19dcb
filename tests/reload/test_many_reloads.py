"""Reloads under load, half of them invalid: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import pytest

from conductor_sdk.client import SidecarAnswered
from reload_load import Traffic, held, tell
from reload_pack import GUEST, STEADY
from reload_world import ReloadWorld

OTHERS = ["acme-demo", "sidekick", "plan"]
WARM = 10
GROWTH_BYTES = 32 << 20
"""What the allocator and the histories of both ends may add after the warm-up."""
FILES = 4


def broken(world: ReloadWorld, number: int) -> None:
    """Write something that cannot be taken over."""
    match number % 5:
        case 0:
            world.write_text("[dispatch\nconcurrency = ")
        case 1:
            world.write({"dispatch": {"concurency": number}})
        case 2:
            world.manifest(STEADY, "id: [")
        case 3:
            world.manifest(STEADY, f"id: {STEADY}\nversion: 1.0.0\nnonsense: {number}\n")
        case _:
            world.write({"pack": {STEADY: {"refuse": True, "round": number}}})


def valid(world: ReloadWorld, number: int) -> None:
    """Write something else than before: settings, a section, a manifest, a pack more or less."""
    disabled = [*OTHERS, GUEST] if number % 4 == 0 else OTHERS
    world.manifest(STEADY, version=f"1.0.{number}" if number % 6 == 0 else "1.0.0")
    world.write({
        "dispatch": {"concurrency": 4 + number % 60, "window": 128 + number % 200},
        "packs": {"disabled": disabled},
        "pack": {STEADY: {"greeting": str(number % 7)}},
    })  # fmt: skip


async def reloads(world: ReloadWorld, count: int, *, every_s: float = 0.01) -> None:
    outcomes = {"applied": 0, "refused": 0}
    async with Traffic(world, every_s=every_s).flowing() as traffic:
        for number in range(WARM + count):
            if number == WARM:
                await world.linked()  # a busy machine may miss beats: the link counts on both sides
                before = held()
            if number % 2:
                broken(world, number // 2)
                with pytest.raises(SidecarAnswered):
                    await world.reload()
                outcomes["refused"] += 1
            else:
                valid(world, number)
                report = await world.reload()
                assert ("applied", False) == (report["outcome"], report["restart_needed"])
                outcomes["applied"] += 1
    await traffic.arrived()
    await world.linked()
    after = held()
    world.manifest(STEADY)
    tell(f"{outcomes}, {traffic.sent} events, {(after.rss - before.rss) / 2**20:+.1f} MiB")
    assert after.rss - before.rss < GROWTH_BYTES
    assert after.files - before.files <= FILES
    more = after.tasks - before.tasks
    # Workers come as they are needed; the guest is a guest.
    own = ("dispatcher.worker", "pack.reload-guest")
    assert {} == {name: n for name, n in more.items() if not name.startswith(own)}


async def test_a_sample_of_reloads_under_load(world: ReloadWorld) -> None:
    await world.run()
    await reloads(world, 30)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_thousand_reloads_under_load(world: ReloadWorld) -> None:
    await world.run()
    # Fewer events a second: what a history of so many holds is not what is measured.
    await reloads(world, 1000 - WARM, every_s=0.1)
