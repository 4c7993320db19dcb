"""A link is made before the old one is broken: when, to where, and what becomes of both."""

from __future__ import annotations

import asyncio

from conductor_adapters.transport import ConnectFailed, CredentialRefused
from conductor_protocol.messages import Bye, Drain, Hello
from link_bench import TRIED, FarEnd, KeeperBench, until, up_event
from virtual_time import turns, virtual

ELSEWHERE = "memory://elsewhere"


async def drain(end: FarEnd, retry_after_s: float = 5.0, address: str | None = ELSEWHERE) -> None:
    await end.say(Drain(retry_after_s=retry_after_s, address=address))
    await turns()


@virtual
async def test_a_drained_link_is_left_when_its_successor_is_welcomed() -> None:
    setting = KeeperBench(roll=0.5)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(session="ses-1", beat_s=600.0)
        await old.events(1, 1, 2)
        await until(lambda: setting.handled(1, 2))
        await drain(old)
        new = await conductor.arrival()
        assert [(0, None), (20, ELSEWHERE)] == conductor.tries  # 5 s, and half of the spread
        hello = await new.welcome(session="ses-1", start=2)
        assert ("ses-1", 2) == (hello.session, hello.cursor)
        assert "another link took its place" == (await old.hear(Bye)).reason
        await new.events(3, 3)
        await until(lambda: setting.handled(1, 2, 3))
        assert ("open", 2) == (setting.keeper.report().state, setting.keeper.report().connections)


@virtual
async def test_until_then_the_old_link_receives_and_acknowledges() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        await drain(old, retry_after_s=60.0)
        await old.events(1, 1)
        await until(lambda: setting.handled(1))
        listening = asyncio.create_task(old.listen())
        await until(lambda: old.acks()[-1:] != [] and old.acks()[-1].sequence == 1)
        assert 1 == len(conductor.tries)
        listening.cancel()


@virtual
async def test_a_conductor_that_drains_and_never_closes_holds_no_push_back() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        conductor.answer = ConnectFailed("nobody there")
        await drain(old, retry_after_s=0.0)
        await until(lambda: len(conductor.tries) > 3)
        await setting.bench.uplink.publish([up_event(1)])
        [pushed] = await old.pushed()
        await old.answer(pushed.event_id)
        await turns()
        assert (up_event(1).event_id, 0) == (
            pushed.event_id, (await setting.bench.outbox.depth()).events
        )  # fmt: skip


@virtual
async def test_where_no_successor_can_be_had_the_old_link_goes_on_to_its_end() -> None:
    setting = KeeperBench(roll=1.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        conductor.answer = ConnectFailed("nobody there")
        await drain(old)
        await until(lambda: len(conductor.tries) == 3)
        assert [(0, None), (35, ELSEWHERE), (65, None)] == conductor.tries
        await old.events(1, 1)
        await until(lambda: setting.handled(1))
        assert "open" == setting.keeper.report().state
        conductor.answer = None
        await old.link.close(1001)
        _, hello = await conductor.welcomed(start=1)
        assert 1 == hello.cursor


@virtual
async def test_a_successor_that_is_not_welcomed_leaves_the_old_link_as_it_was() -> None:
    setting = KeeperBench(roll=1.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        await drain(old, retry_after_s=0.0)
        silent = await conductor.arrival()
        await silent.hear(Hello)
        await old.events(1, 1)
        await turns()
        assert [] == setting.bench.handled  # it rests
        await until(lambda: setting.handled(1))  # and goes on, for nobody said welcome
        await setting.bench.uplink.publish([up_event(1)])
        assert [up_event(1).event_id] == [event.event_id for event in await old.pushed()]


@virtual
async def test_a_refused_credential_costs_no_link_that_is_open() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        conductor.answer = CredentialRefused("not this one")
        assert not await setting.keeper.renew()
        await old.events(1, 1)
        await until(lambda: setting.handled(1))
        assert ([(0, None), (0, None)], "open") == (conductor.tries, setting.keeper.report().state)


@virtual
async def test_whoever_asks_for_a_new_link_is_told_that_it_is_there() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        await conductor.welcomed(beat_s=600.0)
        asked = asyncio.create_task(setting.keeper.renew())
        await conductor.welcomed(session="ses-2")
        assert (True, "ses-2") == (await asked, setting.keeper.report().session)


@virtual
async def test_whoever_asks_is_told_too_when_the_daemon_stops_first() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        await conductor.welcomed(beat_s=600.0)
        asked = asyncio.create_task(setting.keeper.renew())
        await (await conductor.arrival()).hear(Hello)
        await setting.keeper.leave("sidecar stops")
        assert setting.task is not None
        await setting.task
        assert ("stopped", False) == (setting.keeper.report().state, await asked)


@virtual
async def test_what_was_pushed_and_not_answered_is_pushed_again_in_order() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        await setting.bench.uplink.publish([up_event(1), up_event(2)])
        await old.pushed()
        await drain(old, retry_after_s=0.0)
        new, _ = await conductor.welcomed(beat_s=600.0)
        ids = [event.event_id for event in await new.pushed()]
        assert [up_event(1).event_id, up_event(2).event_id] == ids


@virtual
async def test_an_ephemeral_event_of_the_moment_between_goes_over_the_new_link() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        await drain(old, retry_after_s=0.0)
        new = await conductor.arrival()
        await turns()
        [receipt] = await setting.bench.uplink.publish([up_event(1, TRIED)])
        await new.welcome()
        [tried] = await new.pushed()
        await new.answer(tried.event_id)
        await turns()
        counts = await setting.bench.up_counts(TRIED)
        assert ("sent", 1, {}) == (receipt.status, counts.delivered, dict(counts.dropped))


@virtual
async def test_a_link_that_closes_before_its_time_is_followed_when_it_was_due() -> None:
    setting = KeeperBench(roll=0.5)
    async with setting.kept() as conductor:
        old, _ = await conductor.welcomed(beat_s=600.0)
        await drain(old)
        await asyncio.sleep(12)
        await old.link.close(1001)
        await conductor.welcomed(beat_s=600.0)
        assert [(0, None), (20, ELSEWHERE)] == conductor.tries


@virtual
async def test_no_task_of_a_link_outlives_it() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed(beat_s=600.0)
        names = sorted(task.get_name() for task in asyncio.all_tasks())
        for _ in range(20):
            await drain(end, retry_after_s=0.0)
            end, _ = await conductor.welcomed(beat_s=600.0)
            await turns()
        assert names == sorted(task.get_name() for task in asyncio.all_tasks())
