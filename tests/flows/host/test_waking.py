"""Runs that wait for a time go on by themselves while a host is there."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from conductor_flows import Flow, node, timer, trigger
from conductor_flows.capabilities.rows import MemoryRows
from conductor_flows.durable.records import Status
from conductor_flows.durable.services import Durability, in_folder, in_memory, in_sqlite, on_rows
from conductor_flows.durable.timers import resume_due
from conductor_flows.execute.errors import NodeFailed
from conductor_flows.execute.outcomes import Halted, Value
from conductor_flows.execute.runner import Invocation
from conductor_flows.execute.services import Services
from conductor_flows.host import left, waking
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.hosting import Host
from conductor_flows.host.waking import AT_ONCE, LEFT_EVERY_S, wakers
from conductor_flows.host.web.application import application
from conductor_flows.host.web.route import routes_of
from conductor_flows.host.web.site import Choices
from conductor_sdk.clock import ManualClock
from conductor_sdk.pack_errors import StorageFailed
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


@virtual
async def test_a_woken_run_that_the_host_does_not_end_is_the_next_hosts() -> None:
    try:
        WORK_S[0], told = 50.0, Told()
        kept = in_memory(clock=LoopClock())
        host = napping(kept, told, after_s=1)
        app = application(routes_of(host), choices=Choices(drain_s=1))
        async with app.alive():
            await host.invoke(Invocation(1))
            await asyncio.sleep(2.5)
        assert [] == told.values
        WORK_S[0] = 0.0
        (waker,) = wakers([napping(kept, told)])
        for task in await waker.look():
            await task
        assert [2] == told.values
        assert [] == await waker.look()
    finally:
        WORK_S[0] = 0.0


class Dying:
    """A strong flow; the place as it is on disk while its second node runs."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.clock = ManualClock()
        self.ran: list[str] = []
        self.fails = False

    def host(self, kept: Durability, *hooks: Told, version: str = "1.0.0", more: bool = False,
             dies: bool = False) -> Host:  # fmt: skip
        @trigger(summary="Take")
        async def begin(number: int) -> int:
            self.ran.append("begin")
            return number

        @node(summary="Work")
        async def work(number: int) -> int:
            self.ran.append("work")
            if self.fails:
                raise LookupError("no")
            if dies:
                await asyncio.to_thread(shutil.copytree, self.place / "at", self.place / "left")
            return number + 1

        flow = Flow("dies", version, summary="Dies", profile="web", durability="strong")
        first, last = flow.add(begin), flow.add(work)
        flow.connect(first, last)
        if more:
            flow.connect(last, flow.add(double))
        return Host(flow.program(), Services(durability=kept), hooks=hooks)

    async def died(self) -> Durability:
        await self.host(in_folder(self.place / "at", clock=self.clock), dies=True).invoke(
            Invocation(4)
        )
        self.ran.clear()
        return in_folder(self.place / "left", clock=self.clock)


async def test_a_run_whose_process_died_goes_on_when_its_lease_has_run_out(tmp_path: Path) -> None:
    dying, told = Dying(tmp_path), Told()
    kept = await dying.died()
    (early,) = wakers([dying.host(kept, told)])
    assert [] == await early.look()
    dying.clock.advance(30.5)
    (waker,) = wakers([dying.host(kept, told)])
    assert [] == await waker.look()  # whoever has the lease may only be late
    dying.clock.advance(2)
    (waker,) = wakers([dying.host(kept, told)])
    for task in await waker.look():
        await task
    assert [5] == told.values
    assert ["work"] == dying.ran
    (waker,) = wakers([dying.host(kept, told)])
    assert [] == await waker.look()


async def test_a_run_that_failed_is_not_tried_again_by_itself(tmp_path: Path) -> None:
    dying, told = Dying(tmp_path), Told()
    kept = await dying.died()
    dying.clock.advance(60)
    dying.fails = True
    for begun in (1, 0, 0):
        (waker,) = wakers([dying.host(kept, told)])
        tasks = await waker.look()
        assert begun == len(tasks)
        for task in tasks:
            await task
    assert ["work"] == dying.ran


