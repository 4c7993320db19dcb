"""The contract of dead letters, as tests.

Promise: a store that passes may stand behind `conductor_sidecar.ports.DeadLetters`. Refusal:
nothing here knows a database; see `testing.inbound` for how to use it.
"""

# ruff: noqa: S101, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

from pathlib import Path
from typing import Any

from conductor_sdk.clock import epoch_ms
from conductor_sdk.records import Buried, DeadLetter, KindCounts
from conductor_state.testing.inbound import (
    KIND,
    OTHER,
    InboundContract,
    arrivals,
    handled,
)


async def bury(log: Any, *event_ids: str, kind: str = KIND) -> list[int]:
    """Receive events and bury them; returns their positions."""
    receipt = await log.receive("e", 1, arrivals(*event_ids, kind=kind))
    await log.claim(receipt.positions)
    await log.settle([Buried(p, 3, "HANDLER_FAILED", "boom") for p in receipt.positions])
    return list(receipt.positions)


class DeadLettersContract(InboundContract):
    """Burying, looking, redriving and dropping."""

    async def test_a_buried_event_keeps_its_body_error_and_times(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            received = await log.receive("e", 2, arrivals("x", "a"))
            position = received.positions[1]
            clock.advance(2)
            await log.settle([Buried(position, 5, "TIMED_OUT", "30 s")])
            now = epoch_ms(clock.now())
            expected = DeadLetter(
                "a", KIND, b'{"id":"a"}', position, 5, "TIMED_OUT", "30 s", now - 2000, now
            )
            assert expected == await dead_letters.get("a")
            assert [expected] == await dead_letters.list()
            assert await dead_letters.get("x") is None
            expected_counts = KindCounts(accepted=2, buffered=1, dead_lettered=1)
            assert {KIND: expected_counts} == await log.counts()
            assert ["x"] == [pending.event_id for pending in await log.pending(0, 9)]

    async def test_letters_are_listed_by_kind_and_page_oldest_first(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, _):
            await bury(log, "a", "b")
            await bury(log, "c", kind=OTHER)
            await bury(log, "d")
            first = await dead_letters.list(limit=2)
            rest = await dead_letters.list(after=first[-1].position)
            of_kind = await dead_letters.list(kind=KIND)
            assert [["a", "b"], ["c", "d"], ["a", "b", "d"]] == [
                [letter.event_id for letter in page] for page in (first, rest, of_kind)
            ]

    async def test_a_redriven_event_waits_again_and_is_settled_like_any(
        self, tmp_path: Path
    ) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, _):
            buried = await bury(log, "a", "b")
            (again,) = await dead_letters.redrive(["a", "unknown", "a"])
            assert ("a", b'{"id":"a"}', 0, True) == (
                again.event_id, again.body, again.attempts, again.redriven,
            )  # fmt: skip
            assert again.position > max(buried)
            assert [again] == await log.pending(0, 9)
            assert 1 == (await log.receive("e", 1, arrivals("a"))).duplicates
            await log.settle(handled([again.position]))
            assert 1 == (await log.receive("e", 1, arrivals("a"))).replayed
            assert {
                KIND: KindCounts(accepted=2, delivered=1, dead_lettered=1, duplicates=1, replayed=1)
            } == await log.counts()

    async def test_an_event_that_is_buried_again_counts_its_redrives(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            received = epoch_ms(clock.now())
            await bury(log, "a")
            clock.advance(5)
            for _ in range(2):
                (again,) = await dead_letters.redrive(["a"])
                await log.settle([Buried(again.position, 1, "AGAIN", "boom")])
            letter = await dead_letters.get("a")
            assert (2, received, received + 5000) == (
                letter.redrives, letter.received_ms, letter.buried_ms,
            )  # fmt: skip

    async def test_a_dropped_letter_is_gone_and_counted(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, _):
            await bury(log, "a", "b")
            assert 1 == await dead_letters.drop(["a", "unknown"])
            assert 0 == await dead_letters.drop(["a"])
            expected = KindCounts(accepted=2, dropped={"operator": 1}, dead_lettered=1)
            assert {KIND: expected} == await log.counts()
            assert 1 == (await log.receive("e", 1, arrivals("a"))).replayed
            assert [] == await dead_letters.redrive(["a"])

    async def test_the_story_goes_through_burial_redrive_and_delivery(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            await bury(log, "a")
            assert "dead_letter" == (await log.story("a")).state
            clock.advance(1)
            (again,) = await dead_letters.redrive(["a"])
            clock.advance(1)
            await log.claim([again.position])
            clock.advance(1)
            await log.settle(handled([again.position]))
            story = await log.story("a")
            assert "handled" == story.state
            assert [
                "received", "stored", "attempt", "dead_letter", "redriven", "stored",
                "attempt", "settled",
            ] == [step.what for step in story.steps]  # fmt: skip

    async def test_the_story_of_a_dropped_letter_ends_there(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            await bury(log, "a")
            clock.advance(1)
            await dead_letters.drop(["a"])
            story = await log.story("a")
            assert ("dropped", "dropped") == (story.state, story.steps[-1].what)
