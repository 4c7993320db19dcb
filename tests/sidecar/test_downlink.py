"""The way down: stored, then acknowledged, then dispatched."""

from __future__ import annotations

import asyncio

import pytest

from conductor_protocol.effects import Deliver, GapDetected, Refused
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Arrival, Cursor
from conductor_sidecar.delivery.downlink import GAP_KIND
from conductor_state.errors import StoreCorrupt, StoreFull
from link_bench import EPOCH, KIND, LinkBench, deliver, until
from virtual_time import turns, virtual


class Acks:
    """The link's half, written down."""

    def __init__(self) -> None:
        self.stored_calls: list[tuple[int, int]] = []
        self.grants: list[int] = []
        self.failure: ConductorError | None = None

    async def stored(self, last: int, credit: int) -> None:
        self.stored_calls.append((last, credit))

    async def grant(self, credit: int) -> None:
        self.grants.append(credit)

    def fail(self, error: ConductorError) -> None:
        self.failure = error


@virtual
async def test_nothing_is_acknowledged_before_its_commit() -> None:
    async with LinkBench().running() as bench:
        link = Acks()
        bench.log.turning.clear()
        await bench.downlink.arrived(deliver(1, 2), link)
        await turns()
        assert ([], []) == (link.stored_calls, bench.handled)

        bench.log.turning.set()
        await bench.downlink.idle()
        assert [(2, 62)] == link.stored_calls


@virtual
async def test_what_is_stored_is_handled_in_order() -> None:
    async with LinkBench().running() as bench:
        await bench.downlink.arrived(deliver(1, 2, 3), Acks())
        await bench.downlink.arrived(deliver(4, 5), Acks())
        await until(lambda: len(bench.handled) == 5)
        assert [1, 2, 3, 4, 5] == bench.handled


@virtual
async def test_a_resend_is_acknowledged_counted_and_not_handled_again() -> None:
    async with LinkBench().running() as bench:
        link = Acks()
        await bench.downlink.arrived(deliver(1), link)
        await until(lambda: not bench.dispatcher.in_flight and bench.handled == [1])
        await bench.downlink.arrived(deliver(1, first=2), link)
        await bench.downlink.idle()
        await turns()
        counts = await bench.counts()
        assert [1] == bench.handled
        assert [1, 2] == [last for last, _ in link.stored_calls]
        assert (1, 1, 1) == (counts.accepted, counts.delivered, counts.replayed)


@virtual
async def test_a_batch_that_cannot_be_stored_ends_its_link_unacknowledged() -> None:
    async with LinkBench().running() as bench:
        link = Acks()
        bench.log.refuse_receive = StoreFull("no room")
        await bench.downlink.arrived(deliver(1), link)
        await bench.downlink.idle()
        assert ([], "STORE_FULL") == (link.stored_calls, link.failure and link.failure.code)
        assert ["STORE_FULL"] == [error.code for error in bench.feed.errors]


@virtual
async def test_nothing_more_of_a_link_is_stored_after_a_hole_in_it() -> None:
    async with LinkBench().running() as bench:
        first, second = Acks(), Acks()
        bench.log.refuse_receive = StoreFull("no room")
        await bench.downlink.arrived(deliver(1), first)
        await bench.downlink.idle()
        bench.log.refuse_receive = None
        await bench.downlink.arrived(deliver(2), first)
        await bench.downlink.idle()
        assert ([], Cursor("", 0)) == (first.stored_calls, await bench.log.cursor())

        await bench.downlink.arrived(deliver(1, 2), second)
        await until(lambda: bench.handled == [1, 2])
        assert [2] == [last for last, _ in second.stored_calls]


@virtual
async def test_refused_events_are_accepted_dropped_and_acknowledged() -> None:
    async with LinkBench().running() as bench:
        link = Acks()
        refused = [Refused(2, "EVENT_TOO_DEEP", "deep"), Refused(3, "EVENT_TOO_DEEP", "deep")]
        batch = Deliver(EPOCH, 3, deliver(1).events, refused)
        await bench.downlink.arrived(batch, link)
        await bench.downlink.idle()
        counts = await bench.counts("")
        assert [3] == [last for last, _ in link.stored_calls]
        assert (2, {"event_too_deep": 2}) == (counts.accepted, counts.dropped)
        assert {"EVENT_TOO_DEEP": 2} == bench.feed.refusals


