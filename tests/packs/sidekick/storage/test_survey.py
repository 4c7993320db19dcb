"""Reading without a lock: a commit may happen between any two looks of a reader."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from conductor_packs.sidekick.records import TASKS
from conductor_packs.sidekick.storage import directory, survey
from conductor_packs.sidekick.storage.directory import Signature
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.testing_samples import task

pytestmark = pytest.mark.usefixtures("no_sync")

LOOKS = 24
"""More than a reader has between the begin of its survey and the end."""


class Interruption:
    """Lets something happen at the nth look of a reader, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = directory.status_of
        self._looks = 0
        self._act: Callable[[], object] | None = None
        self._thread: int | None = None
        monkeypatch.setattr(survey.files, "status_of", self._look)

    def at(self, look: int, act: Callable[[], object]) -> None:
        self._looks, self._act, self._thread = look, act, None

    def _look(self, parent: int, path: str) -> Signature | None:
        mine = threading.get_ident()
        if self._act is not None and self._thread in {None, mine}:
            self._thread = mine
            self._looks -= 1
            if self._looks == 0:
                act, self._act = self._act, None
                act()
        return self._real(parent, path)


def stopping_at(point: str) -> Callable[[str], None]:
    """Return a step at which putting in place ends, and is left to the next opener."""
    begun: list[str] = []  # what is done before is the recovery of an earlier change

    def step(name: str) -> None:
        begun.extend([name] if name == "begun" else [])
        if begun and name == point:
            raise OSError(5, "Input/output error")

    return step


@pytest.mark.parametrize("pending", [None, "decided", "moved"])
@pytest.mark.parametrize("becomes", [None, "decided", "moved", "appended"])
async def test_a_reader_sees_one_state_whatever_happens_between_its_looks(
    pending: str | None, becomes: str | None, tmp_path: Path, child: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    interruption = Interruption(monkeypatch)
    root = tmp_path / ".sidekick"
    reader = FilesystemStoragePort(root)

    def change(point: str | None) -> None:
        async def run() -> None:
            port = FilesystemStoragePort(root, step=stopping_at(point or "none"))
            await port.change(child.create)
            await port.close()

        asyncio.run(run())

    count = 0
    for look in range(1, LOOKS, 3):
        await asyncio.to_thread(change, pending)
        count += 1
        assert count == len(await reader.read(child.whole))  # all of it is parsed by now
        interruption.at(look, lambda: change(becomes))
        seen = len(await reader.read(child.whole))
        interruption.at(0, lambda: None)
        count = len(await reader.read(child.whole))
        assert seen in {count - 1, count}
    await reader.close()


async def test_a_version_is_later_than_the_one_before_though_the_clock_went_back(
    tmp_path: Path,
) -> None:
    port = FilesystemStoragePort(tmp_path / ".sidekick")
    path = tmp_path / ".sidekick" / "tasks" / "tasks.json"
    await port.change(lambda change: change.put(TASKS, task(1)))
    future_ns = 4_000_000_000_000_000_000
    os.utime(path, ns=(future_ns, future_ns))
    for number in (1, 2):
        await port.change(lambda change: change.put(TASKS, task(1)))
        assert future_ns + number == os.stat(path).st_mtime_ns  # noqa: PTH116  # a test may block
    await port.close()
