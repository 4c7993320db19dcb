"""The delivery contract, end to end: a real daemon, a real conductor, every adapter."""

from __future__ import annotations

import asyncio

import pytest

from conductor_adapters.transport import CredentialRefused
from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import (
    EventMalformed,
    QueueFull,
    SidecarUnreachable,
    SubjectMismatch,
    UnknownKind,
)
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.records import Outgoing
from conductor_sidecar.app import open_stores
from conductor_sidecar.settings import OutboxSettings
from conductor_state.lock import WorkspaceBusy
from delivery_pack import ASKED, ATTEMPTS, ONCE, QUEUED, TRIED
from delivery_world import SUBJECT, World


async def test_a_resend_is_counted_replayed_and_not_handled_again(world: World) -> None:
    await world.run()
    await world.send(1)
    await world.handled([1])
    await world.settled()
    await world.send(1, again=True)
    await world.send(2)
    await world.handled([1, 2])
    await world.settled()
    counts = await world.counts()
    assert (2, 2, 1) == (counts["accepted"], counts["delivered"], counts["replayed"])


async def test_a_resend_of_an_event_that_is_not_settled_is_a_duplicate(world: World) -> None:
    await world.run()
    await world.send(1, do="wait", kind=ONCE)
    await world.until("the handler runs", lambda: world.desk.calls[1] == 1)
    await world.send(1, again=True, do="wait", kind=ONCE)

    async def seen_twice() -> bool:
        return bool((await world.counts(ONCE))["duplicates"] == 1)

    await world.until("the resend is counted", seen_twice)
    world.desk.gate.set()
    await world.handled([1])


async def test_events_of_one_key_are_handled_in_order(world: World) -> None:
    await world.run()
    await world.send(*range(200))
    await world.handled(range(200))
    status = await world.settled()
    assert 200 == status["inbound"][ASKED]["delivered"]


async def test_queued_events_survive_a_disconnect_and_drain_in_order(world: World) -> None:
    await world.run()
    await world.push(0, 1)
    await world.settled()
    await world.close()
    await world.unlinked()
    receipts = await world.push(2, 3, 4)
    assert ["queued"] * 3 == [receipt.status for receipt in receipts]
    await world.open()
    await world.settled()
    assert [0, 1, 2, 3, 4] == await world.pushed_numbers()


async def test_queued_events_survive_a_restart_of_the_sidecar(world: World) -> None:
    await world.run()
    await world.close()
    await world.unlinked()
    await world.push(1, 2, 3)
    await world.stop()
    await world.start()
    await world.push(4)
    await world.open()
    await world.settled()
    assert [1, 2, 3, 4] == await world.pushed_numbers()


async def test_the_same_key_arrives_once_however_often_it_is_pushed(world: World) -> None:
    await world.run()
    for _ in range(3):
        await world.push(7)
        await world.settled()
    assert [7] == await world.pushed_numbers()


async def test_ephemeral_events_are_dropped_and_counted_while_offline(world: World) -> None:
    await world.run()
    await world.push(1, kind=TRIED)
    await world.settled()
    await world.close()
    await world.unlinked()
    [receipt] = await world.push(2, kind=TRIED)
    assert ("dropped", "disconnected") == (receipt.status, receipt.reason)
    await world.open()
    await world.linked()
    await world.push(3, kind=TRIED)
    status = await world.settled()
    assert [1, 3] == await world.pushed_numbers(TRIED)
    counts = status["outbound"][TRIED]
    assert (3, 2, {"disconnected": 1}) == (
        counts["accepted"], counts["delivered"], counts["dropped"]
    )  # fmt: skip


async def test_a_conductor_that_restarts_goes_on_from_the_cursor(world: World) -> None:
    await world.run()
    await world.send(1, 2)
    await world.handled([1, 2])
    await world.settled()
    await world.close()
    await world.unlinked()
    await world.open()
    await world.send(3)
    await world.handled([1, 2, 3])
    counts = await world.counts()
    assert (3, 0, 0) == (counts["accepted"], counts["duplicates"], counts["replayed"])
    assert [] == world.desk.gaps


async def test_forgotten_history_is_a_gap_that_packs_and_journal_see(world: World) -> None:
    await world.run()
    await world.send(1)
    await world.handled([1])
    await world.settled()
    await world.stop()
    await world.send(2, 3, 4)
    await world.conductor.forget(SUBJECT, 3)
    await world.start()
    await world.handled([1, 4])
    await world.until("the gap is handled", lambda: len(world.desk.gaps) == 1)
    [gap] = world.desk.gaps
    assert (1, 2, 3) == (gap["old_cursor"], gap["from"], gap["to"])
    assert ["GAP_DETECTED"] == await journal_types(world)