@virtual
async def test_credit_shrinks_while_handlers_are_behind_and_is_raised_when_they_catch_up() -> None:
    async with LinkBench(window=64).running() as bench:
        link = Acks()
        bench.downlink.link = link
        bench.open.clear()
        await bench.downlink.arrived(deliver(*range(1, 65)), link)
        await bench.downlink.idle()
        await bench.downlink.regrant()
        assert ([(64, 0)], []) == (link.stored_calls, link.grants)

        bench.open.set()
        await until(lambda: bench.downlink.backlog == 0)
        await bench.downlink.regrant()
        assert [64] == link.grants


@virtual
async def test_a_small_raise_waits_for_the_next_acknowledgement() -> None:
    async with LinkBench(window=64).running() as bench:
        link = Acks()
        bench.downlink.open_credit()
        bench.downlink.link = link
        await bench.downlink.arrived(deliver(1, 2), link)
        await until(lambda: bench.handled == [1, 2] and bench.downlink.backlog == 0)
        await bench.downlink.regrant()
        assert [] == link.grants


@virtual
async def test_a_link_that_was_opened_without_credit_is_granted_some_later() -> None:
    async with LinkBench(window=64).running() as bench:
        bench.open.clear()
        await bench.downlink.arrived(deliver(*range(1, 65)), Acks())
        await bench.downlink.idle()
        link = Acks()
        assert 0 == bench.downlink.open_credit()
        bench.downlink.link = link
        bench.open.set()
        await until(lambda: bench.downlink.backlog == 0)
        await bench.downlink.regrant()
        assert [64] == link.grants


@virtual
async def test_a_hello_without_credit_is_remembered_whatever_was_granted_before() -> None:
    async with LinkBench(window=64).running() as bench:
        assert 64 == bench.downlink.open_credit()
        bench.open.clear()
        stored = await bench.log.receive(EPOCH, 64, _arrivals(64))
        await bench.dispatcher.submit([(p, deliver(1).events[0].event)
                                       for p in stored.positions if p is not None])  # fmt: skip
        link = Acks()
        assert 0 == bench.downlink.open_credit()
        bench.downlink.link = link
        bench.open.set()
        await until(lambda: bench.downlink.backlog == 0)
        await bench.downlink.regrant()
        assert [64] == link.grants


@virtual
async def test_without_a_link_nothing_is_granted() -> None:
    async with LinkBench(window=64).running() as bench:
        await bench.downlink.arrived(deliver(*range(1, 65)), Acks())
        await until(lambda: len(bench.handled) == 64)
        await bench.downlink.regrant()


@virtual
async def test_a_gap_is_an_event_an_entry_and_the_new_cursor_before_anything_after_it() -> None:
    async with LinkBench().running() as bench:
        link = Acks()
        await bench.downlink.arrived(deliver(1, 2), link)
        await bench.downlink.arrived(GapDetected(EPOCH, 2, EPOCH, 3, 6, 6), link)
        await bench.downlink.arrived(deliver(7), link)
        await until(lambda: bench.handled == [1, 2, 7] and bool(bench.gaps))
        entries = await bench.journal.tail()
        facts = {"old_epoch": EPOCH, "old_cursor": 2, "epoch": EPOCH, "start": 6,
                 "from": 3, "to": 6}  # fmt: skip
        assert [facts] == bench.gaps
        assert ["GAP_DETECTED"] == [entry.event_type for entry in entries]
        assert Cursor(EPOCH, 7) == await bench.log.cursor()
        assert [2, 7] == [last for last, _ in link.stored_calls]


@virtual
async def test_a_history_that_went_back_moves_the_cursor_back() -> None:
    async with LinkBench().running() as bench:
        await bench.downlink.arrived(deliver(1, 2, 3), Acks())
        await bench.downlink.arrived(GapDetected(EPOCH, 3, EPOCH, None, None, 0), Acks())
        await bench.downlink.idle()
        assert Cursor(EPOCH, 0) == await bench.log.cursor()


@virtual
async def test_a_gap_that_a_crash_left_half_done_is_one_event() -> None:
    async with LinkBench().running() as bench:
        for _ in range(2):
            await bench.downlink.arrived(GapDetected("old", 9, EPOCH, None, None, 4), Acks())
        await until(lambda: bool(bench.gaps))
        await bench.downlink.idle()
        await turns()
        assert (1, Cursor(EPOCH, 4)) == (len(bench.gaps), await bench.log.cursor())


