"""One link: the shell around a session, against a conductor played by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from conductor_adapters.memory import pair
from conductor_adapters.testing.faults import Dice, Fate, FaultyTransport, Script
from conductor_adapters.transport import LinkOptions
from conductor_protocol.messages import Ack, Beat, Bye, Drain, Error, Events, Head, Limits
from conductor_sdk.records import Arrival, Cursor
from conductor_sidecar.delivery.link import Link
from conductor_state.errors import StoreFull
from link_bench import (
    EPOCH,
    TRIED,
    FarEnd,
    LinkBench,
    deliver,
    down_event,
    until,
    up_event,
)
from virtual_time import turns, virtual

BEAT_S = 10.0


class Wires:
    """Puts a faulty transport around the sidecar's end, and keeps it at hand."""

    faulty: FaultyTransport

    def __init__(self, **plans: Any) -> None:
        self._plans = plans

    def __call__(self, near: Any) -> FaultyTransport:
        self.faulty = FaultyTransport(near, **self._plans)
        return self.faulty


@virtual
async def test_hello_says_what_is_stored_and_how_much_may_come() -> None:
    async with LinkBench(window=64).running() as bench:
        await bench.log.reset_cursor(EPOCH, 7)
        async with bench.linked(start=7) as talk:
            hello = talk.hello
            assert (EPOCH, 7, 64, None) == (
                hello.epoch, hello.cursor, hello.credit, hello.session
            )  # fmt: skip


@virtual
async def test_no_acknowledgement_leaves_while_the_commit_is_held_back() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        bench.log.turning.clear()
        listening = asyncio.create_task(talk.far.listen())
        await talk.far.events(1, 1, 2, 3)
        await asyncio.sleep(BEAT_S / 2)
        assert [] == talk.far.acks()
        bench.log.turning.set()
        await until(lambda: bool(talk.far.acks()))
        assert 3 == talk.far.acks()[0].sequence
        assert Cursor(EPOCH, 3) == await bench.log.cursor()
        listening.cancel()


@virtual
async def test_a_store_that_fails_ends_the_link_and_nothing_is_acknowledged() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        bench.log.refuse_receive = StoreFull("no room")
        await talk.far.events(1, 1)
        close = await talk.ended()
        await talk.far.listen()
        assert ("STORE_FULL", 1011, []) == (close.code, close.ws_code, talk.far.acks())


@virtual
async def test_what_follows_a_failed_batch_on_the_same_link_is_not_stored() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        bench.log.turning.clear()
        bench.log.refuse_receive = StoreFull("no room")
        await talk.far.events(1, 1)
        await turns()
        await talk.far.events(2, 2)
        await turns()
        bench.log.turning.set()
        await until(lambda: bench.log.refuse_receive is None or bool(bench.feed.errors))
        bench.log.refuse_receive = None
        await talk.ended()
        await bench.downlink.idle()
        assert ([], Cursor("", 0)) == (talk.far.acks(), await bench.log.cursor())


@virtual
async def test_events_are_handled_and_acknowledged_up_to_the_last() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await talk.far.events(1, 10, 11)
        await talk.far.events(3, 12)
        ack = await talk.far.hear(Ack)
        while ack.sequence < 3:
            ack = await talk.far.hear(Ack)
        await until(lambda: bench.handled == [10, 11, 12])
        assert 3 == ack.sequence


@virtual
async def test_credit_that_was_used_up_is_granted_again_without_a_new_event() -> None:
    async with LinkBench(window=64).running() as bench, bench.linked() as talk:
        bench.open.clear()
        await talk.far.events(1, *range(1, 65))
        assert 0 == (await talk.far.hear(Ack)).credit
        bench.open.set()
        await until(lambda: bench.downlink.backlog == 0)
        await bench.downlink.regrant()
        assert (64, 64) == ((ack := await talk.far.hear(Ack)).sequence, ack.credit)


@virtual
async def test_handlers_that_caught_up_while_greeting_are_told_after_the_welcome() -> None:
    async with LinkBench(window=64).running() as bench:
        bench.open.clear()
        async with bench.linked() as talk:
            await talk.far.events(1, *range(1, 65))
            await talk.far.hear(Ack)
        async with bench.linked(greet=False) as talk:
            await turns()
            bench.open.set()
            await until(lambda: bench.downlink.backlog == 0)
            await bench.downlink.regrant()
            hello = await talk.far.welcome(start=64)
            assert (0, 64) == (hello.credit, (await talk.far.hear(Ack)).credit)


