"""The contract suite of the outbox: every implementation passes every check here.

Promise: subclass `OutboxContract`, implement `opened`, and pytest collects the checks; together
with `outbox_caps.OutboxCapsContract` they are all that the daemon relies on. Refusal: nothing
here looks into an implementation.
"""

# ruff: noqa: S101  a contract suite asserts, and its values are literal
from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import (
    KindCounts,
    OutboxDepth,
    Outgoing,
    PutResult,
    Queued,
    Story,
)
from conductor_state.outbox_caps import OutboxCaps

KIND = "acme-demo:done"
OTHER = "acme-demo:other"


class OutboxUnderTest(Protocol):
    """The daemon's port, and what the composition root adds to it."""

    def configure(self, caps: OutboxCaps) -> None:
        """Replace the caps."""
        ...

    async def put(self, events: Sequence[Outgoing]) -> list[PutResult]:
        """Append events."""
        ...

    async def take(self, after: int, limit: int, max_bytes: int) -> list[Queued]:
        """Read events."""
        ...

    async def confirm(
        self, positions: Sequence[int], *, rejected: Mapping[int, str] | None = None
    ) -> None:
        """Remove events."""
        ...

    async def count_ephemeral(self, kind: str, *, accepted: int = 0, delivered: int = 0,
                              dropped: Mapping[str, int] | None = None) -> None:  # fmt: skip
        """Count events that are never stored."""
        ...

    async def flush(self) -> None:
        """Make those counts durable."""
        ...

    async def expire(self, now_ms: int) -> int:
        """Drop old events."""
        ...

    async def depth(self) -> OutboxDepth:
        """Return events, bytes and the oldest."""
        ...

    async def counts(self) -> dict[str, KindCounts]:
        """Return counts by kind."""
        ...

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget what left."""
        ...

    async def story(self, event_id: str) -> Story | None:
        """Tell of an event."""
        ...


def events(*ids: str, kind: str = KIND, size: int = 10) -> list[Outgoing]:
    """Make events of one kind and size."""
    return [Outgoing(event_id, kind, b"x" * size) for event_id in ids]


async def queued_ids(outbox: OutboxUnderTest) -> list[str]:
    """Return the ids that are queued, in order."""
    return [event.event_id for event in await outbox.take(0, 10_000, 1 << 30)]


class OutboxSuite(ABC):
    """How a suite gets its outboxes."""

    @abstractmethod
    def opened(
        self, clock: ManualClock, caps: OutboxCaps
    ) -> AbstractAsyncContextManager[OutboxUnderTest]:
        """Open an empty outbox that reads this clock, and close it at the end."""


class OutboxContract(OutboxSuite):
    """Order, duplicates, confirmation, counts and stories."""

    async def test_events_leave_in_the_order_in_which_they_were_put(self) -> None:
        """Positions grow with every event, within a call and between calls."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put([*events("c", "a"), *events("b", kind=OTHER)])
            await outbox.put(events("d"))

            taken = await outbox.take(0, 100, 1 << 20)

        assert [event.event_id for event in taken] == ["c", "a", "b", "d"]
        assert sorted(event.position for event in taken) == [event.position for event in taken]
        assert (taken[2].kind, taken[2].body) == (OTHER, b"x" * 10)

    async def test_results_stand_in_the_order_of_the_call(self) -> None:
        """One result per event."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            results = await outbox.put(events("a", "b", "a"))

        assert results == [
            PutResult("a", "queued"),
            PutResult("b", "queued"),
            PutResult("a", "duplicate"),
        ]

    async def test_an_empty_call_does_nothing(self) -> None:
        """No events, no results."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            assert await outbox.put([]) == []
            await outbox.confirm([])
            assert await outbox.counts() == {}

    async def test_an_id_that_is_queued_is_queued_once(self) -> None:
        """A second put is a duplicate, counted apart from the law."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a"))
            results = await outbox.put(events("a", "b"))
            counts = await outbox.counts()

            assert [result.status for result in results] == ["duplicate", "queued"]
            assert await queued_ids(outbox) == ["a", "b"]
            assert counts == {KIND: KindCounts(accepted=2, buffered=2, duplicates=1)}

    async def test_an_id_that_was_confirmed_may_be_put_again(self) -> None:
        """Deduping what the conductor has is the conductor's task."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a"))
            first = await outbox.take(0, 1, 1 << 20)
            await outbox.confirm([first[0].position])
            results = await outbox.put(events("a"))
            again = await outbox.take(0, 1, 1 << 20)

            assert results == [PutResult("a", "queued")]
            assert again[0].position > first[0].position
            assert (await outbox.counts())[KIND] == KindCounts(accepted=2, delivered=1, buffered=1)

    async def test_take_pages_by_position_count_and_bytes(self) -> None:
        """The byte limit never hides the next event."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a", "b", "c", "d", size=100))
            pages = [
                [event.event_id for event in await outbox.take(after, limit, max_bytes)]
                for after, limit, max_bytes in [
                    (0, 2, 1 << 20), (0, 10, 250), (0, 10, 200), (0, 10, 1), (2, 10, 1 << 20),
                    (4, 10, 1 << 20),
                ]
            ]  # fmt: skip

        assert pages == [["a", "b"], ["a", "b"], ["a", "b"], ["a"], ["c", "d"], []]

    async def test_confirming_removes_exactly_what_is_named(self) -> None:
        """In any order, with holes, and with positions that were never used."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a", "b", "c", "d", "e"))
            await outbox.confirm([4, 2, 99, -1, 2])

            assert await queued_ids(outbox) == ["a", "c", "e"]
            assert (await outbox.counts())[KIND] == KindCounts(accepted=5, delivered=2, buffered=3)

    async def test_confirming_twice_counts_once(self) -> None:
        """A repeated answer changes nothing."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a", "b"))
            await outbox.confirm([1])
            await outbox.confirm([1])

            assert (await outbox.counts())[KIND] == KindCounts(accepted=2, delivered=1, buffered=1)

    async def test_rejected_events_are_dropped_with_their_reason(self) -> None:
        """Whether or not the positions name them too."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a", "b", "c"))
            await outbox.confirm([1, 2], rejected={2: "too large", 3: "unknown kind"})
            story = await outbox.story("b")

            assert (await outbox.counts())[KIND] == KindCounts(
                accepted=3, delivered=1, dropped={"rejected": 2}
            )
        assert story is not None
        assert (story.state, story.steps[-1].detail) == ("dropped", "rejected: too large")

    async def test_a_position_is_never_used_again(self) -> None:
        """Not even that of the last event, after it left."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(events("a", "b"))
            await outbox.confirm([1, 2])
            await outbox.put(events("c"))

            assert [event.position for event in await outbox.take(0, 9, 99)] == [3]

    async def test_depth_tells_events_bytes_and_the_age_of_the_head(self) -> None:
        """An empty outbox has no oldest event."""
        clock = ManualClock()
        first_ms = epoch_ms(clock.now())
        async with self.opened(clock, OutboxCaps()) as outbox:
            empty = await outbox.depth()
            await outbox.put(events("a", size=7))
            clock.advance(5)
            await outbox.put(events("b", kind=OTHER, size=30))
            both = await outbox.depth()
            await outbox.confirm([1])
            last = await outbox.depth()

        assert empty == OutboxDepth(0, 0, None)
        assert both == OutboxDepth(2, 37, first_ms)
        assert last == OutboxDepth(1, 30, first_ms + 5000)

    async def test_ephemeral_events_are_counted_with_their_fate(self) -> None:
        """They keep the law without being stored."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.count_ephemeral(
                KIND, accepted=5, delivered=2, dropped={"offline": 3, "never": 0}
            )
            await outbox.flush()
            await outbox.count_ephemeral(KIND, accepted=1, dropped={"offline": 1})
            counts = await outbox.counts()

            assert counts == {KIND: KindCounts(accepted=6, delivered=2, dropped={"offline": 4})}
            assert (await outbox.depth()).events == 0

    async def test_ephemeral_counts_that_break_the_law_are_refused(self) -> None:
        """An accepted event without a fate, or a fate without an event, is a mistake."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            for accepted, delivered, dropped in ((1, 0, {}), (0, 1, {}), (0, 1, {"offline": -1})):
                try:
                    await outbox.count_ephemeral(
                        KIND, accepted=accepted, delivered=delivered, dropped=dropped
                    )
                except ValueError:
                    continue
                raise AssertionError((accepted, delivered, dropped))
            assert await outbox.counts() == {}

    async def test_concurrent_callers_each_get_their_own_answer(self) -> None:
        """They share commits, not results."""
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            answers = await asyncio.gather(
                *(outbox.put(events(f"e{number % 50}")) for number in range(100))
            )
            ids = await queued_ids(outbox)

        assert [answer[0].event_id for answer in answers] == [f"e{n % 50}" for n in range(100)]
        assert [answer[0].status for answer in answers] == ["queued"] * 50 + ["duplicate"] * 50
        assert ids == [f"e{number}" for number in range(50)]

    async def test_a_story_tells_every_passage_until_it_is_pruned(self) -> None:
        """Queued, pushed, confirmed, and queued again."""
        clock = ManualClock()
        start = epoch_ms(clock.now())
        async with self.opened(clock, OutboxCaps()) as outbox:
            await outbox.put([*events("a", "b"), *events("c", kind=OTHER)])
            clock.advance(1)
            await outbox.take(0, 10, 1 << 20)
            clock.advance(1)
            await outbox.confirm([1, 2, 3])
            done = await outbox.story("c")
            clock.advance(1)
            await outbox.put(events("c", kind=OTHER))
            again = await outbox.story("c")
            forgotten = await outbox.prune(start + 2001, 1000)
            nothing_left = await outbox.prune(start + 2001, 1000)
            later = await outbox.story("c")

            assert await outbox.story("b") is None
        assert done is not None
        assert again is not None
        assert later is not None
        assert (done.kind, done.direction, done.state) == (OTHER, "outbound", "confirmed")
        assert [(step.what, step.at_ms - start) for step in done.steps] == [
            ("queued", 0), ("pushed", 1000), ("confirmed", 2000),
        ]  # fmt: skip
        assert (again.state, [step.what for step in again.steps[3:]]) == ("queued", ["queued"])
        assert (forgotten, nothing_left) == (3, 0)
        assert [step.at_ms - start for step in later.steps] == [3000]
