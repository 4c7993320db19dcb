"""The runner and the outbox in a whole sidecar, on a clock that the test owns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.sidekick import background
from conductor_packs.sidekick.client import SidekickClient, connect_sidekick
from conductor_packs.sidekick.contract import requests
from conductor_packs.sidekick.contract.parts import TaskListItem
from conductor_packs.sidekick.records import RUNS, RoutineRun
from conductor_packs.sidekick.storage.opening import open_storage
from conductor_sdk.client import connect
from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.serve import Machine, serve
from conductor_sidecar.settings import LinkSettings, Settings

HOURLY = "0 * * * *"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_AGAIN_S", 0.02)


@contextlib.asynccontextmanager
async def sidecar(
    workspace: Path, clock: ManualClock, **section: Any
) -> AsyncGenerator[SidekickClient]:
    settings = Settings(link=LinkSettings(adapter="memory"), pack={"sidekick": section})
    stop, ready = asyncio.Event(), asyncio.Event()
    place = resolve_workspace(workspace)
    running = asyncio.create_task(serve(place, settings, stop, ready=ready, machine=Machine(clock)))
    try:
        async with asyncio.timeout(20):
            await ready.wait()
        yield connect_sidekick(workspace)
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await running


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while not (found := await check()):  # noqa: ASYNC110  files of others have no event
            await asyncio.sleep(0.01)
    return found


async def titles(client: SidekickClient) -> list[TaskListItem]:
    return (await client.task_list(requests.TaskListRequest())).items


async def runs(workspace: Path) -> list[RoutineRun]:
    port = open_storage(workspace)
    try:
        return await port.read(lambda view: view.records(RUNS))
    finally:
        await port.close()


async def make(client: SidekickClient, *steps: requests.RoutineCreateStep) -> str:
    request = requests.RoutineCreateRequest(name="hourly", cron=HOURLY, steps=list(steps))
    return (await client.routine_create(request)).routine.id


def step(tool: str, **given: Any) -> requests.RoutineCreateStep:
    return requests.RoutineCreateStep(tool=tool, input=given)


async def test_a_due_routine_runs_through_the_tool_host_once_for_each_due_time(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with sidecar(tmp_path, clock, run_routines=True) as client:
        await make(client, step("task:create", title="tea"))
        clock.advance(3600)
        assert len(await until(lambda: titles(client))) == 1
        clock.advance(3600)
        await until(lambda: _many(client, 2))
    # A sidecar that was off for ten hours makes up for one run.
    clock.advance(36_000)
    async with sidecar(tmp_path, clock, run_routines=True) as client:
        await until(lambda: _many(client, 3))
        status = await connect(tmp_path).status()
        assert any(pack["slug"] == "sidekick" for pack in status["packs"])
    assert [run.state for run in await runs(tmp_path)] == ["succeeded"] * 3


async def _many(client: SidekickClient, count: int) -> bool:
    return len(await titles(client)) == count


async def test_without_the_setting_nothing_runs(tmp_path: Path) -> None:
    clock = ManualClock()
    async with sidecar(tmp_path, clock) as client:
        await make(client, step("task:create", title="tea"))
        clock.advance(36_000)
        # The outbox looks at the same pace: what it delivers shows that time went by.
        sent = requests.ChannelSendRequest(content="x", provider="terminal")
        assert (await client.channel_send(sent)).provider == "terminal"
        assert await titles(client) == []
    assert await runs(tmp_path) == []


async def test_a_run_waits_for_its_approval_and_goes_on_when_it_is_given(tmp_path: Path) -> None:
    clock = ManualClock()
    async with sidecar(tmp_path, clock, run_routines=True, toolset="full") as client:
        task = (await client.task_create(requests.TaskCreateRequest(title="old"))).task.id
        await make(client, step("task:cancel", id=task), step("task:create", title="new"))
        clock.advance(3600)

        async def waiting() -> str:
            found = [run.error or "" for run in await runs(tmp_path)]
            return found[0].removeprefix("waits for approval ") if found else ""

        request_id = await until(waiting)
        ran = await _typed("approvals", "grant", request_id, "-w", str(tmp_path))
        assert ran == 0
        clock.advance(61)

        async def finished() -> bool:
            return [run.state for run in await runs(tmp_path)] == ["succeeded"]

        await until(finished)
        states = {item.title: item.status for item in await titles(client)}
        assert states == {"old": "canceled", "new": "pending"}


async def _typed(*words: str) -> int:
    from running import environment

    process = await asyncio.create_subprocess_exec(
        "conductor", *words, env=environment(), stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait()
