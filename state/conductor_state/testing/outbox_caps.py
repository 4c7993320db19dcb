"""The contract suite of the outbox's caps: every overflow policy, alone and together.

Promise: as `testing.outbox`, which holds the rest. Refusal: nothing here looks inside.
"""

# ruff: noqa: S101, PLR2004  a contract suite asserts, and its values are literal
from __future__ import annotations

import asyncio

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.errors import QueueFull
from conductor_sdk.records import KindCounts, OutboxDepth, Outgoing
from conductor_state.outbox_caps import Caps, OutboxCaps, Overflow
from conductor_state.testing.outbox import (
    KIND,
    OTHER,
    OutboxSuite,
    OutboxUnderTest,
    events,
    queued_ids,
)


def capped(
    max_events: int, overflow: Overflow, *, kinds: dict[str, Caps] | None = None
) -> OutboxCaps:
    """Cap the number of events."""
    return OutboxCaps(default=Caps(max_events=max_events, overflow=overflow), kinds=kinds or {})


async def is_refused(outbox: OutboxUnderTest, batch: list[Outgoing]) -> bool:
    """Put and tell whether QueueFull was raised."""
    try:
        await outbox.put(batch)
    except QueueFull:
        return True
    return False


async def started(outbox: OutboxUnderTest, batch: list[Outgoing]) -> asyncio.Task[list[str]]:
    """Begin a put that is expected to wait, and let it reach the outbox."""

    async def put() -> list[str]:
        return [result.status for result in await outbox.put(batch)]

    task = asyncio.create_task(put(), name="waiting put")
    await outbox.depth()
    # A put of nothing new passes the same gate behind it: when it is back, the first was decided.
    await outbox.put(events("settled", kind="gate:passed", size=0))
    return task


