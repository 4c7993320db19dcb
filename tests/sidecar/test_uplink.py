"""The way up: queued until confirmed, or tried once and counted."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from conductor_protocol.messages import PushResult
from conductor_sdk.errors import EventRefused, QueueFull
from conductor_sdk.event import KernelEvent
from conductor_sidecar.delivery.uplink import EPHEMERAL_CAP, PAGE_EVENTS, Uplink
from conductor_state.errors import StoreFull
from conductor_state.memory.outbox import MemoryOutbox
from conductor_state.outbox_caps import Caps, OutboxCaps
from link_bench import QUEUED, TRIED, HeldOutbox, up_event
from virtual_time import LoopClock, turns, virtual

ROOM = 100


def make() -> tuple[Uplink, HeldOutbox]:
    outbox = HeldOutbox(LoopClock())
    return Uplink(outbox, policy), outbox


def policy(kind: str) -> str:
    return "ephemeral" if kind == TRIED else "queue"


def tried(number: int) -> KernelEvent:
    return up_event(number, TRIED)


def results(*events: KernelEvent, status: str = "accepted") -> list[PushResult]:
    reason = "bad" if status == "rejected" else None
    return [PushResult(event.event_id, status, reason) for event in events]


async def ids(uplink: Uplink, room: int = ROOM) -> list[str]:
    async with asyncio.timeout(1.0):
        return [item.event_id for item in await uplink.next_batch(room)]


@virtual
async def test_queued_events_leave_in_the_order_of_the_pushes() -> None:
    uplink, _ = make()
    events = [up_event(n) for n in (3, 1, 2)]
    receipts = await uplink.publish(events[:1])
    receipts += await uplink.publish(events[1:])
    uplink.connected()
    assert [event.event_id for event in events] == await ids(uplink)
    assert ["queued"] * 3 == [receipt.status for receipt in receipts]


@virtual
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"deep": json.loads("[" * 80 + "]" * 80)}, "EVENT_TOO_DEEP"),
        ({str(n): 0 for n in range(10_001)}, "EVENT_TOO_MANY_KEYS"),
        ({"text": "x" * 262_144}, "EVENT_TOO_LARGE"),
    ],
)
async def test_an_event_that_no_conductor_would_take_is_refused_before_anything_is_stored(
    payload: dict[str, object], code: str
) -> None:
    uplink, outbox = make()
    bad = msgspec.structs.replace(up_event(2), payload=payload)
    with pytest.raises(EventRefused) as caught:
        await uplink.publish([up_event(1), bad])
    assert (code, 0) == (caught.value.code, (await outbox.depth()).events)


@virtual
async def test_a_queued_event_is_kept_until_its_id_is_confirmed() -> None:
    uplink, outbox = make()
    one, two = up_event(1), up_event(2)
    await uplink.publish([one, two])
    uplink.connected()
    await ids(uplink)
    assert (2, 2) == (uplink.unconfirmed, (await outbox.depth()).events)
    await uplink.confirmed(results(two))
    assert [one.event_id] == [row.event_id for row in await outbox.take(0, 10, 10_000)]
    counts = (await outbox.counts())[QUEUED]
    assert (2, 1, 1) == (counts.accepted, counts.delivered, counts.buffered)


@virtual
async def test_what_was_not_confirmed_is_sent_again_on_the_next_link_in_order() -> None:
    uplink, _ = make()
    events = [up_event(n) for n in range(5)]
    await uplink.publish(events)
    uplink.connected()
    await ids(uplink)
    await uplink.confirmed(results(events[1], events[3]))
    await uplink.disconnected()
    uplink.connected()
    assert [events[n].event_id for n in (0, 2, 4)] == await ids(uplink)


@virtual
async def test_an_event_is_sent_once_per_link_while_it_waits_for_its_result() -> None:
    uplink, _ = make()
    await uplink.publish([up_event(1)])
    uplink.connected()
    await ids(uplink)
    with pytest.raises(TimeoutError):
        await ids(uplink)


@virtual
async def test_the_pusher_waits_for_events_and_wakes_with_the_next_push() -> None:
    uplink, _ = make()
    uplink.connected()
    waiting = asyncio.create_task(uplink.next_batch(ROOM))
    await turns()
    assert not waiting.done()
    await uplink.publish([up_event(1)])
    assert [up_event(1).event_id] == [item.event_id for item in await waiting]


@virtual
async def test_a_batch_is_never_larger_than_the_room_or_a_page() -> None:
    uplink, _ = make()
    await uplink.publish([up_event(n) for n in range(PAGE_EVENTS + 10)])
    uplink.connected()
    assert (3, PAGE_EVENTS, 7) == (
        len(await ids(uplink, 3)), len(await ids(uplink, 10_000)), len(await ids(uplink, 10_000))
    )  # fmt: skip


@virtual
async def test_ephemeral_events_go_before_queued_ones_and_count_against_the_room() -> None:
    uplink, _ = make()
    uplink.connected()
    await uplink.publish([up_event(1), up_event(2), tried(3)])
    assert [tried(3).event_id, up_event(1).event_id] == await ids(uplink, 2)
    assert [up_event(2).event_id] == await ids(uplink, 2)


@virtual
async def test_without_a_link_an_ephemeral_event_is_dropped_and_counted() -> None:
    uplink, outbox = make()
    [receipt] = await uplink.publish([tried(1)])
    counts = (await outbox.counts())[TRIED]
    assert ("dropped", "disconnected") == (receipt.status, receipt.reason)
    assert (1, {"disconnected": 1}, True) == (counts.accepted, counts.dropped, counts.balanced)


@virtual
async def test_ephemeral_events_beyond_the_cap_are_dropped_and_counted() -> None:
    uplink, outbox = make()
    uplink.connected()
    receipts = await uplink.publish([tried(n) for n in range(EPHEMERAL_CAP + 2)])
    assert ["window_full"] * 2 == [r.reason for r in receipts if r.status == "dropped"]
    assert {"window_full": 2} == (await outbox.counts())[TRIED].dropped


@virtual
async def test_a_lost_link_drops_ephemeral_events_sent_and_unsent() -> None:
    uplink, outbox = make()
    uplink.connected()
    await uplink.publish([tried(1), tried(2), tried(3)])
    await ids(uplink, 2)
    await uplink.confirmed(results(tried(1)))
    await uplink.disconnected()
    counts = (await outbox.counts())[TRIED]
    assert (3, 1, {"link_lost": 2}) == (counts.accepted, counts.delivered, counts.dropped)
    uplink.connected()
    with pytest.raises(TimeoutError):
        await ids(uplink)


@virtual
async def test_an_ephemeral_event_that_is_rejected_is_dropped_as_such() -> None:
    uplink, outbox = make()
    uplink.connected()
    await uplink.publish([tried(1)])
    await ids(uplink)
    await uplink.confirmed(results(tried(1), status="rejected"))
    counts = (await outbox.counts())[TRIED]
    assert (1, 0, {"rejected": 1}) == (counts.accepted, counts.delivered, counts.dropped)


@virtual
async def test_an_ephemeral_event_pushed_again_while_on_its_way_is_one_event() -> None:
    uplink, outbox = make()
    uplink.connected()
    await uplink.publish([tried(1), tried(1)])
    assert {tried(1).event_id} == set(await ids(uplink))
    await uplink.confirmed(results(tried(1)))
    await uplink.disconnected()
    counts = (await outbox.counts())[TRIED]
    assert (1, 1, 0) == (counts.accepted, counts.delivered, uplink.unconfirmed)


@virtual
async def test_a_rejected_event_leaves_the_queue_as_dropped() -> None:
    uplink, outbox = make()
    await uplink.publish([up_event(1), up_event(2)])
    uplink.connected()
    await ids(uplink)
    await uplink.confirmed([*results(up_event(1)), *results(up_event(2), status="rejected")])
    counts = (await outbox.counts())[QUEUED]
    assert (2, 1, {"rejected": 1}, 0) == (
        counts.accepted, counts.delivered, counts.dropped, counts.buffered
    )  # fmt: skip


@virtual
async def test_a_duplicate_counts_as_delivered() -> None:
    uplink, outbox = make()
    await uplink.publish([up_event(1)])
    uplink.connected()
    await ids(uplink)
    await uplink.confirmed(results(up_event(1), status="duplicate"))
    assert 1 == (await outbox.counts())[QUEUED].delivered


@virtual
async def test_results_of_events_that_were_not_sent_confirm_nothing() -> None:
    uplink, outbox = make()
    await uplink.publish([up_event(1)])
    uplink.connected()
    await uplink.confirmed(results(up_event(1), tried(2)))
    assert 1 == (await outbox.depth()).events


@virtual
async def test_a_result_that_could_not_be_stored_leaves_the_event_to_the_next_link() -> None:
    uplink, outbox = make()
    await uplink.publish([up_event(1)])
    uplink.connected()
    await ids(uplink)
    outbox.refuse_confirm = StoreFull("no room")
    with pytest.raises(StoreFull):
        await uplink.confirmed(results(up_event(1)))
    outbox.refuse_confirm = None
    await uplink.disconnected()
    uplink.connected()
    assert [up_event(1).event_id] == await ids(uplink)


@virtual
async def test_a_refused_push_tries_nothing_either() -> None:
    caps = OutboxCaps(default=Caps(max_events=1, overflow="reject"))
    outbox = MemoryOutbox(clock=LoopClock(), caps=caps)
    uplink = Uplink(outbox, policy)
    uplink.connected()
    await uplink.publish([up_event(1)])
    with pytest.raises(QueueFull):
        await uplink.publish([tried(2), up_event(3)])
    assert [up_event(1).event_id] == await ids(uplink)


@virtual
async def test_receipts_come_in_the_order_of_the_events() -> None:
    uplink, _ = make()
    uplink.connected()
    receipts = await uplink.publish([tried(1), up_event(2), tried(3)])
    assert [("sent", tried(1).event_id), ("queued", up_event(2).event_id),
            ("sent", tried(3).event_id)] == [(r.status, r.event_id) for r in receipts]  # fmt: skip


@virtual
async def test_an_event_that_overflows_says_so_in_its_receipt() -> None:
    caps = OutboxCaps(default=Caps(max_events=1, overflow="drop_newest"))
    uplink = Uplink(MemoryOutbox(clock=LoopClock(), caps=caps), policy)
    receipts = await uplink.publish([up_event(1), up_event(2)])
    assert [("queued", None), ("dropped", "overflow")] == [(r.status, r.reason) for r in receipts]


@virtual
async def test_an_event_pushed_again_while_queued_is_queued_once() -> None:
    uplink, outbox = make()
    first = await uplink.publish([up_event(1)])
    again = await uplink.publish([up_event(1)])
    assert (first, 1) == (again, (await outbox.depth()).events)


@virtual
async def test_a_changed_policy_holds_for_the_next_push() -> None:
    uplink, _ = make()
    uplink.set_policy(lambda kind: "queue")
    [receipt] = await uplink.publish([tried(1)])
    assert "queued" == receipt.status