@pytest.mark.parametrize("changed", [{"version": "2.0.0"}, {"more": True}])
async def test_a_run_of_another_version_is_refused_once_and_goes_on_with_the_right_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
) -> None:  # fmt: skip
    monkeypatch.setattr(waking, "LEFT_EVERY_S", 0.0)
    dying, told = Dying(tmp_path), Told()
    kept = await dying.died()
    dying.clock.advance(60)
    (waker,) = wakers([dying.host(kept, told, **changed)])
    for _ in range(3):
        for task in await waker.look():
            await task
    said = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert ["DAG-CKPT-009"] == [each.args[1] for each in said if isinstance(each.args, tuple)]
    assert ([], []) == (told.values, dying.ran)
    (right,) = wakers([dying.host(kept, told)])
    for task in await right.look():
        await task
    assert [5] == told.values


@virtual
async def test_a_timer_of_another_version_is_refused_once_and_left_for_the_right_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, told = ManualClock(), Told()
    kept = in_memory(clock=clock)
    await napping(kept, told).invoke(Invocation(1))
    clock.advance(60)
    changed = Flow("naps", "2.0.0", summary="Naps", profile="web")
    changed.add(take)
    (waker,) = wakers([Host(changed.program(), Services(durability=kept))])
    for begun in (1, 0, 0):
        tasks = await waker.look()
        assert begun == len(tasks)
        for task in tasks:
            await task
    assert 1 == caplog.text.count("DAG-CKPT-009")
    (right,) = wakers([napping(kept, told)])
    for task in await right.look():
        await task
    assert [2] == told.values


@virtual
async def test_timers_of_others_do_not_hide_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "DUE_MAX", 2)
    clock, told = ManualClock(), Told()
    kept = in_memory(clock=clock)
    for _ in range(3):
        await napping(kept, told, name="elsewhere").invoke(Invocation(1))
        clock.advance(1)
    await napping(kept, told).invoke(Invocation(21))
    clock.advance(60)
    (waker,) = wakers([napping(kept, told)])
    for _ in range(3):
        for task in await waker.look():
            await task
    assert [42] == told.values


async def test_runs_that_were_left_are_all_found_however_many_leases_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(left, "READ_MAX", 3)
    kept = in_memory(clock=(clock := ManualClock()))
    host = napping(kept, Told())
    names: list[str] = []
    assert kept.store is not None
    for number in range(8):
        halted = await host.invoke(Invocation(number))
        assert isinstance(halted, Halted)
        assert halted.checkpoint_id is not None
        names.append((await kept.store.lease(halted.checkpoint_id, 1)).checkpoint_id)
    clock.advance(4)
    runs = left.LeftRuns(kept)
    found = [each.checkpoint_id for _ in range(3) for each in await runs.found()]
    assert sorted(names) == found
    for each in [each for _ in range(3) for each in await runs.found()]:
        runs.pass_over(each)
    assert [] == [each for _ in range(6) for each in await runs.found()]


@virtual
async def test_it_is_looked_for_runs_that_were_left_again_and_again() -> None:
    told = Told()
    kept = in_memory(clock=LoopClock())
    host = napping(kept, told)
    assert kept.store is not None
    halted = await host.invoke(Invocation(1))
    assert isinstance(halted, Halted)
    await kept.store.lease(halted.checkpoint_id or "", 2)  # whoever took it up has died since
    assert kept.scheduler is not None
    async with application(routes_of(host)).alive():
        await asyncio.sleep(60 + LEFT_EVERY_S)
    assert [2] == told.values


def without_rows(kept: Durability) -> Durability:
    return Durability(kept.store, kept.scheduler, kept.signals, kept.blobs, kept.clock, kept.leases)


