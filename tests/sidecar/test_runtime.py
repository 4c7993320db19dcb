"""The daemon's task tree: start, supervise, drain, stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from conductor_adapters.transport import CredentialRefused
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.records import Arrival, Buried, Outgoing
from conductor_sidecar.settings import DispatchSection, DrainSettings, RetentionSettings, Settings
from conductor_state.errors import StoreCorrupt, StoreFull
from conductor_state.outbox_caps import Caps, OutboxCaps
from daemon_bench import DaemonBench
from link_bench import EPOCH, KIND, QUEUED, down_event, until, up_event
from virtual_time import turns, virtual

SETTINGS = Settings(
    dispatch=DispatchSection(window=64, max_attempts=2, retry_first_s=1.0),
    drain=DrainSettings(deadline_s=3.0),
    retention=RetentionSettings(days=10 / 86_400),
)


class Work:
    """A pack whose handler does what the test says."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.done: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reject = False

    async def handle(self, event: KernelEvent, ctx: Any) -> Outcome:
        self.calls.append(event.payload["n"])
        await self.gate.wait()
        if self.reject:
            return Reject("no")
        self.done.append(event.payload["n"])
        return Handled()

    @property
    def pack(self) -> Pack:
        manifest = PackManifest(id="demo", version="1.0.0", subscribed_event_kinds=(KIND,))
        return Pack(manifest, {KIND: Subscription(handler=self.handle, deadline_s=600.0)})


def make(directory: Path, settings: Settings = SETTINGS) -> tuple[DaemonBench, Work]:
    work = Work()
    return DaemonBench(directory, [work.pack], settings), work


async def stored(bench: DaemonBench, *numbers: int) -> list[int]:
    """Put events into the replay log, as an earlier process did; return their positions."""
    events = [down_event(number) for number in numbers]
    arrivals = [Arrival(event.event_id, event.kind, event.to_json()) for event in events]
    receipt = await bench.log.receive(EPOCH, max(numbers), arrivals)
    return [position for position in receipt.positions if position is not None]