async def test_a_conductor_with_a_new_history_is_a_gap_too(world: World) -> None:
    await world.run()
    await world.send(1, 2)
    await world.handled([1, 2])
    await world.settled()
    await world.close()
    await world.unlinked()
    await world.lose_history()
    await world.open()
    await world.send(3)
    await world.handled([1, 2, 3])
    await world.until("the gap is handled", lambda: len(world.desk.gaps) == 1)
    assert 1 == (await world.status())["cursor"]["sequence"]


BAD_DAYS = {
    "drop": ["drop=0.03"],
    "duplicate": ["duplicate=0.3"],
    "reorder": ["reorder=0.1"],
    "delay": ["delay=0.02@0.3"],
    "everything": ["drop=0.02", "duplicate=0.1", "reorder=0.05", "delay=0.01@0.1"],
    "cut": ["close_after=25"],
}
STRAIGHT = ("duplicate", "delay", "cut")
"""Days on which frames arrive in order, if they arrive."""


@pytest.mark.parametrize("day", BAD_DAYS)
async def test_on_a_bad_day_everything_is_handled_once_in_order(world: World, day: str) -> None:
    world.seed = 5
    await world.run()
    world.conductor.faults.set(BAD_DAYS[day])
    for first in range(0, 120, 8):
        await world.send(*range(first, first + 8), do="push")
        await asyncio.sleep(0)
    await world.until("all are handled", lambda: len(world.desk.handled) >= 120)
    world.conductor.faults.clear()
    # A push that was lost on an open link is only noticed when that link ends.
    await world.conductor.disconnect(SUBJECT)
    status = await world.settled()
    assert list(range(120)) == world.desk.handled
    pushed = await world.pushed_numbers()
    # Pushes carry no sequence: their order is the link's own.
    assert list(range(120)) == (pushed if day in STRAIGHT else sorted(pushed))
    assert 120 == status["inbound"][ASKED]["accepted"]
    assert sum(world.conductor.faults.counts.values()) > 0


async def test_a_black_hole_is_noticed_and_nothing_is_lost(world: World) -> None:
    await world.run()
    world.conductor.faults.set(["black_hole"])
    await world.send(1, 2)
    await world.push(3)
    await world.until("it swallows", lambda: world.conductor.faults.counts["swallowed"] > 3)
    world.conductor.faults.clear()
    await world.handled([1, 2])
    await world.settled()
    assert [3] == await world.pushed_numbers()


async def test_a_conductor_that_drains_gets_the_sidecar_back(world: World) -> None:
    await world.run()
    await world.conductor.drain(retry_after_s=0.05)

    async def again() -> bool:
        return bool((await world.status())["link"]["connections"] == 2)

    await world.until("it has come back", again)
    await world.send(1)
    await world.handled([1])


async def test_a_refused_credential_at_the_start_ends_the_daemon(world: World) -> None:
    await world.open()
    await world.revoke()
    with pytest.raises(CredentialRefused):
        await world.start_and_wait()


async def test_a_credential_refused_later_leaves_the_daemon_up(world: World) -> None:
    await world.run()
    await world.revoke()

    async def refused() -> bool:
        link = (await world.status())["link"]
        return link["state"] == "waiting" and "CREDENTIAL_REFUSED" in link["reason"]

    await world.until("the refusal shows", refused)
    [receipt] = await world.push(1)
    assert "queued" == receipt.status


async def test_a_refusing_conductor_is_tried_again(world: World) -> None:
    await world.run()
    world.conductor.faults.set(["refuse=503@0.05"])
    await world.conductor.disconnect(SUBJECT)
    await world.until("it refuses", lambda: world.conductor.faults.counts["refused"] >= 2)
    world.conductor.faults.clear()
    await world.linked()


async def test_a_second_sidecar_is_refused_naming_the_first(world: World) -> None:
    await world.run()
    with pytest.raises(WorkspaceBusy, match="conductor sidecar"):
        await world.start()
    await world.send(1)
    await world.handled([1])


async def test_a_clean_stop_costs_no_attempt(world: World) -> None:
    """The kind has one attempt: a second start would bury it, had the stop cost one."""
    await world.run()
    await world.send(1, 2, 3, do="wait", kind=ONCE)
    for runs in (1, 2, 3):
        await world.until("it runs", lambda: world.desk.calls[1] == runs)  # noqa: B023  at once
        if runs < 3:
            await world.stop()
            await world.start()
    world.desk.gate.set()
    await world.handled([1, 2, 3])
    counts = await world.counts(ONCE)
    await world.settled()
    assert (3, 0) == (counts["accepted"], counts["dead_lettered"])
    assert [1, 1] == world.desk.cancelled


