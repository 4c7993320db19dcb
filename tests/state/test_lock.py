"""The workspace lock: one owner, named to the others, given back by the kernel."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import Workspace, WorkspaceUnsafe, resolve_workspace
from conductor_state.lock import Holder, WorkspaceBusy, WorkspaceLock

HOLDER = textwrap.dedent("""
    import asyncio, subprocess, sys, time
    from conductor_sdk.workspace import resolve_workspace
    from conductor_state.lock import WorkspaceLock

    async def main():
        lock = WorkspaceLock(resolve_workspace(sys.argv[1]), "conductor sidecar")
        await lock.acquire(0)
        child = subprocess.Popen(["sleep", "60"]) if sys.argv[2] == "child" else None
        print(child.pid if child else 0, flush=True)
        sys.stdin.read()

    asyncio.run(main())
""")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return resolve_workspace(tmp_path)


def start_holder(workspace: Workspace, mode: str = "alone") -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(workspace.root), mode],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


async def test_the_lock_names_its_holder_to_the_next(workspace: Workspace) -> None:
    first = WorkspaceLock(workspace, "conductor sidecar", clock=ManualClock())
    second = WorkspaceLock(workspace, "conductor dead-letters")
    await first.acquire(0)

    with pytest.raises(WorkspaceBusy) as caught:
        await second.acquire(0)

    assert (first.held, second.held) == (True, False)
    assert second.holder() == Holder(os.getpid(), "conductor sidecar", "2026-01-01T00:00:00.000Z")
    assert caught.value.exit_code == 6
    assert caught.value.data == {
        "pid": os.getpid(), "command": "conductor sidecar", "since": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    assert f"conductor sidecar (process {os.getpid()}" in caught.value.message
    first.release()


async def test_it_can_be_had_again_after_release(workspace: Workspace) -> None:
    first, second = WorkspaceLock(workspace, "a"), WorkspaceLock(workspace, "b")
    await first.acquire(0)
    await first.acquire(0)
    first.release()
    first.release()

    assert second.holder() is None
    async with second.hold(0):
        assert first.holder() == second.holder()
    assert (first.held, second.held) == (False, False)


async def test_waiting_ends_when_the_holder_lets_go(workspace: Workspace) -> None:
    first, second = WorkspaceLock(workspace, "a"), WorkspaceLock(workspace, "b")
    await first.acquire(0)
    waiting = asyncio.create_task(second.acquire(30))
    await asyncio.sleep(0)
    assert not waiting.done()

    first.release()
    await waiting

    assert second.held
    second.release()


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  a count, of a directory that is not a file tree


async def test_no_descriptor_is_left_open_whatever_happens(workspace: Workspace) -> None:
    first, second = WorkspaceLock(workspace, "a"), WorkspaceLock(workspace, "b")
    workspace.create()
    before = open_descriptors()
    await first.acquire(0)
    for timeout_s in (0, 0.001):
        with pytest.raises(WorkspaceBusy):
            await second.acquire(timeout_s)
    second.holder()
    first.release()

    assert open_descriptors() == before


async def test_waiting_is_bounded_and_says_how_long(workspace: Workspace) -> None:
    first, second = WorkspaceLock(workspace, "a"), WorkspaceLock(workspace, "b")
    await first.acquire(0)

    with pytest.raises(WorkspaceBusy, match=r"waited 0\.02 s"):
        await second.acquire(0.02)
    first.release()


async def test_a_cancelled_wait_leaves_nothing_behind(workspace: Workspace) -> None:
    first, second = WorkspaceLock(workspace, "a"), WorkspaceLock(workspace, "b")
    await first.acquire(0)
    waiting = asyncio.create_task(second.acquire(30))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.release()

    assert not second.held
    await second.acquire(0)
    second.release()


async def test_another_process_is_named_and_its_death_frees_the_lock(workspace: Workspace) -> None:
    process, _ = await asyncio.to_thread(start_holder, workspace)
    lock = WorkspaceLock(workspace, "conductor status")

    with pytest.raises(WorkspaceBusy) as caught:
        await lock.acquire(0)
    assert caught.value.data["pid"] == process.pid

    process.send_signal(signal.SIGKILL)
    await lock.acquire(20)
    await asyncio.to_thread(process.communicate)

    holder = lock.holder()
    assert holder is not None
    assert holder.pid == os.getpid()
    lock.release()


async def test_a_program_that_the_holder_started_does_not_keep_the_lock(
    workspace: Workspace,
) -> None:
    process, child = await asyncio.to_thread(start_holder, workspace, "child")
    try:
        process.send_signal(signal.SIGKILL)
        lock = WorkspaceLock(workspace, "conductor status")
        await lock.acquire(20)
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
        await asyncio.to_thread(process.communicate)


async def test_what_a_dead_holder_wrote_is_not_believed(workspace: Workspace) -> None:
    workspace.create()
    workspace.lock.write_text('{"pid":1,"command":"conductor sidecar","since":"x"}')
    lock = WorkspaceLock(workspace, "conductor status")

    assert lock.holder() is None
    await lock.acquire(0)
    lock.release()


async def test_a_holder_that_has_not_spoken_yet_is_no_reason_to_fail(workspace: Workspace) -> None:
    first, second = WorkspaceLock(workspace, "a"), WorkspaceLock(workspace, "b")
    await first.acquire(0)
    workspace.lock.write_text("half a rec")

    with pytest.raises(WorkspaceBusy, match="has not said"):
        await second.acquire(0)
    first.release()


async def test_the_file_is_private_and_stays(workspace: Workspace) -> None:
    lock = WorkspaceLock(workspace, "a")
    assert lock.holder() is None
    async with lock.hold(0):
        pass

    assert stat.S_IMODE(workspace.lock.stat().st_mode) == 0o600


async def test_a_symbolic_link_in_its_place_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.create()
    (tmp_path / "elsewhere").write_text("precious")
    workspace.lock.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(WorkspaceUnsafe):
        await WorkspaceLock(workspace, "a").acquire(0)
    assert (tmp_path / "elsewhere").read_text() == "precious"