class OutboxCapsContract(OutboxSuite):
    """What happens at a cap."""

    async def test_reject_raises_and_stores_nothing_of_the_call(self) -> None:
        """Not even what would have fitted, and it is not counted."""
        async with self.opened(ManualClock(), capped(3, "reject")) as outbox:
            await outbox.put(events("a", "b"))
            refused = await is_refused(outbox, events("c", "d"))
            fits = await is_refused(outbox, events("e"))

            assert (refused, fits) == (True, False)
            assert await queued_ids(outbox) == ["a", "b", "e"]
            assert (await outbox.counts())[KIND] == KindCounts(accepted=3, buffered=3)

    async def test_a_duplicate_needs_no_room(self) -> None:
        """A retry of what is queued succeeds at the cap."""
        async with self.opened(ManualClock(), capped(2, "reject")) as outbox:
            await outbox.put(events("a", "b"))

            assert [r.status for r in await outbox.put(events("b", "a"))] == ["duplicate"] * 2

    async def test_drop_newest_keeps_what_is_queued(self) -> None:
        """The newcomer is accepted, dropped and counted."""
        async with self.opened(ManualClock(), capped(2, "drop_newest")) as outbox:
            results = await outbox.put(events("a", "b", "c"))

            assert [(r.status, r.reason) for r in results] == [
                ("queued", None), ("queued", None), ("dropped", "overflow"),
            ]  # fmt: skip
            assert await queued_ids(outbox) == ["a", "b"]
            assert (await outbox.counts())[KIND] == KindCounts(
                accepted=3, buffered=2, dropped={"overflow": 1}
            )

    async def test_drop_oldest_makes_room_for_what_is_new(self) -> None:
        """From the head of the queue, also out of the same call."""
        async with self.opened(ManualClock(), capped(2, "drop_oldest")) as outbox:
            await outbox.put(events("a", "b"))
            results = await outbox.put(events("c", "d", "e"))
            story = await outbox.story("a")

            assert [(r.event_id, r.status) for r in results] == [
                ("c", "dropped"), ("d", "queued"), ("e", "queued"),
            ]  # fmt: skip
            assert await queued_ids(outbox) == ["d", "e"]
            assert (await outbox.counts())[KIND] == KindCounts(
                accepted=5, buffered=2, dropped={"overflow": 3}
            )
        assert story is not None
        assert story.steps[-1].detail == "overflow"

    async def test_an_evicted_id_is_not_queued_any_more(self) -> None:
        """Putting it again in the call that evicts it queues it anew."""
        async with self.opened(ManualClock(), capped(1, "drop_oldest")) as outbox:
            await outbox.put(events("a"))
            results = await outbox.put(events("b", "a"))

            assert [r.status for r in results] == ["dropped", "queued"]
            assert await queued_ids(outbox) == ["a"]

    async def test_the_byte_cap_is_passed_by_at_most_one_event(self) -> None:
        """A large event enters a queue that has any room, and then nothing does."""
        caps = OutboxCaps(default=Caps(max_bytes=100, overflow="drop_newest"))
        async with self.opened(ManualClock(), caps) as outbox:
            await outbox.put([*events("a", size=99), *events("b", size=500), *events("c", size=1)])

            depth = await outbox.depth()
        assert (depth.events, depth.bytes) == (2, 599)

    async def test_a_kind_with_its_own_caps_loses_nothing_to_another(self) -> None:
        """At the common cap the overflow of the newcomer's pool decides, within that pool."""
        caps = capped(3, "drop_oldest", kinds={OTHER: Caps(max_events=2, overflow="drop_newest")})
        async with self.opened(ManualClock(), caps) as outbox:
            await outbox.put(events("o1", "o2", "o3", kind=OTHER))
            await outbox.put(events("a", "b"))

            assert await queued_ids(outbox) == ["o1", "o2", "b"]
            counts = await outbox.counts()
        assert counts[OTHER].dropped == {"overflow": 1}
        assert counts[KIND].dropped == {"overflow": 1}

    async def test_block_waits_until_a_confirmation_makes_room(self) -> None:
        """And the waiting call is durable when it returns."""
        async with self.opened(ManualClock(), self._blocking(2)) as outbox:
            await outbox.put(events("a", "b"))
            waiting = await started(outbox, events("c"))
            before = (waiting.done(), (await outbox.counts())[KIND].accepted)
            await outbox.confirm([1])

            assert await waiting == ["queued"]
            assert before == (False, 2)
            assert (await outbox.counts())[KIND] == KindCounts(accepted=3, delivered=1, buffered=2)

    async def test_waiting_calls_go_in_order_and_whole(self) -> None:
        """A small later call does not overtake a large one; no call is stored in part."""
        async with self.opened(ManualClock(), self._blocking(3)) as outbox:
            await outbox.put(events("a", "b", "c"))
            large = await started(outbox, events("d", "e"))
            small = await started(outbox, events("f"))
            await outbox.confirm([1])
            await outbox.put(events("settled", kind="gate:passed", size=0))
            one_free = (large.done(), small.done())
            await outbox.confirm([2, 3])

            assert await large == ["queued", "queued"]
            assert await small == ["queued"]
            assert one_free == (False, False)
            ids = [event_id for event_id in await queued_ids(outbox) if event_id != "settled"]
        assert ids == ["d", "e", "f"]

    async def test_a_waiting_call_holds_up_no_other_kind(self) -> None:
        """Only calls that need the same room wait behind it."""
        async with self.opened(ManualClock(), self._blocking(1)) as outbox:
            await outbox.put(events("a"))
            waiting = await started(outbox, events("b"))
            others = await outbox.put(events("o", kind=OTHER))

            assert others[0].status == "queued"
            assert not waiting.done()
            await outbox.confirm([1])
            await waiting

    async def test_a_cancelled_waiting_call_stores_nothing(self) -> None:
        """And lets the next one go."""
        async with self.opened(ManualClock(), self._blocking(2)) as outbox:
            await outbox.put(events("a"))
            large = await started(outbox, events("b", "c"))
            small = await started(outbox, events("d"))
            large.cancel()

            assert await small == ["queued"]
            ids = [event_id for event_id in await queued_ids(outbox) if event_id != "settled"]
        assert ids == ["a", "d"]

    async def test_a_call_larger_than_the_cap_is_refused_at_once(self) -> None:
        """Waiting would never end."""
        async with self.opened(ManualClock(), self._blocking(2)) as outbox:
            assert await is_refused(outbox, events("a", "b", "c"))
            assert await queued_ids(outbox) == []

    async def test_new_caps_hold_from_the_next_call_and_wake_waiting_ones(self) -> None:
        """What is queued stays."""
        async with self.opened(ManualClock(), self._blocking(1)) as outbox:
            await outbox.put(events("a"))
            waiting = await started(outbox, events("b"))
            outbox.configure(self._blocking(2))

            assert await waiting == ["queued"]
            outbox.configure(capped(1, "reject"))
            assert await is_refused(outbox, events("c"))
            assert (await outbox.depth()).events == 3

    async def test_events_over_their_age_are_dropped_when_asked(self) -> None:
        """By the age cap of their own pool, and no sooner."""
        clock = ManualClock()
        caps = OutboxCaps(default=Caps(max_age_s=60), kinds={OTHER: Caps(max_age_s=10)})
        async with self.opened(clock, caps) as outbox:
            await outbox.put([*events("a"), *events("o", kind=OTHER)])
            clock.advance(10)
            on_time = await outbox.expire(epoch_ms(clock.now()))
            clock.advance(1)
            young = await outbox.expire(epoch_ms(clock.now()))
            await outbox.put(events("b"))
            clock.advance(50)
            old = await outbox.expire(epoch_ms(clock.now()))

            assert (on_time, young, old) == (0, 1, 1)
            assert await queued_ids(outbox) == ["b"]
            assert (await outbox.counts())[OTHER] == KindCounts(accepted=1, dropped={"expired": 1})

    async def test_an_eviction_that_frees_more_than_it_takes_lets_waiting_calls_go(self) -> None:
        """Room is room, whoever made it."""
        caps = OutboxCaps(
            default=Caps(max_bytes=100, overflow="drop_oldest"),
            kinds={KIND: Caps(overflow="block")},
        )
        async with self.opened(ManualClock(), caps) as outbox:
            await outbox.put([*events("large", kind=OTHER, size=99), *events("o", kind=OTHER)])
            waiting = asyncio.create_task(outbox.put(events("a")), name="waiting put")
            await outbox.put(events("o", kind=OTHER))
            waited = not waiting.done()
            await outbox.put(events("p", kind=OTHER))

            assert waited
            assert [result.status for result in await waiting] == ["queued"]
            assert await queued_ids(outbox) == ["o", "p", "a"]

    async def test_kinds_may_move_between_pools_when_the_caps_change(self) -> None:
        """The oldest event is then looked for among all of the new pool."""
        caps = capped(3, "drop_oldest", kinds={OTHER: Caps()})
        async with self.opened(ManualClock(), caps) as outbox:
            await outbox.put([*events("o", kind=OTHER), *events("a", "b")])
            await outbox.put(events("c"))
            outbox.configure(capped(3, "drop_oldest"))
            await outbox.put(events("d"))

            assert await queued_ids(outbox) == ["b", "c", "d"]

    async def test_expiry_makes_room_for_waiting_calls(self) -> None:
        """As a confirmation does."""
        clock = ManualClock()
        own = Caps(max_events=1, max_age_s=1, overflow="block")
        async with self.opened(clock, OutboxCaps(kinds={KIND: own})) as outbox:
            await outbox.put(events("a"))
            waiting = await started(outbox, events("b"))
            clock.advance(2)
            await outbox.expire(epoch_ms(clock.now()))

            assert await waiting == ["queued"]

    async def test_a_cap_of_nothing_drops_everything(self) -> None:
        """And the law holds all the same."""
        for overflow in ("drop_oldest", "drop_newest"):
            async with self.opened(ManualClock(), capped(0, overflow)) as outbox:
                await outbox.put(events("a", "b"))

                assert await outbox.depth() == OutboxDepth(0, 0, None)
                assert (await outbox.counts())[KIND] == KindCounts(
                    accepted=2, dropped={"overflow": 2}
                )

    def _blocking(self, max_events: int) -> OutboxCaps:
        return OutboxCaps(kinds={KIND: Caps(max_events=max_events, overflow="block")})
