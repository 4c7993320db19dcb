"""The herald in virtual time: what the service manager hears, and when it hears nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from conductor_sdk.errors import ConductorError
from conductor_sidecar.health.progress import DISPATCHER, Work
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from virtual_time import LoopClock, turns, virtual

WATCHDOG_S = 60
HOUR_S = 3600


def idle() -> Work:
    return Work(ready=0, mark=0)


async def answers() -> int:
    return 0


async def never() -> None:
    await asyncio.get_running_loop().create_future()


def herald_of(manager: Any, **more: str) -> Herald:
    environ = {
        "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(WATCHDOG_S * 10**6),
        "WATCHDOG_PID": str(os.getpid()), **more,
    }  # fmt: skip
    return Herald.take(environ, LoopClock())


def watching(
    herald: Herald, store: Callable[[], Awaitable[object]] = answers,
    work: Callable[[], Work] = idle,
) -> Any:  # fmt: skip
    return herald.watching({"sidecar.db": store}, work, deadline_s=30)


@virtual
async def test_a_daemon_whose_parts_move_feeds_the_watchdog_in_time(manager: Any) -> None:
    herald = herald_of(manager)
    gaps: list[float] = []
    async with watching(herald):
        for _ in range(HOUR_S // (WATCHDOG_S // 2)):
            await asyncio.sleep(WATCHDOG_S / 2)
            gaps.append(len(manager.heard()))
    herald.close()

    assert all(fed >= 1 for fed in gaps)
    assert herald.verdict.moves


@virtual
async def test_a_store_that_answers_no_more_ends_the_feeding_and_says_why(manager: Any) -> None:
    herald = herald_of(manager)
    async with watching(herald, never):
        await asyncio.sleep(40)
        said = manager.heard()
        await asyncio.sleep(HOUR_S)

    assert "STATUS=stuck: sidecar.db" == said[-1]
    assert [] == manager.heard()
    assert ["sidecar.db"] == [stuck.part for stuck in herald.verdict.stuck]
    herald.close()


@virtual
async def test_a_dispatcher_that_moves_no_more_ends_the_feeding_until_it_moves(
    manager: Any,
) -> None:
    settled = 0
    herald = herald_of(manager)
    async with watching(herald, work=lambda: Work(ready=1, mark=settled)):
        for _ in range(24):  # a manager takes what it is told; its queue is short
            await asyncio.sleep(5)
            manager.heard()
        assert [DISPATCHER] == [stuck.part for stuck in herald.verdict.stuck]
        settled = 1
        await asyncio.sleep(10)
        said = manager.heard()
    herald.close()

    assert ["STATUS=running", "WATCHDOG=1"] == said[:2]
    assert herald.verdict.moves


@virtual
async def test_a_store_that_refuses_everything_still_answers(manager: Any) -> None:
    async def full() -> None:
        raise ConductorError("no space left")

    herald = herald_of(manager)
    async with watching(herald, full):
        await asyncio.sleep(HOUR_S)
    herald.close()

    assert herald.verdict.moves


@virtual
async def test_without_a_watchdog_the_parts_are_looked_at_and_nothing_is_fed(manager: Any) -> None:
    herald = Herald.take({"NOTIFY_SOCKET": manager.address}, LoopClock())
    async with watching(herald, never):
        await asyncio.sleep(HOUR_S)

    assert ["STATUS=stuck: sidecar.db"] == manager.heard()
    herald.close()


@virtual
async def test_a_life_is_told_in_the_order_in_which_it_passes(manager: Any) -> None:
    herald = herald_of(manager)
    herald.starting("recovering sidecar.db", within_s=120)
    herald.ready()
    await asyncio.sleep(10)
    herald.reloading()
    herald.ready("running; settings changed: dispatch.deadline_s")
    herald.stopping(25)
    herald.close()

    assert [
        "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=recovering sidecar.db",
        "READY=1\nSTATUS=running",
        "RELOADING=1\nMONOTONIC_USEC=10000000\nSTATUS=reloading",
        "READY=1\nSTATUS=running; settings changed: dispatch.deadline_s",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\nSTATUS=draining, at most 25 s",
    ] == manager.heard()


@virtual
async def test_what_could_not_be_said_is_said_at_the_next_look(manager: Any) -> None:
    blocker = Notifier(manager.address)
    while blocker.send("STATUS=noise"):
        pass
    blocker.close()
    herald = herald_of(manager)
    herald.ready()
    assert "READY=1\nSTATUS=running" not in manager.heard()

    async with watching(herald):
        await turns()
    herald.close()

    assert ["READY=1\nSTATUS=running", "WATCHDOG=1"] == manager.heard()


@virtual
async def test_without_a_manager_the_same_calls_do_nothing() -> None:
    herald = Herald.take({}, LoopClock())
    herald.ready()
    herald.reloading()
    async with watching(herald, never):
        await asyncio.sleep(HOUR_S)
    herald.stopping(10)
    herald.close()

    assert ["sidecar.db"] == [stuck.part for stuck in herald.verdict.stuck]


@virtual
async def test_nothing_of_the_manager_is_left_to_child_processes(manager: Any) -> None:
    environ = {
        "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/",
    }  # fmt: skip
    Herald.take(environ, LoopClock()).close()

    assert {"HOME": "/"} == environ


@virtual
async def test_watching_leaves_no_task_behind(manager: Any) -> None:
    herald = herald_of(manager)
    async with watching(herald, never):
        await turns()
    herald.close()

    assert [asyncio.current_task()] == list(asyncio.all_tasks())