async def test_a_stop_waits_for_a_handler_that_is_nearly_done(world: World) -> None:
    await world.run()
    await world.send(1, do="wait", kind=ONCE)
    await world.until("it runs", lambda: world.desk.calls[1] == 1)
    stopping = asyncio.create_task(world.stop())
    await asyncio.sleep(0)
    world.desk.gate.set()
    await stopping
    await world.start()
    assert ([1], 1) == (world.desk.handled, (await world.counts(ONCE))["delivered"])


async def test_unknown_kinds_are_counted_as_unhandled(world: World) -> None:
    await world.run()
    await world.send(1, kind="conductor:nobody_asked")
    await world.send(2)
    await world.handled([2])
    await world.settled()
    counts = await world.counts("conductor:nobody_asked")
    assert (1, {"unhandled": 1}) == (counts["accepted"], counts["dropped"])


async def test_bad_events_are_answered_counted_and_followed_by_good_ones(world: World) -> None:
    await world.run()
    deep = b'{"schema_version":2,"kind":"a:b","payload":' + b'{"a":' * 50 + b"1" + b"}" * 51
    large = b'{"schema_version":2,"kind":"a:b","pad":"' + b"x" * 300_000 + b'"}'
    bad = {"malformed": b'{"schema_version":2,"kind":"NOT A KIND"}', "deep": deep, "large": large}
    await world.send(1)
    await world.conductor.append(SUBJECT, [Outgoing(i, i, body) for i, body in bad.items()])
    await world.send(2)
    await world.handled([1, 2])
    status = await world.settled()
    dropped = status["inbound"][""]["dropped"]
    assert {"event_malformed": 1, "event_too_deep": 1, "event_withheld": 1} == dropped
    assert 3 == sum(count for code, count in status["refusals"].items() if "EVENT_" in code)


@pytest.mark.parametrize(
    ("do", "code", "attempts"),
    [("hang", "HANDLER_TIMEOUT", ATTEMPTS), ("raise", "HANDLER_FAILED", ATTEMPTS),
     ("reject", "EVENT_REJECTED", 1)],
)  # fmt: skip
async def test_a_failing_handler_is_a_dead_letter_and_delays_no_other_key(
    world: World, do: str, code: str, attempts: int
) -> None:
    await world.run()
    await world.send(1, do=do, lane="bad")
    await world.send(2, 3, lane="good")
    await world.handled([2, 3])

    async def buried() -> bool:
        return bool((await world.status())["dead_letters"] == 1)

    await world.until("it is buried", buried)
    [letter] = (await world.get("/v1/dead-letters"))["dead_letters"]
    assert (code, attempts, attempts) == (
        letter["error_code"], letter["attempts"], world.desk.calls[1]
    )  # fmt: skip

    async def journaled() -> bool:
        return "DEAD_LETTERED" in await journal_types(world)

    await world.until("it is journaled", journaled)
    await world.settled()


async def test_a_dead_letter_that_is_redriven_is_handled(world: World) -> None:
    await world.run()
    [event_id] = await world.send(1, do="raise")

    async def buried() -> bool:
        return bool((await world.status())["dead_letters"] == 1)

    await world.until("it is buried", buried)
    dry = await world.post("/v1/dead-letters/redrive", {"all": True, "dry_run": True})
    assert ([event_id], 1) == (dry["event_ids"], (await world.status())["dead_letters"])
    world.desk.mended = True
    await world.post("/v1/dead-letters/redrive", {"event_ids": [event_id]})
    await world.handled([1])
    await world.settled()
    counts = await world.counts()
    assert (1, 1, 0) == (counts["accepted"], counts["delivered"], counts["dead_lettered"])
    assert "DEAD_LETTER_REDRIVEN" in await journal_types(world)


async def test_a_dead_letter_that_is_dropped_is_gone_and_counted(world: World) -> None:
    await world.run()
    [event_id] = await world.send(1, do="reject")

    async def buried() -> bool:
        return bool((await world.status())["dead_letters"] == 1)

    await world.until("it is buried", buried)
    await world.post("/v1/dead-letters/drop", {"event_ids": [event_id]})
    await world.settled()
    assert {"operator": 1} == (await world.counts())["dropped"]
    await world.send(1, again=True)
    await world.settled()
    assert 1 == world.desk.calls[1]


