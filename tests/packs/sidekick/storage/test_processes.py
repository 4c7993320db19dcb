"""Several processes on one store: nothing is lost, nobody waits for ever, never two holders."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conductor_packs.sidekick.records import TASKS
from conductor_packs.sidekick.storage.errors import StoreBusy
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.port import StoragePort
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort

KINDS = {"filesystem": FilesystemStoragePort, "sqlite": SqliteStoragePort}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [1, 50])
async def test_eight_processes_with_fifty_creates_each_make_four_hundred(
    kind: str, at_once: int, tmp_path: Path, start: Any, child: ModuleType
) -> None:
    root = tmp_path / ".sidekick"
    crowd = await start("crowd", root, kind, 8, 50, at_once, sync=False)
    end = asyncio.create_task(crowd.communicate())
    port = KINDS[kind](root)
    seen = 0
    while not end.done():
        now = len(await port.read(child.whole))
        assert now >= seen
        seen = now
        await asyncio.sleep(0.01)  # a pause between looks, not a wait for something
    reported = (await end)[0].decode().split()
    assert 0 == crowd.returncode
    assert 400 == len(reported)
    assert sorted(reported) == sorted(await port.read(child.whole))
    await port.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_x18_six_hundred_creates_at_once_all_succeed(
    kind: str, tmp_path: Path, child: ModuleType
) -> None:
    port = KINDS[kind](tmp_path / ".sidekick")
    made = await asyncio.gather(*(port.change(child.create) for _ in range(600)))
    assert 600 == len(set(made))
    assert sorted(made) == sorted(await port.read(child.whole))
    await port.close()


async def test_x18_two_processes_with_three_hundred_creates_at_once_all_succeed(
    tmp_path: Path, start: Any, child: ModuleType
) -> None:
    root = tmp_path / ".sidekick"
    crowd = await start("crowd", root, "filesystem", 2, 300, 300)
    reported = (await crowd.communicate())[0].decode().split()
    assert 600 == len(set(reported))
    assert sorted(reported) == sorted(await FilesystemStoragePort(root).read(child.whole))


@pytest.mark.parametrize(("kind", "trials"), [("filesystem", 400), ("sqlite", 50)])
async def test_first_writes_that_race_each_other_and_reads_are_all_kept(
    kind: str, trials: int, tmp_path: Path, start: Any
) -> None:
    for trial in range(trials):
        (tmp_path / str(trial)).mkdir()
    racer = await start("race", tmp_path, kind, trials, sync=False)
    out, _ = await racer.communicate()
    assert [2 * trials, 0, 0] == json.loads(out)


async def _held(start: Any, root: Path, kind: str) -> asyncio.subprocess.Process:
    holder = await start("hold", root, kind)
    assert b"held\n" == await holder.stdout.readline()
    return holder


@pytest.mark.parametrize("kind", KINDS)
async def test_x13_a_stalled_holder_is_never_robbed(
    kind: str, tmp_path: Path, start: Any, child: ModuleType
) -> None:
    root = tmp_path / ".sidekick"
    port: StoragePort = KINDS[kind](root, lock_wait_s=0.2)
    first = await port.change(child.create)
    holder = await _held(start, root, kind)
    holder.send_signal(signal.SIGSTOP)
    long_ago = time.time() - 3600
    os.utime(root / ".lock", (long_ago, long_ago))
    with pytest.raises(StoreBusy) as busy:
        await port.change(child.create)
    assert {"pid": holder.pid} == busy.value.data
    assert busy.value.retryable
    assert [first] == await port.read(child.whole)  # reads wait for nobody
    patient = KINDS[kind](root)
    waiting = asyncio.create_task(patient.change(child.create))
    holder.send_signal(signal.SIGCONT)
    out, _ = await holder.communicate(b"\n")
    assert [first, out.decode().strip(), await waiting] == await port.read(child.whole)
    await port.close()
    await patient.close()


async def test_a_holder_that_is_killed_gives_the_lock_back_at_once(
    tmp_path: Path, start: Any, child: ModuleType
) -> None:
    root = tmp_path / ".sidekick"
    holder = await _held(start, root, "filesystem")
    holder.kill()
    await holder.wait()
    port = FilesystemStoragePort(root, lock_wait_s=1)
    assert [await port.change(child.create)] == await port.read(child.whole)
    await port.close()


async def test_each_waiting_change_has_its_own_time(tmp_path: Path, start: Any) -> None:
    root = tmp_path / ".sidekick"
    holder = await _held(start, root, "filesystem")
    port = FilesystemStoragePort(root, lock_wait_s=0.1)
    waiting = [asyncio.create_task(port.change(lambda _change: None)) for _ in range(20)]
    gone = asyncio.create_task(port.change(lambda change: change.remove(TASKS, "none")))
    await asyncio.sleep(0)
    gone.cancel()
    results = await asyncio.gather(*waiting, gone, return_exceptions=True)
    assert [StoreBusy] * 20 + [asyncio.CancelledError] == [type(result) for result in results]
    await holder.communicate(b"\n")
    assert 5 == await port.change(lambda _change: 5)
    await port.close()


async def test_x12_reads_open_nothing_to_write(
    tmp_path: Path, start: Any, child: ModuleType
) -> None:
    root = tmp_path / ".sidekick"
    port = FilesystemStoragePort(root)
    await port.change(child.create)
    await port.close()
    reader = await start("reads", root)
    out, _ = await reader.communicate()
    assert {"wrong": [], "found": 1} == json.loads(out)