@virtual
async def test_what_an_earlier_process_left_is_handled_first_with_its_attempt_counted(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    positions = await stored(bench, 1, 2)
    await bench.log.claim(positions[:1])
    async with bench.up() as conductor:
        end, hello = await conductor.welcomed(start=2)
        await end.events(3, 3)
        await until(lambda: work.done == [1, 2, 3])
        assert 2 == hello.cursor
        story = await bench.log.story(down_event(1).event_id)
        assert story is not None
        assert "reaped" in [step.what for step in story.steps]


@virtual
async def test_an_event_that_keeps_killing_the_process_is_buried_without_another_try(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    [position] = await stored(bench, 1)
    for _ in range(SETTINGS.dispatch.max_attempts):
        await bench.log.claim([position])
        await bench.log.reap()
    async with bench.up():
        await until(lambda: bool(bench.log.inbound.dead))
        [letter] = await bench.desk.letters(None, 10, 0)
        assert ("HANDLER_CRASHED", []) == (letter.error_code, work.calls)


@virtual
async def test_retention_and_expiry_are_looked_after_however_busy_the_daemon_is(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    bench.outbox.configure(OutboxCaps(default=Caps(max_age_s=5.0)))
    await bench.outbox.put([Outgoing("old", QUEUED, b"{}")])
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed(beat_s=3600.0)
        listening = asyncio.create_task(end.listen())
        for number in range(1, 400):
            await end.events(number, number)
            await asyncio.sleep(0.2)
            if number == 50:
                await end.answer("old")
        listening.cancel()
        counts = await bench.up_counts()
        assert (399, {"expired": 1}) == (len(work.done), counts.dropped)
        assert None is await bench.log.story(down_event(1).event_id)
        assert None is not await bench.log.story(down_event(399).event_id)


@virtual
async def test_credit_is_granted_while_old_events_are_being_forgotten(tmp_path: Path) -> None:
    bench, work = make(tmp_path)
    pruning = asyncio.Event()

    async def slow(older_than_ms: int, limit: int) -> int:
        pruning.set()
        await asyncio.Event().wait()
        return 0

    bench.log.prune = slow  # type: ignore[method-assign]
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed(beat_s=3600.0)
        listening = asyncio.create_task(end.listen())
        work.gate.clear()
        await end.events(1, *range(1, 65))
        await pruning.wait()
        await until(lambda: bool(end.acks()) and end.acks()[-1].credit == 0)
        work.gate.set()
        await until(lambda: end.acks()[-1].credit == 64)
        listening.cancel()


@virtual
async def test_upkeep_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    bench, work = make(tmp_path)
    failures = [StoreFull("no room")]
    expire = bench.outbox.expire

    async def failing(now_ms: int) -> int:
        if failures:
            raise failures.pop()
        return await expire(now_ms)

    bench.outbox.expire = failing  # type: ignore[method-assign]
    bench.outbox.configure(OutboxCaps(default=Caps(max_age_s=1.0)))
    await bench.outbox.put([Outgoing("old", QUEUED, b"{}")])
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed(beat_s=3600.0)
        await asyncio.sleep(5.0)
        assert ["STORE_FULL"] == [error.code for error in bench.feed.errors]
        assert {"expired": 1} == (await bench.up_counts()).dropped
        await end.events(1, 1)
        await until(lambda: work.done == [1])


@virtual
async def test_a_dead_letter_is_journaled(tmp_path: Path) -> None:
    bench, work = make(tmp_path)
    work.reject = True
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        await end.events(1, 1)
        await until(lambda: bench.dispatcher.in_flight == 0 and work.calls == [1])
        await turns()
        assert ["DEAD_LETTERED"] == await bench.journaled()


@virtual
async def test_a_dead_letter_of_the_last_moment_is_journaled_before_the_end(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    work.reject = True
    work.gate.clear()
    append, slow = bench.journal.append, asyncio.Event()

    async def slowly(*args: Any, **more: Any) -> int:
        await slow.wait()
        return await append(*args, **more)

    bench.journal.append = slowly  # type: ignore[method-assign]
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        await end.events(1, 1)
        await until(lambda: work.calls == [1])
        bench.daemon.stop()
        work.gate.set()
        asyncio.get_running_loop().call_later(1.0, slow.set)
        await bench.down()
        assert ["DEAD_LETTERED"] == await bench.journaled()


@virtual
async def test_a_dead_letter_whose_process_died_before_the_entry_gets_it_at_the_next_start(
    tmp_path: Path,
) -> None:
    bench, _ = make(tmp_path)
    [position, other] = await stored(bench, 1, 2)
    await bench.log.claim([position, other])
    await bench.log.settle([Buried(position, 1, "EVENT_REJECTED", "no")])
    await bench.log.settle([Buried(other, 1, "EVENT_REJECTED", "no")])
    await bench.journal.append("DEAD_LETTERED", "sidecar", {"position": position})
    async with bench.up():
        await turns()
        assert ["DEAD_LETTERED", "DEAD_LETTERED"] == await bench.journaled()
        owed = (await bench.journal.latest(1))[0]
        assert f'"event_id":"{down_event(2).event_id}"' in owed.payload
        assert '"found_at_start":true' in owed.payload


@virtual
async def test_a_journal_that_refuses_a_dead_letter_does_not_stop_the_daemon(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    work.reject = True
    await bench.journal.close()
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        await end.events(1, 1, 2)
        await until(lambda: work.calls == [1, 2])
        await until(lambda: bool(bench.feed.errors))
        assert {"STORE_CLOSED"} == {error.code for error in bench.feed.errors}


@virtual
async def test_a_broken_store_ends_the_daemon_with_its_own_error(tmp_path: Path) -> None:
    bench, _ = make(tmp_path)
    bench.log.refuse_claim = StoreCorrupt("torn")
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        await end.events(1, 1)
        assert bench.task is not None
        with pytest.raises(StoreCorrupt):
            await bench.task


@virtual
async def test_a_refused_credential_ends_the_daemon_after_a_drain(tmp_path: Path) -> None:
    bench, _ = make(tmp_path)
    await stored(bench, 1)
    bench.conductor.answer = CredentialRefused("revoked")
    async with bench.up():
        assert bench.task is not None
        with pytest.raises(CredentialRefused):
            await bench.task
        assert {} == bench.log.inbound.claims


@virtual
async def test_a_clean_stop_gives_running_handlers_their_deadline_and_costs_no_attempt(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    work.gate.clear()
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        await end.events(1, 1, 2)
        await until(lambda: work.calls == [1])
        began = bench.clock.monotonic()
        await bench.down()
        pending = await bench.log.pending(0, 10)
        assert ([0, 0], 3) == (
            [item.attempts for item in pending], round(bench.clock.monotonic() - began)
        )  # fmt: skip


@virtual
async def test_what_arrives_during_a_stop_is_stored_and_acknowledged_for_the_next_start(
    tmp_path: Path,
) -> None:
    bench, work = make(tmp_path)
    work.gate.clear()
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        listening = asyncio.create_task(end.listen())
        await end.events(1, 1)
        await until(lambda: work.calls == [1])
        bench.daemon.stop()
        await turns()
        await end.events(2, 2)
        await bench.down()
        await listening
        assert 2 == end.acks()[-1].sequence
        assert [2] == [int(item.body.split(b'"n":')[1][:1]) for item in
                       (await bench.log.pending(0, 10))[1:]]  # fmt: skip


@virtual
async def test_a_daemon_without_a_conductor_is_ready_takes_pushes_and_stops(
    tmp_path: Path,
) -> None:
    bench, _ = make(tmp_path)
    async with bench.up():
        await bench.daemon.ready.wait()
        await bench.uplink.publish([up_event(1)])
        await bench.down()
        assert 1 == (await bench.outbox.depth()).events


@virtual
async def test_the_report_balances_and_shows_what_runs(tmp_path: Path) -> None:
    bench, work = make(tmp_path)
    work.gate.clear()
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed(session="ses-3")
        await end.events(1, 1, 2)
        await until(lambda: work.calls == [1])
        report = await bench.daemon.report()
        assert (True, 2, 1, 2) == (
            report.balanced, report.backlog, report.lanes["running"], report.cursor.sequence
        )  # fmt: skip
        assert report.link is not None
        assert ("open", "ses-3") == (report.link.state, report.link.session)
        work.gate.set()
