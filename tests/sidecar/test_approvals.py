"""Leave for single calls: the desk, the conductor's word, and what a call makes of both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tool_pack
from conductor_handlers.toolhost.records import Caller, Request
from conductor_protocol.messages import Events
from conductor_sdk.approval import Approval
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.testing.conformance import run_conformance
from conductor_sidecar.approval_pack import KIND, Resolved, approval_pack, resolve
from conductor_sidecar.approvals import ApprovalDesk, approval_json
from conductor_sidecar.settings import Settings
from conductor_state.errors import ApprovalDecided, ApprovalNotFound, StoreFull
from conductor_state.memory.approvals import MemoryApprovals
from conductor_state.memory.journal import MemoryJournal
from conductor_state.testing.approvals import HOUR_MS, asked
from daemon_bench import DaemonBench
from link_bench import PATIENCE_S, SUBJECT, FarEnd
from virtual_time import virtual

ANN = Caller("ann", "socket")


class FullJournal(MemoryJournal):
    """A journal on a full disk."""

    async def append(self, *args: Any, **named: Any) -> int:
        raise StoreFull("journal")


class World:
    """A desk on twins, with one request."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.clock = ManualClock()
        self.approvals = MemoryApprovals()
        self.journal = journal or MemoryJournal(clock=self.clock)
        self.desk = ApprovalDesk(self.approvals, self.journal, self.clock)

    async def ask(self, request_id: str = "apr-1", **fields: Any) -> None:
        await self.approvals.request(asked(request_id, at_ms=epoch_ms(self.clock.now()), **fields))

    async def entries(self) -> list[tuple[str, str]]:
        return [(entry.event_type, entry.actor) for entry in await self.journal.tail()]


async def test_a_decision_is_journaled_and_names_who_took_it() -> None:
    world = World()
    await world.ask()
    decided = await world.desk.decide("apr-1", granted=True, reason="fine")
    [entry] = await world.journal.tail()
    assert ("granted", "operator", "fine") == (decided.state, decided.decided_by, decided.reason)
    assert ("APPROVAL_GRANTED", "operator") == (entry.event_type, entry.actor)
    for part in ('"request_id":"apr-1"', '"actor":"ann"', '"by":"operator"', '"reason":"fine"'):
        assert part in entry.payload
    assert 0 == await world.desk.pending()


async def test_what_the_journal_does_not_take_is_not_decided() -> None:
    world = World(FullJournal())
    await world.ask()
    with pytest.raises(StoreFull):
        await world.desk.decide("apr-1", granted=True)
    assert "pending" == (await world.desk.show("apr-1")).state


async def test_a_dry_run_decides_and_journals_nothing() -> None:
    world = World()
    await world.ask()
    assert "pending" == (await world.desk.decide("apr-1", granted=True, dry_run=True)).state
    assert (1, []) == (await world.desk.pending(), await world.entries())


async def test_nobody_decides_twice_nor_too_late_nor_about_nothing() -> None:
    world = World()
    await world.ask()
    await world.ask("apr-2", input_hash="b2")
    await world.desk.decide("apr-1", granted=False)
    with pytest.raises(ApprovalDecided, match="apr-1 is denied"):
        await world.desk.decide("apr-1", granted=True)
    world.clock.advance(HOUR_MS / 1000)
    with pytest.raises(ApprovalDecided, match="apr-2 is expired"):
        await world.desk.decide("apr-2", granted=True)
    for look in (world.desk.decide("apr-9", granted=True), world.desk.show("apr-9")):
        with pytest.raises(ApprovalNotFound):
            await look
    assert [("APPROVAL_DENIED", "operator")] == await world.entries()


async def test_of_two_who_decide_at_once_one_is_journaled() -> None:
    world = World()
    await world.ask()
    works = [world.desk.decide("apr-1", granted=granted) for granted in (True, False, True)]
    found = await asyncio.gather(*works, return_exceptions=True)
    assert 1 == sum(isinstance(one, Approval) for one in found)
    assert 1 == len(await world.entries())


async def test_times_are_text_in_json() -> None:
    world = World()
    await world.ask()
    found = approval_json(await world.desk.decide("apr-1", granted=True))
    assert ("2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z", None) == (
        found["requested_at"], found["expires_at"], found["used_at"],
    )  # fmt: skip


