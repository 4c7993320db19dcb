"""Many processes on one journal: `python plan_racers.py MODE JOURNAL PROCESSES COUNT`.

Promise: all start at the same moment, and each one's findings are a line of JSON on standard
output. Refusal: nothing is judged here.

Modes: `increment` reads an item's version and writes at it, COUNT times; `stale` writes COUNT times
at version 1 of an item that is beyond; `claim` claims one item; `work` claims the plan's next item
until none is left; `append` adds items for ever and tells each receipt.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from conductor_packs.plan import batch as batch_module
from conductor_packs.plan.apply import Fact
from conductor_packs.plan.batch import Caller
from conductor_packs.plan.errors import ClaimHeld, NothingReady, VersionConflict
from conductor_packs.plan.records import Changed
from conductor_packs.plan.requests import AddItem, ClaimItem, Patch, UpdateItem
from conductor_packs.plan.store import Plans
from conductor_sdk.clock import SystemClock
from plan_journal import opened


async def increment(plans: Plans, caller: Caller, count: int) -> dict[str, Any]:
    versions: list[int] = []
    conflicts = 0
    for _ in range(count):
        item = await plans.read(lambda reader, _now: reader.item("A"))
        patch = Patch(priority=item.priority + 1)
        request = UpdateItem(item_id="A", expected_version=item.version, patch=patch)
        try:
            result = await plans.change(request, caller)
        except VersionConflict:
            conflicts += 1
        else:
            assert isinstance(result, Changed)
            versions.append(result.payload["new_version"])
    return {"versions": versions, "conflicts": conflicts}


async def stale(plans: Plans, caller: Caller, count: int) -> dict[str, Any]:
    conflicts = 0
    request = UpdateItem(item_id="A", expected_version=1, patch=Patch(title="late"))
    for _ in range(count):
        try:
            await plans.change(request, caller)
        except VersionConflict:
            conflicts += 1
    return {"conflicts": conflicts}


async def claim(plans: Plans, caller: Caller, _count: int) -> dict[str, Any]:
    try:
        await plans.change(ClaimItem(item_id="A"), caller)
    except ClaimHeld as error:
        return {"won": False, "holder": error.data["holder"]}
    return {"won": True, "holder": caller.actor}


async def work(plans: Plans, caller: Caller, _count: int) -> dict[str, Any]:
    mine: list[str] = []
    while True:
        try:
            result = await plans.change(ClaimItem(plan_id="P"), caller)
        except NothingReady:
            return {"mine": mine}
        assert isinstance(result, Changed)
        mine.append(result.payload["item_id"])


async def append(plans: Plans, caller: Caller, count: int) -> dict[str, Any]:
    """With a count, die in the middle of that commit, between the entry and its tables."""
    real, calls = batch_module.apply, 0

    def deadly(connection: Any, fact: Fact) -> None:
        nonlocal calls
        calls += 1
        if calls == -count:
            os.kill(os.getpid(), signal.SIGKILL)
        real(connection, fact)
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)

    batch_module.apply = deadly
    while True:
        result = await plans.change(AddItem(plan_id="P", title="another"), caller)
        assert isinstance(result, Changed)
        told = [result.receipt.sequence, result.receipt.hash, result.payload["item_id"]]
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


MODES = {
    "increment": increment, "stale": stale, "claim": claim, "work": work, "append": append,
}  # fmt: skip


async def race(mode: str, path: Path, number: int, count: int) -> dict[str, Any]:
    async with opened(path, SystemClock(), timeout_s=60) as journal:
        plans = Plans(journal, SystemClock())
        return await MODES[mode](plans, Caller(f"agent-{number}"), count)


def main(mode: str, path: Path, processes: int, count: int) -> None:
    waiting, go = os.pipe()
    children: list[int] = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(waiting, 1)  # returns when the parent closes its end
            line = json.dumps(asyncio.run(race(mode, path, number, count))) + "\n"
            os.write(1, line.encode())
            os._exit(0)
        children.append(child)
    os.close(waiting)
    os.close(go)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(int(any(statuses)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