@virtual
async def test_a_link_that_opens_without_credit_is_granted_some_whatever_came_before() -> None:
    async with LinkBench(window=64).running() as bench:
        bench.open.clear()
        async with bench.linked() as talk:
            await talk.far.events(1, 1, 2, 3, 4)
            assert 60 == (await talk.far.hear(Ack)).credit
        redriven = deliver(*range(5, 65)).events
        arrivals = [Arrival(a.event.event_id, a.event.kind, a.body) for a in redriven]
        receipt = await bench.log.receive(EPOCH, 4, arrivals)
        await bench.dispatcher.submit(
            [(p, a.event) for p, a in zip(receipt.positions, redriven, strict=True) if p]
        )
        async with bench.linked(start=4) as talk:
            assert 0 == talk.hello.credit
            bench.open.set()
            await until(lambda: bench.downlink.backlog == 0)
            await bench.downlink.regrant()
            assert 64 == (await talk.far.hear(Ack)).credit


@virtual
async def test_pushed_events_go_up_in_order_and_leave_when_confirmed() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await bench.uplink.publish([up_event(1), up_event(2)])
        events = await talk.far.pushed()
        assert [1, 2] == [event.payload["n"] for event in events]
        await talk.far.answer(*(event.event_id for event in events))
        await until(lambda: bench.uplink.unconfirmed == 0)
        await turns()
        assert 0 == (await bench.outbox.depth()).events


@virtual
async def test_an_event_is_removed_only_when_its_result_came() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await bench.uplink.publish([up_event(1), up_event(2)])
        _, two = await talk.far.pushed()
        await talk.far.answer(two.event_id)
        await until(lambda: bench.uplink.unconfirmed == 1)
        await turns()
        counts = await bench.up_counts()
        assert (1, 1) == (counts.delivered, counts.buffered)


@virtual
async def test_pushing_stops_at_the_conductors_limit_until_results_come() -> None:
    limits = Limits(max_push_in_flight=2)
    async with LinkBench().running() as bench, bench.linked(limits=limits) as talk:
        await bench.uplink.publish([up_event(n) for n in range(5)])
        events = await talk.far.pushed()
        await turns()
        assert (2, 2) == (len(events), bench.uplink.unconfirmed)
        await talk.far.answer(*(event.event_id for event in events))
        assert [2, 3] == [event.payload["n"] for event in await talk.far.pushed()]


@virtual
async def test_a_result_that_cannot_be_stored_ends_the_link_and_not_the_daemon() -> None:
    async with LinkBench().running() as bench:
        await bench.uplink.publish([up_event(1)])
        async with bench.linked() as talk:
            bench.outbox.refuse_confirm = StoreFull("no room")
            [event] = await talk.far.pushed()
            await talk.far.answer(event.event_id)
            close = await talk.ended()
            assert ("STORE_FULL", ["STORE_FULL"]) == (
                close.code, [error.code for error in bench.feed.errors]
            )  # fmt: skip
        bench.outbox.refuse_confirm = None
        async with bench.linked() as talk:
            assert [event] == await talk.far.pushed()


@virtual
async def test_an_outbox_that_cannot_be_read_ends_the_link_and_not_the_daemon() -> None:
    async with LinkBench().running() as bench:
        bench.outbox.refuse_take = StoreFull("no room")
        async with bench.linked() as talk:
            assert "STORE_FULL" == (await talk.ended()).code


@virtual
async def test_a_lost_link_counts_the_ephemeral_events_that_were_on_it() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await bench.uplink.publish([up_event(n, TRIED) for n in range(3)])
        events = await talk.far.pushed()
        await talk.far.answer(events[0].event_id)
        await until(lambda: bench.uplink.unconfirmed == 2)
        await talk.far.link.close(1006)
        await talk.ended()
        counts = await bench.up_counts(TRIED)
        assert (3, 1, {"link_lost": 2}) == (counts.accepted, counts.delivered, counts.dropped)


@virtual
async def test_leaving_says_goodbye_and_ends_the_link() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await talk.link.leave("enough")
        close = await talk.ended()
        assert ("NORMAL", "enough") == (close.code, (await talk.far.hear(Bye)).reason)


@virtual
async def test_a_cancellation_that_meets_the_end_of_the_link_is_not_lost() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await talk.far.link.close(1001)
        for _ in range(20):
            talk.task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await talk.task


@virtual
async def test_what_was_read_before_the_end_is_stored_although_the_link_is_gone() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        bench.log.turning.clear()
        await talk.far.events(1, 1, 2)
        await turns()
        await talk.far.link.close(1006)
        await talk.ended()
        bench.log.turning.set()
        await bench.downlink.idle()
        assert Cursor(EPOCH, 2) == await bench.log.cursor()
        await until(lambda: bench.handled == [1, 2])


