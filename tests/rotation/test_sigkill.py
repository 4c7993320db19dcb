"""The same with real processes and SIGKILL, at the steps where a file is half done."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from delivery_world import PATIENCE_S
from rotation_world import RotationWorld

CHILD = Path(__file__).parents[1] / "support" / "rotation_child.py"
POINTS = ["candidate.drafted", "candidate.replaced", "enrollment.synced", "enrollment.replaced"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_process_is_let_in_afterwards(world: RotationWorld, point: str) -> None:
    await world.open()
    await world.order()
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(world.workspace.root), point,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert -signal.SIGKILL == await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    drafts = list(world.workspace.state_dir.glob(".enrollment*"))
    assert {0o600} >= {stat.S_IMODE(draft.stat().st_mode) for draft in drafts}
    for draft in drafts:
        os.utime(draft, (0, 0))  # a draft that is this old is nobody's any more

    await world.start()
    await world.linked()
    await world.rotated(2)
    await world.until("nothing is left", lambda: not _leftovers(world))


def _leftovers(world: RotationWorld) -> list[str]:
    return [path.name for path in world.workspace.state_dir.glob(".enrollment*")]
