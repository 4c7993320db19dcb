"""Contract of the stores about trace contexts: part of a replay log's and of an outbox's.

Promise: an implementation that passes names an event's trace as long as it tells its story, and
gives a queued event back with its context. Refusal: no span is known here.
"""

# ruff: noqa: S101, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

from pathlib import Path

import msgspec

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import Arrival, Buried, Outgoing
from conductor_sdk.trace_context import trace_id_of
from conductor_state.outbox_caps import OutboxCaps
from conductor_state.testing.inbound import KIND, InboundContract, arrivals, handled
from conductor_state.testing.outbox import OutboxSuite

TRACES = ("0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c")


def context(trace_id: str = TRACES[0]) -> str:
    """Make a traceparent."""
    return f"00-{trace_id}-b7ad6b7169203331-01"


def traced(event_id: str, traceparent: str) -> Arrival:
    """Make an event that came with a context."""
    body = msgspec.json.encode({"id": event_id, "traceparent": traceparent})
    return Arrival(event_id, KIND, body, traceparent)


class InboundTracesContract(InboundContract):
    """Which trace an inbound event belongs to."""

    async def test_a_story_names_the_trace_that_the_event_came_with(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            batch = [*arrivals("a"), traced("b", context(TRACES[0])),
                     *arrivals("c"), traced("d", context(TRACES[1]))]  # fmt: skip
            receipt = await log.receive("e", 4, batch)
            await log.receive("e", 4, [traced("a", context(TRACES[0]))])  # known: nothing changes
            for _ in ("waiting", "settled"):
                assert [trace_id_of("a", None), TRACES[0], trace_id_of("c", None), TRACES[1]] == [
                    (await log.story(event_id)).trace_id for event_id in "abcd"
                ]
                await log.settle(handled(receipt.positions))

    async def test_a_redriven_event_stays_in_its_trace(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            receipt = await log.receive("e", 1, [traced("a", context())])
            await log.settle([Buried(receipt.positions[0], 1, "CODE", "boom")])
            assert TRACES[0] == (await log.story("a")).trace_id
            clock.advance(10)
            (again,) = await dead_letters.redrive(["a"])
            assert traced("a", context()).body == again.body
            await log.settle(handled([again.position]))
            assert TRACES[0] == (await log.story("a")).trace_id
            # The receipt under which it came first is forgotten before the one of the redrive.
            assert 1 == await log.prune(epoch_ms(clock.now()), 10)
            assert TRACES[0] == (await log.story("a")).trace_id


class OutboxTracesContract(OutboxSuite):
    """Which trace an outbound event belongs to."""

    async def test_an_event_is_taken_with_its_context_and_the_time_of_its_put(self) -> None:
        clock = ManualClock()
        put_ms = epoch_ms(clock.now())
        async with self.opened(clock, OutboxCaps()) as outbox:
            await outbox.put([Outgoing("a", KIND, b"{}", context()), Outgoing("b", KIND, b"{}")])
            clock.advance(5)
            taken = await outbox.take(0, 10, 1 << 20)
        assert [(context(), put_ms), (None, put_ms)] == [(row.trace, row.put_ms) for row in taken]

    async def test_a_story_names_the_trace_of_the_push(self) -> None:
        async with self.opened(ManualClock(), OutboxCaps()) as outbox:
            await outbox.put(
                [Outgoing("a", KIND, b"{}"), Outgoing("b", KIND, b"{}", context()),
                 Outgoing("c", KIND, b"{}", context(TRACES[1]))]
            )  # fmt: skip
            for _ in ("queued", "gone"):
                stories = [await outbox.story(event_id) for event_id in "abc"]
                assert [trace_id_of("a", None), TRACES[0], TRACES[1]] == [
                    story.trace_id for story in stories if story is not None
                ]
                await outbox.confirm([1, 2, 3], rejected={3: "no"})