# --- the conductor's word ----------------------------------------------------------------------


def said(approved: bool, by: str = "lou", request_id: str = "apr-1") -> Resolved:
    return Resolved(request_id, approved, by, "because")


async def test_the_conductors_decision_is_taken_once_however_often_it_comes() -> None:
    world = World()
    await world.ask()
    outcomes = [await resolve(world.desk, said(True)) for _ in range(3)]
    assert ["handled", "replayed", "replayed"] == [outcome.status for outcome in outcomes]
    assert [("APPROVAL_GRANTED", "conductor")] == await world.entries()
    found = await world.desk.show("apr-1")
    assert ("granted", "lou", "because") == (found.state, found.decided_by, found.reason)


async def test_a_repetition_after_the_use_is_a_repetition() -> None:
    world = World()
    await world.ask()
    await resolve(world.desk, said(True))
    now_ms = epoch_ms(world.clock.now())
    assert await world.approvals.use("task:cancel", "ann", "a1", now_ms) is not None
    assert "replayed" == (await resolve(world.desk, said(True))).status


@pytest.mark.parametrize(
    "late", [said(False), said(True, by="eve"), said(True, request_id="apr-9")],
    ids=["the other decision", "another person", "an unknown request"],
)  # fmt: skip
async def test_what_contradicts_or_is_unknown_changes_nothing(late: Resolved) -> None:
    world = World()
    await world.ask()
    await resolve(world.desk, said(True))
    assert "ignored" == (await resolve(world.desk, late)).status
    assert "granted" == (await world.desk.show("apr-1")).state


async def test_a_request_that_expired_stays_expired() -> None:
    world = World()
    await world.ask()
    world.clock.advance(HOUR_MS / 1000)
    assert "ignored" == (await resolve(world.desk, said(True))).status
    assert [] == await world.entries()


def test_the_daemons_own_pack_passes_the_conformance_suite() -> None:
    assert run_conformance(approval_pack(None)).passed


# --- in a daemon -------------------------------------------------------------------------------


def resolved_event(request_id: str, sequence: str = "1", **more: Any) -> KernelEvent:
    payload = {"request_id": request_id, "approved": True, "by": "lou", **more}
    fields = {"kind": KIND, "from": SUBJECT, "payload": payload}
    return build_kernel_event_v2(fields, idempotency_key=sequence, clock=ManualClock())


async def deliver(end: FarEnd, *events: KernelEvent) -> None:
    await end.say(Events(first=1, events=[msgspec.Raw(event.to_json()) for event in events]))


@virtual
async def test_a_call_waits_for_leave_that_the_conductor_gives_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_pack, "bench", tool_pack.Bench())
    bench = DaemonBench(tmp_path, [tool_pack.pack], Settings(), own_packs=True)

    async def attempt() -> str:
        output = await bench.tools.host.call(Request("bench:leave", {"n": 1}, ANN))
        return "" if output.error is None else output.error.code

    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        assert "APPROVAL_REQUIRED" == await attempt()
        report = await bench.daemon.report()
        assert 1 == report.approvals_pending
        [waiting] = await bench.desk.approvals.list(["pending"])
        event = resolved_event(waiting.request.request_id)
        await deliver(end, event, event)
        async with asyncio.timeout(PATIENCE_S):
            while await bench.desk.approvals.pending():  # noqa: ASYNC110  asked of the store
                await asyncio.sleep(0.1)
        assert "" == await attempt()
        assert "APPROVAL_REQUIRED" == await attempt()
    types = await bench.journaled()
    assert (1, 1) == (types.count("APPROVAL_GRANTED"), types.count("APPROVAL_USED"))


@virtual
async def test_a_decision_that_makes_no_sense_is_a_dead_letter(tmp_path: Path) -> None:
    bench = DaemonBench(tmp_path, [], Settings(), own_packs=True)
    async with bench.up() as conductor:
        end, _ = await conductor.welcomed()
        await deliver(end, resolved_event("apr-1", approved="yes"))
        async with asyncio.timeout(PATIENCE_S):
            while not (letters := await bench.desk.letters(None, 9, 0)):  # noqa: ASYNC110  as above
                await asyncio.sleep(0.1)
    assert "approved" in letters[0].error
