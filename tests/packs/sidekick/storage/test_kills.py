"""SIGKILL at every named point of a write: all of a change or nothing, and nobody waits for it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conductor_packs.sidekick.storage import commit, sqlite
from conductor_packs.sidekick.storage.errors import StorageError
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.port import StoragePort
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort

DECIDED = {"filesystem": "decided", "sqlite": "committed"}
PORTS = {"filesystem": FilesystemStoragePort, "sqlite": SqliteStoragePort}
POINTS = [
    *(("filesystem", point, nth) for point in commit.STEPS for nth in (1, 4)),
    *(("sqlite", point, nth) for point in sqlite.STEPS for nth in (1, 4)),
]


def _changes_before(kind: str, point: str, nth: int) -> int:
    """How many changes are whole when the process dies: two files are staged and moved in each."""
    steps = commit.STEPS if kind == "filesystem" else sqlite.STEPS
    before = (nth - 1) // 2 if point in {"staging", "moved"} else nth - 1
    return before + (steps.index(point) >= steps.index(DECIDED[kind]))


@pytest.mark.parametrize(("kind", "point", "nth"), POINTS)
async def test_a_kill_leaves_all_of_a_change_or_nothing(
    kind: str, point: str, nth: int, tmp_path: Path, start: Any, child: ModuleType
) -> None:
    root = tmp_path / ".sidekick"
    victim = await start("die", root, kind, point, nth)
    out, _ = await victim.communicate()
    assert -signal.SIGKILL == victim.returncode
    reported = out.decode().split()
    # A reader that comes first sees a whole state, without repairing anything.
    reader: StoragePort = PORTS[kind](root)
    found = await reader.read(child.whole)
    assert _changes_before(kind, point, nth) == len(found)
    assert reported == found[: len(reported)]
    assert len(found) - len(reported) in {0, 1}
    # The next writer finishes or sweeps what is left, at once.
    writer: StoragePort = PORTS[kind](root, lock_wait_s=5)
    made = await writer.change(child.create)
    assert [*found, made] == await writer.read(child.whole)
    assert [*found, made] == await reader.read(child.whole)
    left = {name for _, _, names in os.walk(root) for name in names}
    assert not {name for name in left if ".tmp" in name or name == ".commit"}
    await reader.close()
    await writer.close()


@pytest.mark.parametrize("point", [point for point in commit.STEPS if point != "cleared"])
async def test_a_failing_disk_is_reported_where_nothing_happened_and_only_there(
    point: str, tmp_path: Path, child: ModuleType
) -> None:
    full = True

    def step(name: str) -> None:
        if full and name == point:
            raise OSError(28, "No space left on device", "tasks.json")

    port = FilesystemStoragePort(tmp_path / ".sidekick", step=step)
    steps = commit.STEPS
    if steps.index(point) < steps.index("decided"):
        with pytest.raises(StorageError, match="No space left"):
            await port.change(child.create)
        assert [] == await port.read(child.whole)
    else:
        assert [await port.change(child.create)] == await port.read(child.whole)
    before = await port.read(child.whole)
    full = False
    made = await port.change(child.create)
    assert [*before, made] == await port.read(child.whole)
    await port.close()
