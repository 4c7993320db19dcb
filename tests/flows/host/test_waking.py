"""Runs that wait for a time go on by themselves while a host is there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from conductor_flows import Flow, node, timer, trigger
from conductor_flows.durable.services import Durability, in_memory, in_sqlite
from conductor_flows.execute.outcomes import Halted, Value
from conductor_flows.execute.runner import Invocation
from conductor_flows.execute.services import Services
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.hosting import Host
from conductor_flows.host.waking import AT_ONCE, wakers
from conductor_flows.host.web.application import application
from conductor_flows.host.web.route import routes_of
from conductor_flows.host.web.site import Choices
from conductor_sdk.clock import ManualClock
from flow_web import JSON, Asked
from virtual_time import LoopClock, virtual

WORK_S = [0.0]


@trigger(summary="Take")
async def take(number: int) -> int:
    return number


@node(summary="Double, slowly")
async def double(number: int) -> int:
    await asyncio.sleep(WORK_S[0])
    if number < 0:
        raise LookupError(f"no {number}")
    return number * 2


class Told:
    def __init__(self) -> None:
        self.ended: list[Ended] = []

    async def before_execute(self, call: Call) -> None: ...
    async def after_execute(self, call: Call, ended: Ended) -> None:
        self.ended.append(ended)

    @property
    def values(self) -> list[Any]:
        return [each.outcome.value for each in self.ended if isinstance(each.outcome, Value)]


def napping(kept: Durability, told: Told, *, name: str = "naps", after_s: float = 60) -> Host:
    flow = Flow(name, "1.0.0", summary="Naps", profile="web")
    first, nap, last = (
        flow.add(take),
        flow.add(timer("nap", int, after_s=after_s)),
        flow.add(double),
    )
    flow.connect(first, nap)
    flow.connect(nap, last)
    return Host(flow.program(), Services(durability=kept), hooks=[told])


@virtual
async def test_a_halted_request_goes_on_when_its_time_comes() -> None:
    told = Told()
    app = application(routes_of(napping(in_memory(clock=LoopClock()), told)))
    async with app.alive():
        halted = await Asked(app, target="/naps", body=b"21", headers=JSON).done()
        assert (202, True) == (halted.status, "token" not in halted.json)
        await asyncio.sleep(59)
        assert [] == told.values
        await asyncio.sleep(3)
        assert [42] == told.values


@virtual
async def test_a_host_that_was_not_there_takes_up_what_it_missed() -> None:
    clock, told = ManualClock(), Told()
    kept = in_memory(clock=clock)
    await napping(kept, told).invoke(Invocation(1))
    clock.advance(3600)
    (waker,) = wakers([napping(kept, told)])
    begun = await waker.look()
    assert [1, 0] == [len(begun), len(await waker.look())]
    for task in begun:
        await task
    assert [2] == told.values


@virtual
async def test_hosts_on_one_place_share_a_waker_and_leave_others_alone() -> None:
    clock, told = ManualClock(), Told()
    kept = in_memory(clock=clock)
    hosts = [napping(kept, told, name=name) for name in ("one", "two", "elsewhere")]
    for number, host in enumerate(hosts):
        await host.invoke(Invocation(number + 1))
    clock.advance(60)
    (waker,) = wakers(hosts[:2])
    for task in await waker.look():
        await task
    assert [2, 4] == sorted(told.values)
    (other,) = wakers(hosts[2:])
    for task in await other.look():
        await task
    assert [2, 4, 6] == sorted(told.values)


@virtual
async def test_a_run_that_fails_is_told_and_keeps_nobody_else_from_going_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, told = ManualClock(), Told()
    host = napping(in_memory(clock=clock), told)
    for number in (-1, 3):
        await host.invoke(Invocation(number))
    clock.advance(60)
    (waker,) = wakers([host])
    for task in await waker.look():
        await task
    assert [6] == told.values
    assert "no -1" in caplog.text
    assert [] == await waker.look()


@virtual
async def test_a_run_is_woken_once_however_often_is_looked_and_not_too_many_go_at_once() -> None:
    WORK_S[0] = 5.0
    try:
        clock, told = ManualClock(), Told()
        host = napping(in_memory(clock=clock), told)
        for number in range(AT_ONCE + 4):
            await host.invoke(Invocation(number))
        clock.advance(60)
        (waker,) = wakers([host])
        looking = asyncio.create_task(waker.run(every_s=1))
        await asyncio.sleep(4)
        assert [] == told.values
        await asyncio.sleep(2)
        assert AT_ONCE == len(told.values)
        await asyncio.sleep(6)
        looking.cancel()
        assert [2 * number for number in range(AT_ONCE + 4)] == sorted(told.values)
    finally:
        WORK_S[0] = 0.0


@virtual
async def test_stopping_lets_woken_runs_end_and_cancels_those_that_do_not() -> None:
    try:
        for work_s, values in ((5.0, [2]), (50.0, [])):
            WORK_S[0], told = work_s, Told()
            host = napping(in_memory(clock=LoopClock()), told, after_s=1)
            app = application(routes_of(host), choices=Choices(drain_s=10))
            async with app.alive():
                await host.invoke(Invocation(1))
                await asyncio.sleep(2.5)
            assert values == told.values
            assert 2 == len(told.ended)
    finally:
        WORK_S[0] = 0.0


async def test_timers_are_kept_on_disk(tmp_path: Path) -> None:
    clock, told = ManualClock(), Told()
    kept = in_sqlite(tmp_path / "a.db", clock=clock)
    assert isinstance(await napping(kept, told).invoke(Invocation(4)), Halted)
    await kept.close()
    clock.advance(60)
    kept = in_sqlite(tmp_path / "a.db", clock=clock)
    (waker,) = wakers([napping(kept, told)])
    for task in await waker.look():
        await task
    assert [8] == told.values
    await kept.close()