@virtual
async def test_beats_carry_the_journals_head() -> None:
    async with LinkBench().running() as bench:

        async def head() -> Head:
            return Head(*await bench.journal.head())

        near, far = pair()
        link = Link(near, downlink=bench.downlink, uplink=bench.uplink, feed=bench.feed,
                    clock=bench.clock, head=head, opened=bench.opened.append)  # fmt: skip
        task = asyncio.create_task(link.run(Cursor("", 0), None, [], "test/1"))
        end = FarEnd(far)
        await end.welcome(beat_s=BEAT_S)
        await bench.journal.append("THING", "test", {})
        beat = await end.hear(Beat)
        assert Head(*await bench.journal.head()) == beat.journal
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@virtual
async def test_a_conductor_that_falls_silent_is_given_up_after_three_beats() -> None:
    async with LinkBench().running() as bench, bench.linked(beat_s=BEAT_S) as talk:
        began = bench.clock.monotonic()
        close = await talk.ended()
        assert ("BEAT_TIMEOUT", 30) == (close.code, round(bench.clock.monotonic() - began))


@virtual
async def test_a_disk_that_holds_reading_up_is_not_taken_for_a_silent_conductor() -> None:
    async with LinkBench().running() as bench, bench.linked(beat_s=BEAT_S) as talk:
        listening = asyncio.create_task(talk.far.listen())
        bench.log.turning.clear()
        for number in range(1, 8):
            await talk.far.events(number, number)
            await turns()
        await asyncio.sleep(BEAT_S * 10)
        assert not talk.task.done()
        bench.log.turning.set()
        await until(lambda: bench.handled == [1, 2, 3, 4, 5, 6, 7])
        listening.cancel()


@virtual
async def test_a_peer_that_never_welcomes_is_given_up() -> None:
    async with LinkBench().running() as bench, bench.linked(greet=False) as talk:
        assert "GREETING_TIMEOUT" == (await talk.ended()).code


@virtual
async def test_pushes_that_nobody_answers_end_the_link() -> None:
    async with LinkBench().running() as bench, bench.linked(beat_s=BEAT_S) as talk:
        await bench.uplink.publish([up_event(1)])

        async def beat() -> None:
            while True:
                await talk.far.say(Beat(sequence=0))
                await asyncio.sleep(BEAT_S)

        beating = asyncio.create_task(beat())
        assert "PUSH_TIMEOUT" == (await talk.ended()).code
        beating.cancel()


@virtual
async def test_a_drain_is_remembered_for_whoever_reconnects() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await talk.far.say(Drain(retry_after_s=3.0, address="memory://elsewhere"))
        await talk.far.link.close(1001)
        await talk.ended()
        draining = talk.link.draining
        assert draining is not None
        assert (3.0, "memory://elsewhere") == (draining.retry_after_s, draining.address)


@virtual
async def test_a_fatal_complaint_ends_the_link_with_its_code() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await talk.far.say(Error(code="TAKEN_OVER", message="another one came", fatal=True))
        close = await talk.ended()
        assert ("PEER_ERROR", {"PEER_TAKEN_OVER": 1}) == (close.code, bench.feed.refusals)


@virtual
async def test_a_message_of_an_unknown_type_is_answered_and_the_link_goes_on() -> None:
    async with LinkBench().running() as bench, bench.linked() as talk:
        await talk.far.link.send([b'{"type":"sing","song":"la"}'])
        answer = await talk.far.hear(Error)
        assert ("UNKNOWN_MESSAGE", False) == (answer.code, answer.fatal)
        await talk.far.events(1, 1)
        await until(lambda: bench.handled == [1])
        assert {"UNKNOWN_MESSAGE": 1} == bench.feed.refusals


@virtual
async def test_an_event_over_a_limit_is_answered_counted_and_not_stored() -> None:
    deep = down_event(1).to_json().replace(b'{"n":1}', b'{"n":' + b"[" * 60 + b"]" * 60 + b"}")
    async with LinkBench().running() as bench, bench.linked() as talk:
        raws = [msgspec.Raw(body) for body in (deep, b'{"kind":"?"}', down_event(3).to_json())]
        await talk.far.say(Events(first=1, events=raws))
        answers = [await talk.far.hear(Error) for _ in range(2)]
        assert {("EVENT_TOO_DEEP", 1), ("EVENT_MALFORMED", 2)} == {
            (answer.code, answer.sequence) for answer in answers
        }
        await until(lambda: bench.handled == [3])
        assert {"event_too_deep": 1, "event_malformed": 1} == (await bench.counts("")).dropped