async def test_runs_that_were_left_are_found_in_any_store_that_tells_its_leases(
    tmp_path: Path,
) -> None:
    dying, told = Dying(tmp_path), Told()
    kept = await dying.died()
    dying.clock.advance(60)
    silent = Durability(kept.store, kept.scheduler, clock=kept.clock)
    assert [] == await left.LeftRuns(silent).found()
    (waker,) = wakers([dying.host(without_rows(kept), told)])
    for task in await waker.look():
        await task
    assert [5] == told.values


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
async def test_whoever_works_on_has_time_to_say_so_after_the_clock_has_jumped(
    seconds: float,
) -> None:
    clock = ManualClock()
    kept = in_memory(clock=clock)
    host = napping(kept, Told())
    assert kept.store is not None
    leases: list[Any] = []
    for number in range(2):
        halted = await host.invoke(Invocation(number))
        assert isinstance(halted, Halted)
        leases.append(await kept.store.lease(halted.checkpoint_id or "", 30))
    runs = left.LeftRuns(kept)
    assert [] == await runs.found()
    clock.jump(seconds)
    clock.advance(5)
    assert [] == await runs.found()
    clock.advance(10)
    await kept.store.renew(leases[0], 30)  # half of its time is over: the other holder is dead
    assert [] == await runs.found()
    clock.advance(20)
    assert [leases[1].holder] == [each.holder for each in await runs.found()]


async def test_a_run_that_failed_is_not_tried_again_though_its_lease_or_a_timer_was_left(
    tmp_path: Path,
) -> None:
    dying, told = Dying(tmp_path), Told()
    dying.fails = True
    kept = in_folder(tmp_path / "at", clock=dying.clock)
    with pytest.raises(NodeFailed):
        await dying.host(kept).invoke(Invocation(4))
    assert kept.store is not None
    assert kept.scheduler is not None
    (record,) = await kept.store.list(status=Status.FAILED)
    dying.ran.clear()
    await kept.store.lease(record.checkpoint_id, 1)  # whoever noted the failure died right then
    timer_of_it = await kept.scheduler.schedule_after(record.checkpoint_id, 1)
    dying.clock.advance(60)
    (waker,) = wakers([dying.host(kept, told)])
    for _ in range(2):
        for task in await waker.look():
            await task
    assert ([], []) == (dying.ran, told.ended)
    assert "fired" == await kept.scheduler.status(timer_of_it.id)
    await kept.scheduler.schedule_after(record.checkpoint_id, 0)
    assert [] == await resume_due(dying.host(kept, told).runner, kept)
    assert [] == dying.ran
    dying.fails = False
    assert Value(5) == await dying.host(kept, told).resume(record.checkpoint_id)


async def test_two_hosts_that_see_one_timer_wake_its_run_once(tmp_path: Path) -> None:
    clock, told = ManualClock(), Told()
    places = [in_sqlite(tmp_path / "a.db", clock=clock) for _ in range(2)]
    for number in range(5):
        await napping(places[0], told).invoke(Invocation(number))
    told.ended.clear()
    clock.advance(60)
    looking = [waker for place in places for waker in wakers([napping(place, told)])]
    for _ in range(3):
        begun = await asyncio.gather(*(waker.look() for waker in looking))
        await asyncio.gather(*(task for tasks in begun for task in tasks))
    assert [0, 2, 4, 6, 8] == sorted(told.values)
    for place in places:
        await place.close()


class FullDisk(MemoryRows):
    """Refuses as many rows as it is told to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.refuses = 0

    def put(self, shelf: str, key: str, data: bytes) -> None:
        if self.refuses:
            self.refuses -= 1
            raise self.error
        super().put(shelf, key, data)


@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"), StorageFailed("checkpoints.db: database is locked"),
])  # fmt: skip
async def test_a_timer_that_a_full_disk_keeps_from_firing_fires_when_there_is_room(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    rows, clock, told = FullDisk(error), ManualClock(), Told()
    kept = on_rows(rows, clock=clock)
    host = napping(kept, told)
    await host.invoke(Invocation(21))
    clock.advance(60)
    (waker,) = wakers([host])
    for refuses in (1, 2, 100):  # the lease, what is to go on, and all of it
        rows.refuses = refuses
        (task,) = await waker.look()
        await task
    assert 1 == caplog.text.count("held up by its store")
    rows.refuses = 1
    ((_, found),) = await resume_due(host.runner, kept)
    assert error is found
    assert [] == told.values
    rows.refuses = 0
    for task in await waker.look():
        await task
    assert [42] == told.values
    assert [] == await waker.look()
