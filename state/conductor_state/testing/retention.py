"""Contract of a replay log, third part: forgetting, and stories until then.

Promise: an implementation that passes forgets settled events only, and explains the others.
Refusal: no clock is read here; the whole is `testing.replay_log`.
"""

# ruff: noqa: S101, PLR2004, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

from pathlib import Path

from conductor_sdk.clock import epoch_ms
from conductor_sdk.records import Buried, Receipt, RetryLater
from conductor_state.testing.inbound import KIND, InboundContract, arrivals, handled


class RetentionContract(InboundContract):
    """Forgetting, and the stories that are told until then."""

    async def test_settled_events_are_forgotten_after_retention_only(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, clock):
            old = await log.receive("e", 2, arrivals("a", "b"))
            clock.advance(10)
            young = await log.receive("e", 3, arrivals("c"))
            await log.settle(handled([*old.positions, *young.positions]))
            cut = epoch_ms(clock.now())
            assert 2 == await log.prune(cut, 100)
            assert 0 == await log.prune(cut, 100)
            again = await log.receive("e", 3, arrivals("a", "c"))
            assert (0, 1) == (again.duplicates, again.replayed)
            assert again.positions[0] > young.positions[0]

    async def test_waiting_events_and_dead_letters_are_never_forgotten(
        self, tmp_path: Path
    ) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            waiting = await log.receive("e", 2, arrivals("a", "b"))
            buried = await log.receive("e", 3, arrivals("c"))
            settled = await log.receive("e", 4, arrivals("d"))
            await log.settle(
                [
                    *handled([waiting.positions[0], settled.positions[0]]),
                    Buried(buried.positions[0], 1, "CODE", "broken"),
                ]
            )
            clock.advance(1000)
            assert 1 == await log.prune(epoch_ms(clock.now()), 100)
            assert Receipt([None] * 3, 1, 2) == await log.receive("e", 4, arrivals("a", "b", "c"))
            await dead_letters.drop(["c"])
            assert 1 == await log.prune(epoch_ms(clock.now()), 100)

    async def test_pruning_goes_in_slices_until_nothing_is_left(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, clock):
            for number in range(6):
                receipt = await log.receive("e", number, arrivals(f"a{number}", f"b{number}"))
                await log.settle(handled(receipt.positions))
            await log.put_keys([("acme", "k")])
            clock.advance(1)
            cut = epoch_ms(clock.now())
            forgotten: list[int] = []
            while number := await log.prune(cut, 4):
                forgotten.append(number)
            assert 13 == sum(forgotten)
            assert 5 >= max(forgotten)
            assert not await log.has_key("acme", "k")

    async def test_keys_are_forgotten_by_their_own_age(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, clock):
            for number in range(20):
                await log.put_keys([("acme", f"k{number}"), ("acme", f"l{number}")])
                clock.advance(1)
            await log.put_keys([("acme", "k3")])
            cut = epoch_ms(clock.now()) - 10_000
            assert 20 == await log.prune(cut, 1000)
            found = [number for number in range(20) if await log.has_key("acme", f"k{number}")]
            assert [3, *range(10, 20)] == found

    async def test_a_redriven_event_is_known_as_long_as_its_first_receipt(
        self, tmp_path: Path
    ) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, clock):
            first = await log.receive("e", 2, arrivals("a", "stuck"))
            await log.settle([Buried(first.positions[0], 1, "CODE", "boom")])
            (again,) = await dead_letters.redrive(["a"])
            await log.settle(handled([again.position]))
            clock.advance(1)
            assert 0 == await log.prune(epoch_ms(clock.now()), 100)
            assert 1 == (await log.receive("e", 2, arrivals("a"))).replayed
            await log.settle(handled(first.positions[1:]))
            assert 3 == await log.prune(epoch_ms(clock.now()), 100)
            assert (await log.receive("e", 2, arrivals("a"))).positions != [None]

    async def test_a_clock_that_jumps_back_makes_nothing_look_old(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, clock):
            await log.receive("e", 1, arrivals("a"))
            clock.jump(-86_400)
            receipt = await log.receive("e", 2, arrivals("b"))
            await log.settle(handled(receipt.positions))
            await log.put_keys([("acme", "k")])
            clock.jump(86_400)
            assert 0 == await log.prune(epoch_ms(clock.now()), 100)
            assert await log.has_key("acme", "k")

    async def test_the_story_of_a_delivered_event_has_times(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, clock):
            begin = epoch_ms(clock.now())
            positions = (await log.receive("e", 2, arrivals("x", "a"))).positions
            clock.advance(1)
            await log.claim(positions)
            assert "running" == (await log.story("a")).state
            clock.advance(1)
            await log.settle(handled(positions, "stored"))
            story = await log.story("a")
            assert (KIND, "handled", "inbound") == (story.kind, story.state, story.direction)
            assert [
                ("received", begin),
                ("stored", begin),
                ("attempt", begin + 1000),
                ("settled", begin + 2000),
            ] == [(step.what, step.at_ms) for step in story.steps]
            assert "handled: stored" == story.steps[-1].detail
            assert await log.story("never") is None

    async def test_the_story_of_a_troubled_event_names_every_attempt(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, clock):
            positions = (await log.receive("e", 1, arrivals("a"))).positions
            await log.claim(positions)
            clock.advance(1)
            await log.reap()
            await log.claim(positions)
            clock.advance(1)
            await log.settle([RetryLater(positions[0], 2, 0, "no route")])
            story = await log.story("a")
            assert "waiting" == story.state
            assert ["received", "stored", "reaped", "attempt", "retry"] == [
                step.what for step in story.steps
            ]
            assert "attempt 2: no route" == story.steps[-1].detail