@virtual
async def test_a_lost_frame_is_noticed_and_the_link_resumes() -> None:
    wires = Wires(down=Script({1: Fate.DROP}))
    async with LinkBench().running() as bench, bench.linked(wires) as talk:
        await talk.far.events(1, 1)
        await talk.far.events(2, 2)
        assert "RESUME" == (await talk.ended()).code
        await bench.downlink.idle()
        assert (Cursor("", 0), []) == (await bench.log.cursor(), bench.handled)


@virtual
async def test_repeated_frames_are_counted_and_change_nothing() -> None:
    wires = Wires(down=Script({1: Fate.DUPLICATE, 2: Fate.DUPLICATE}))
    async with LinkBench().running() as bench, bench.linked(wires) as talk:
        await talk.far.events(1, 1)
        await talk.far.events(2, 2)
        await until(lambda: bench.handled == [1, 2])
        await turns()
        assert ({"REPEATED": 2}, 2) == (bench.feed.refusals, (await bench.counts()).accepted)


@virtual
async def test_a_black_hole_ends_with_missed_beats_and_everything_is_still_queued() -> None:
    wires = Wires()
    async with LinkBench().running() as bench, bench.linked(wires, beat_s=BEAT_S) as talk:
        wires.faulty.black_hole()
        await bench.uplink.publish([up_event(1)])
        assert "BEAT_TIMEOUT" == (await talk.ended()).code
        assert 1 == (await bench.outbox.depth()).events


@virtual
async def test_a_half_closed_connection_ends_the_link() -> None:
    wires = Wires()
    async with LinkBench().running() as bench, bench.linked(wires) as talk:
        wires.faulty.half_close()
        assert "LINK_CLOSED" == (await talk.ended()).code


@virtual
async def test_a_reset_ends_the_link_and_loses_nothing_that_was_read() -> None:
    wires = Wires()
    async with LinkBench().running() as bench, bench.linked(wires) as talk:
        await talk.far.events(1, 1)
        await until(lambda: bench.handled == [1])
        await wires.faulty.reset()
        assert "LINK_CLOSED" == (await talk.ended()).code
        assert Cursor(EPOCH, 1) == await bench.log.cursor()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_wire_does_each_event_is_handled_once_in_order(seed: int) -> None:
    """A conductor that goes on from the cursor of each hello, over links that fail."""

    @virtual
    async def scenario() -> None:
        async with LinkBench(window=64).running() as bench:
            numbers = list(range(1, 61))
            for attempt in range(2000):
                dice = Dice(seed * 10_000 + attempt, drop=0.1, duplicate=0.1, swap=0.1)
                wires = Wires(down=dice)
                async with bench.linked(wires, greet=False) as talk:
                    await serve_rest(talk, numbers)
                await bench.downlink.idle()
                if (await bench.log.cursor()).sequence == len(numbers):
                    break
            await until(lambda: len(bench.handled) == len(numbers))
            await turns()
            counts = await bench.counts()
            assert (numbers, len(numbers)) == (bench.handled, counts.delivered)

    scenario()


async def serve_rest(talk: Any, numbers: list[int]) -> None:
    """Say welcome and send what is missing, a few events a frame, until the link ends."""
    hello = await talk.far.welcome(beat_s=BEAT_S)
    for first in range(hello.cursor + 1, len(numbers) + 1, 5):
        if talk.task.done():
            return
        try:
            await talk.far.events(first, *numbers[first - 1 : first + 4])
        except Exception:  # noqa: BLE001  the sidecar has left: the next link goes on
            return
        await turns(5)
    listening = asyncio.create_task(talk.far.listen())
    await asyncio.wait({listening, talk.task}, timeout=BEAT_S)
    listening.cancel()


@virtual
async def test_both_ends_blocked_by_full_buffers_go_on_as_soon_as_one_reads() -> None:
    """Large events both ways: an end that waits to send must not stop reading."""
    small = LinkOptions(receive_window=2)
    async with LinkBench(window=4096).running() as bench:
        near, far = pair(small)
        task = asyncio.create_task(bench.link(near).run(Cursor("", 0), None, [], "test/1"))
        end = FarEnd(far)
        await end.welcome(beat_s=BEAT_S, limits=Limits(max_batch_events=1))
        await bench.uplink.publish([up_event(n) for n in range(50)])
        for number in range(1, 51):
            # Sends like a conductor whose reader waits for its writer.
            await end.events(number, number)
        listening = asyncio.create_task(end.listen())
        await until(lambda: len(bench.handled) == 50)
        listening.cancel()
        task.cancel()
        await asyncio.gather(task, listening, return_exceptions=True)