async def test_a_replay_key_is_known_to_later_events_also_after_a_restart(world: World) -> None:
    await world.run()
    await world.send(1, do="keyed")
    await world.handled([1])
    await world.settled()
    await world.stop()
    await world.start()
    await world.send(2, do="keyed")
    await world.until("it is asked", lambda: world.desk.calls[2] == 1)
    await world.settled()
    assert ([1], 1) == (world.desk.handled, (await world.counts())["replayed"])


async def test_a_pack_pushes_while_it_handles(world: World) -> None:
    await world.run()
    await world.send(1, 2, 3, do="push")
    await world.handled([1, 2, 3])
    await world.settled()
    assert [1, 2, 3] == await world.pushed_numbers()


async def test_pushes_from_another_process_are_refused_by_code(world: World) -> None:
    await world.run()
    port = world.client.sync_port
    with pytest.raises(UnknownKind):
        await port.push_kernel_events([{"kind": "delivery-pack:never_declared"}])
    with pytest.raises(SubjectMismatch):
        await port.push_kernel_events([{"kind": QUEUED, "from": "somebody-else"}])
    with pytest.raises(EventMalformed):
        await port.push_kernel_events([{"kind": QUEUED, "payload": "not an object"}])
    good = {"kind": QUEUED, "n": 1}
    with pytest.raises(UnknownKind):
        await port.push_kernel_events([good, {"kind": "delivery-pack:never_declared"}])
    await world.settled()
    assert [] == await world.pushed_numbers()


async def test_a_full_outbox_refuses_the_push_by_code(world: World) -> None:
    await world.open()
    await world.start(outbox=OutboxSettings(max_events=2))
    await world.linked()
    await world.close()
    await world.unlinked()
    await world.push(1, 2)
    with pytest.raises(QueueFull):
        await world.push(3)
    await world.open()
    await world.settled()
    assert [1, 2] == await world.pushed_numbers()


async def test_without_a_sidecar_a_push_says_so(world: World) -> None:
    with pytest.raises(SidecarUnreachable):
        await world.push(1)


async def test_an_event_that_the_conductor_rejects_leaves_the_queue(world: World) -> None:
    """One that was queued before the daemon looked at the link's limits itself."""
    fields = {"kind": QUEUED, "from": SUBJECT, "n": 1, "deep": deep(40)}
    event = build_kernel_event_v2(fields)
    async with open_stores(world.workspace, world.settings, clock=SystemClock()) as stores:
        await stores.outbox.put([Outgoing(event.event_id, event.kind, event.to_json())])
    await world.run()
    await world.push(2)
    status = await world.settled()
    counts = status["outbound"][QUEUED]
    assert ([2], {"rejected": 1}) == (await world.pushed_numbers(), counts["dropped"])


async def test_every_step_of_an_event_can_be_explained(world: World) -> None:
    await world.run()
    [event_id] = await world.send(1, do="push")
    await world.handled([1])
    await world.settled()
    [inbound] = (await world.get(f"/v1/explain/{event_id}"))["stories"]
    [event] = await world.pushed()
    [outbound] = (await world.get(f"/v1/explain/{event.event_id}"))["stories"]
    assert {"received", "attempt"} <= {step["what"] for step in inbound["steps"]}
    assert ["queued", "pushed", "confirmed"] == [step["what"] for step in outbound["steps"]]


async def test_a_backlog_larger_than_the_window_does_not_stop_the_link(world: World) -> None:
    await world.run()
    window = world.settings.dispatch.window
    await world.send(0, do="wait", kind=ONCE)
    await world.send(*range(1, window + 50), kind=ONCE)

    async def full() -> bool:
        return bool((await world.status())["backlog"] == window)

    await world.until("the window is full", full)
    await world.stop()
    world.desk.gate.set()
    await world.start()
    await world.handled(range(window + 50))
    await world.settled()


async def test_large_events_in_both_directions_do_not_block_each_other(world: World) -> None:
    await world.run()
    pad = "x" * 200_000
    pushing = asyncio.create_task(push_large(world, pad))
    for number in range(60):
        await world.send(number, pad=pad)
    await pushing
    await world.handled(range(60))
    await world.settled()
    assert list(range(60)) == await world.pushed_numbers()


async def push_large(world: World, pad: str) -> None:
    for number in range(60):
        event = {"kind": QUEUED, "n": number, "pad": pad, "idempotency_key": str(number)}
        await world.client.sync_port.push_kernel_events([event])


async def journal_types(world: World) -> list[str]:
    """What the journal tells, read while the daemon runs."""
    from conductor_sidecar.app import open_journal

    journal = open_journal(world.workspace)
    try:
        return [entry.event_type for entry in await journal.tail()]
    finally:
        await journal.close()


def deep(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels):
        value = {"a": value}
    return value
