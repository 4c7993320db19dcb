"""Many processes on one plan: nothing is lost, nobody is told two different things."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.plan.requests import Patch, UpdateItem
from plan_world import LIAM, World, world

RACERS = Path(__file__).parents[2] / "support" / "plan_racers.py"
pytestmark = pytest.mark.timeout(240)


async def race(path: Path, mode: str, processes: int, count: int = 0) -> list[Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(RACERS), mode, str(path / "journal.db"), str(processes), str(count),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await child.communicate()
    assert 0 == child.returncode
    return [json.loads(line) for line in output.splitlines()]


async def at_version_two(made: World) -> None:
    await made.add("A")
    await made.do(UpdateItem(item_id="A", expected_version=1, patch=Patch(title="new")), LIAM)


async def test_six_processes_increment_without_losing_one(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        found = await race(tmp_path, "increment", 6, 200)
        item = await made.item("A")
        versions = [version for each in found for version in each["versions"]]
        assert item.version - 1 == len(versions)
        assert sorted(versions) == list(range(2, item.version + 1))
        assert item.priority == item.version - 1
        assert 1200 == len(versions) + sum(each["conflicts"] for each in found)
        conflicts = (await made.types()).count("PLAN_CONFLICT_DETECTED")
        assert conflicts == sum(each["conflicts"] for each in found)
        assert ["OK", None] == await made.sound()


async def test_four_hundred_stale_writes_are_four_hundred_conflicts(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await at_version_two(made)
        found = await race(tmp_path, "stale", 4, 100)
        assert [{"conflicts": 100}] * 4 == found
        assert 400 == (await made.types()).count("PLAN_CONFLICT_DETECTED")
        assert 2 == (await made.item("A")).version
        assert ["OK", None] == await made.sound()


async def test_thirty_two_processes_race_and_one_wins(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        found = await race(tmp_path, "claim", 32)
        [winner] = [each for each in found if each["won"]]
        losers = [each for each in found if not each["won"]]
        assert [{"won": False, "holder": winner["holder"]}] * 31 == losers
        assert 1 == (await made.types()).count("PLAN_ITEM_CLAIMED")
        assert ["OK", None] == await made.sound()


async def test_every_item_of_a_plan_is_claimed_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        items = [f"I-{number:03}" for number in range(60)]
        await made.add(*items)
        found = await race(tmp_path, "work", 6)
        assert items == sorted(item for each in found for item in each["mine"])
        assert ["OK", None] == await made.sound()


async def appended(path: Path, count: int, until: int | None = None) -> list[Any]:
    """Let one process add items until it dies by itself, or is killed after so many."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(RACERS), "append", str(path / "journal.db"), "1", str(count),
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    told: list[Any] = []
    while until is None or len(told) < until:
        line = await child.stdout.readline()
        if not line:
            break
        told.append(json.loads(line))
    if until is not None:
        os.killpg(child.pid, 9)
        rest, _ = await child.communicate()
        told += [json.loads(line) for line in rest.splitlines() if line.endswith(b"]")]
    await child.wait()
    return told


@pytest.mark.parametrize("dies_at", [-1, 1, -4, 4])
async def test_a_kill_between_an_entry_and_its_tables_leaves_neither(
    tmp_path: Path, dies_at: int
) -> None:
    async with world(tmp_path) as made:
        told = await appended(tmp_path, dies_at)
        assert abs(dies_at) - 1 == len(told)
        assert ["OK", None] == await made.sound()
        assert len(told) == len(await made.read("items", "P"))


@pytest.mark.parametrize("until", [1, 7, 20])
async def test_what_was_told_before_a_kill_is_still_there(tmp_path: Path, until: int) -> None:
    async with world(tmp_path) as made:
        told = await appended(tmp_path, 0, until)
        assert ["OK", None] == await made.sound()
        entries = await made.journal.journal.tail(0, 10_000)
        hashes = {entry.sequence: entry.hash for entry in entries}
        assert [each[1] for each in told] == [hashes[each[0]] for each in told]
        items = {item.item_id for item in await made.read("items", "P")}
        assert items.issuperset(each[2] for each in told)
