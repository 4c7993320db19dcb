"""Keeping a link open: when it comes back, to where, and with what."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from conductor_adapters.transport import ConductorBusy, ConnectFailed, CredentialRefused
from conductor_protocol.messages import Bye, Drain, Events
from conductor_sdk.records import Cursor
from conductor_state.errors import StoreCorrupt, StoreFull
from link_bench import EPOCH, KeeperBench, until, up_event
from virtual_time import turns, virtual

SPREAD_S = 30.0
CAP_S = 300.0


@virtual
async def test_a_refused_credential_at_the_start_ends_the_keeper() -> None:
    setting = KeeperBench()
    setting.conductor.answer = CredentialRefused("revoked")
    with pytest.raises(CredentialRefused):
        await setting.keeper.run()


@virtual
async def test_a_refusal_after_failed_tries_is_still_one_at_the_start() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        conductor.answer = ConnectFailed("nobody there")
        await until(lambda: len(conductor.tries) == 2)
        conductor.answer = CredentialRefused("revoked")
        assert setting.task is not None
        with pytest.raises(CredentialRefused):
            await setting.task


@virtual
async def test_a_refusal_after_a_session_is_waited_out_a_minute_at_a_time() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        conductor.answer = CredentialRefused("revoked")
        await end.link.close(1008)
        await until(lambda: len(conductor.tries) == 4)
        first, *others = conductor.seconds[1:]
        assert [first + 60, first + 120] == others
        assert ("waiting", "CREDENTIAL_REFUSED") == setting.state()


@virtual
async def test_a_changed_enrollment_is_tried_at_once() -> None:
    changes = [False]
    setting = KeeperBench(changed=lambda: changes[0])
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        conductor.answer = CredentialRefused("revoked")
        await end.link.close(1008)
        await until(lambda: len(conductor.tries) == 2)
        changes[0], conductor.answer = True, None
        await conductor.welcomed()
        assert conductor.seconds[2] - conductor.seconds[1] <= 1
        assert "open" == setting.state()[0]


@virtual
async def test_failed_tries_are_ever_further_apart_up_to_the_cap() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        conductor.answer = ConnectFailed("nobody there")
        await until(lambda: len(conductor.tries) == 8)
        gaps = [b - a for a, b in zip(conductor.seconds, conductor.seconds[1:], strict=False)]
        assert [30, 60, 120, 240, 300, 300, 300] == gaps


@virtual
async def test_the_first_try_after_a_lost_link_is_spread() -> None:
    setting = KeeperBench(roll=0.5)
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        await end.link.close(1012)
        await conductor.welcomed()
        assert [0, 15] == conductor.seconds


@virtual
async def test_a_busy_conductor_is_left_alone_for_as_long_as_it_asks() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        conductor.answer = ConductorBusy("come back", retry_after_s=77.0)
        await until(lambda: len(conductor.tries) == 3)
        assert [0, 77, 154] == conductor.seconds


@virtual
async def test_a_draining_conductor_is_followed_to_its_new_address() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        await end.say(Drain(retry_after_s=5.0, address="memory://elsewhere"))
        await end.link.close(1001)
        second, _ = await conductor.welcomed()
        assert [(0, None), (5, "memory://elsewhere")] == conductor.tries
        await second.link.close(1001)
        await conductor.welcomed()
        assert None is conductor.tries[2][1]


@virtual
async def test_a_new_address_where_nobody_is_is_given_up() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        await end.say(Drain(retry_after_s=5.0, address="memory://elsewhere"))
        conductor.answer = ConnectFailed("nobody there")
        await end.link.close(1001)
        await until(lambda: len(conductor.tries) == 3)
        assert [None, "memory://elsewhere", None] == [where for _, where in conductor.tries]


@virtual
async def test_a_hole_is_resumed_at_once_but_not_for_ever() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        for _ in range(5):
            end, _ = await conductor.welcomed()
            await end.say(Events(first=5, events=[msgspec.Raw(b"{}")]))
        await until(lambda: len(conductor.tries) == 5)
        assert [0, 0, 0, 0, 30] == conductor.seconds


@virtual
async def test_the_next_hello_presents_the_session_and_what_is_stored() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        end, first = await conductor.welcomed(session="ses-9")
        await end.events(1, 1, 2)
        await until(lambda: setting.bench.handled == [1, 2])
        await end.link.close(1012)
        _, again = await conductor.welcomed()
        assert (None, 0, "") == (first.session, first.cursor, first.epoch)
        assert ("ses-9", 2, EPOCH) == (again.session, again.cursor, again.epoch)


@virtual
async def test_what_a_link_brought_is_stored_before_the_next_hello() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        setting.bench.log.turning.clear()
        await end.events(1, 1, 2, 3)
        await turns()
        await end.link.close(1012)
        await asyncio.sleep(1000)
        assert 1 == len(conductor.tries)
        setting.bench.log.turning.set()
        _, hello = await conductor.welcomed(start=3)
        assert 3 == hello.cursor


@virtual
async def test_a_disk_that_was_full_costs_a_link_and_nothing_else() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        setting.bench.log.refuse_receive = StoreFull("no room")
        await end.events(1, 1)
        await until(lambda: setting.state() == ("waiting", "STORE_FULL"))
        setting.bench.log.refuse_receive = None
        end, hello = await conductor.welcomed()
        assert 0 == hello.cursor
        await end.events(1, 1)
        await until(lambda: setting.bench.handled == [1])


@virtual
async def test_a_result_that_a_full_disk_refused_is_asked_for_again() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        await setting.bench.uplink.publish([up_event(1)])
        end, _ = await conductor.welcomed()
        setting.bench.outbox.refuse_confirm = StoreFull("no room")
        [event] = await end.pushed()
        await end.answer(event.event_id)
        await until(lambda: setting.state() == ("waiting", "STORE_FULL"))
        setting.bench.outbox.refuse_confirm = None
        end, _ = await conductor.welcomed()
        assert [event] == await end.pushed()
        await end.answer(event.event_id, status="duplicate")
        await turns()
        assert 0 == (await setting.bench.outbox.depth()).events


@virtual
async def test_a_broken_store_ends_the_keeper() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        await setting.bench.uplink.publish([up_event(1)])
        setting.bench.outbox.refuse_take = StoreCorrupt("torn")
        await conductor.welcomed()
        assert setting.task is not None
        with pytest.raises(ExceptionGroup) as broken:
            await setting.task
        assert broken.group_contains(StoreCorrupt, depth=1)


@virtual
async def test_leaving_an_open_link_says_goodbye() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        end, _ = await conductor.welcomed()
        await setting.keeper.leave("sidecar stops")
        assert setting.task is not None
        await setting.task
        assert "sidecar stops" == (await end.hear(Bye)).reason
        assert "stopped" == setting.state()[0]


@virtual
async def test_leaving_while_waiting_ends_at_once() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        conductor.answer = ConnectFailed("nobody there")
        await until(lambda: setting.state()[0] == "waiting")
        await setting.keeper.leave("sidecar stops")
        assert setting.task is not None
        await setting.task
        assert [0] == conductor.seconds


@virtual
async def test_a_keeper_in_a_hurry_does_not_wait() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        conductor.answer = ConnectFailed("nobody there")
        await until(lambda: setting.state()[0] == "waiting")
        conductor.answer = None
        setting.keeper.hurry()
        await conductor.welcomed()
        assert ([0, 0], True) == (conductor.seconds, setting.keeper.open)


@virtual
async def test_the_report_says_how_the_link_stands() -> None:
    setting = KeeperBench()
    async with setting.kept() as conductor:
        conductor.answer = ConnectFailed("nobody there")
        await until(lambda: setting.state()[0] == "waiting")
        waiting = setting.keeper.report()
        conductor.answer = None
        await conductor.welcomed(session="ses-4")
        report = setting.keeper.report()
        assert (30.0, "CONNECT_FAILED: The conductor cannot be reached: nobody there") == (
            waiting.retry_in_s, waiting.reason
        )  # fmt: skip
        assert ("open", "memory://home", "ses-4", 1, None) == (
            report.state, report.address, report.session, report.connections, report.retry_in_s
        )  # fmt: skip


@virtual
async def test_a_link_that_nobody_welcomes_is_closed_and_tried_again() -> None:
    setting = KeeperBench(roll=0.0)
    async with setting.kept() as conductor:
        await conductor.arrival()
        await conductor.welcomed()
        assert [0, 10] == conductor.seconds
        assert Cursor("", 0) == await setting.bench.log.cursor()