@pytest.mark.parametrize("step", ["append", "receive", "reset_cursor"])
def test_a_gap_that_ends_at_any_of_its_commits_is_told_once_by_the_next_try(step: str) -> None:
    @virtual
    async def scenario() -> None:
        async with LinkBench().running() as bench:
            await bench.downlink.arrived(deliver(1, 2), Acks())
            await bench.downlink.idle()
            gap = GapDetected(EPOCH, 2, EPOCH, 3, 6, 6)
            store = bench.journal if step == "append" else bench.log
            works = getattr(store, step)

            async def refuse(*args: object) -> None:
                raise StoreFull("no room")

            setattr(store, step, refuse)
            first, second = Acks(), Acks()
            await bench.downlink.arrived(gap, first)
            await bench.downlink.idle()
            setattr(store, step, works)
            await bench.downlink.arrived(gap, second)
            await bench.downlink.arrived(deliver(7), second)
            await until(lambda: bench.handled == [1, 2, 7])
            await turns()
            assert ("STORE_FULL", None) == (first.failure and first.failure.code, second.failure)
            assert (1, 1) == (len(bench.gaps), (await bench.counts(GAP_KIND)).accepted)
            assert Cursor(EPOCH, 7) == await bench.log.cursor()

    scenario()


@virtual
async def test_a_gap_whose_journal_entry_fails_ends_the_link() -> None:
    async with LinkBench().running() as bench:
        link = Acks()
        await bench.journal.close()
        await bench.downlink.arrived(GapDetected("old", 9, EPOCH, None, None, 4), link)
        await bench.downlink.idle()
        assert ("STORE_CLOSED", []) == (link.failure and link.failure.code, bench.gaps)
        assert Cursor("", 0) == await bench.log.cursor()


@virtual
async def test_a_claim_that_cannot_be_stored_is_tried_again() -> None:
    async with LinkBench().running() as bench:
        bench.log.refuse_claim = StoreFull("no room")
        await bench.downlink.arrived(deliver(1), Acks())
        await bench.downlink.idle()
        await until(lambda: bool(bench.feed.errors))
        assert [] == bench.handled
        bench.log.refuse_claim = None
        await until(lambda: bench.handled == [1])


@virtual
async def test_a_broken_store_ends_the_downlink_and_nobody_waits_for_it() -> None:
    bench = LinkBench()
    run = asyncio.create_task(bench.downlink.run())
    bench.log.refuse_claim = StoreCorrupt("torn")
    await bench.downlink.arrived(deliver(1), Acks())
    with pytest.raises(ExceptionGroup) as broken:
        await run
    assert isinstance(broken.value.exceptions[0], StoreCorrupt)
    for number in range(2, 10):
        await bench.downlink.arrived(deliver(number), Acks())
    await bench.downlink.idle()


@virtual
async def test_whoever_waits_with_a_batch_when_the_downlink_ends_is_let_go() -> None:
    bench = LinkBench()
    run = asyncio.create_task(bench.downlink.run())
    bench.log.turning.clear()
    waiting = [asyncio.create_task(bench.downlink.arrived(deliver(n), Acks())) for n in range(1, 9)]
    await turns()
    run.cancel()
    await asyncio.gather(run, *waiting, return_exceptions=True)
    await bench.downlink.idle()


@virtual
async def test_reading_is_held_back_while_the_disk_is_behind() -> None:
    async with LinkBench().running() as bench:
        bench.log.turning.clear()
        link, number = Acks(), 0
        while not bench.downlink.full:
            number += 1
            await bench.downlink.arrived(deliver(number), link)
            await turns()
        number += 1
        last = asyncio.create_task(bench.downlink.arrived(deliver(number), link))
        await turns()
        assert (True, False) == (number < 10, last.done())
        bench.log.turning.set()
        await last
        await until(lambda: bench.handled == list(range(1, number + 1)))


def _arrivals(count: int) -> list[Arrival]:
    events = [arrived.event for arrived in deliver(*range(1, count + 1)).events]
    return [Arrival(event.event_id, KIND, event.to_json()) for event in events]
