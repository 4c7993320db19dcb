"""Contract of a replay log, second part: claims, outcomes, attempts and keys.

Promise: an implementation that passes counts attempts before they run and keeps the first
outcome. Refusal: nothing here dedupes; the whole is
`testing.replay_log`.
"""

# ruff: noqa: S101, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

from pathlib import Path

from conductor_sdk.records import Buried, Delivered, KindCounts, RetryLater
from conductor_state.testing.inbound import KIND, OTHER, InboundContract, arrivals, handled


class SettlingContract(InboundContract):
    """Claims, outcomes and attempts."""

    async def test_a_settled_event_is_gone_from_pending_and_load(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            receipt = await log.receive("e", 3, arrivals("a", "b", "c"))
            await log.claim(receipt.positions)
            await log.settle(handled(receipt.positions[1:2]))
            assert ["a", "c"] == [pending.event_id for pending in await log.pending(0, 9)]
            asked = list(reversed(receipt.positions))
            assert ["c", "a"] == [pending.event_id for pending in await log.load(asked)]

    async def test_the_first_outcome_of_a_position_stays(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, dead_letters, _):
            (position,) = (await log.receive("e", 1, arrivals("a"))).positions
            await log.settle([Delivered(position, "handled", "x"), Buried(position, 1, "C", "no")])
            await log.settle([Delivered(position, "unhandled", "y")])
            await log.settle([RetryLater(position, 2, 5, "late")])
            assert {KIND: KindCounts(accepted=1, delivered=1)} == await log.counts()
            assert [] == await dead_letters.list()

    async def test_every_status_counts_where_it_belongs(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            receipt = await log.receive("e", 4, arrivals("a", "b", "c", "d"))
            a, b, c, d = receipt.positions
            await log.settle(
                [
                    Delivered(a, "handled", "x"),
                    Delivered(b, "replayed", "x"),
                    Delivered(c, "ignored", "x"),
                    Delivered(d, "unhandled", "x"),
                ]
            )
            expected = KindCounts(accepted=4, delivered=3, dropped={"unhandled": 1}, replayed=1)
            assert {KIND: expected} == await log.counts()

    async def test_kinds_of_one_batch_are_counted_apart(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            mixed = [*arrivals("a", "b"), *arrivals("c", kind=OTHER)]
            receipt = await log.receive("e", 3, mixed)
            await log.settle(handled(receipt.positions[1:]))
            assert {
                KIND: KindCounts(accepted=2, delivered=1, buffered=1),
                OTHER: KindCounts(accepted=1, delivered=1),
            } == await log.counts()

    async def test_a_claim_counts_and_a_release_gives_it_back(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            positions = (await log.receive("e", 2, arrivals("a", "b"))).positions
            await log.claim(positions)
            assert [1, 1] == [pending.attempts for pending in await log.load(positions)]
            await log.release(positions[:1])
            assert [0, 1] == [pending.attempts for pending in await log.load(positions)]
            assert 1 == await log.reap()
            assert [0, 1] == [pending.attempts for pending in await log.load(positions)]

    async def test_reaping_counts_an_attempt_for_what_was_left_claimed(
        self, tmp_path: Path
    ) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            positions = (await log.receive("e", 4, arrivals("a", "b", "c", "d"))).positions
            await log.claim(positions[:3])
            await log.settle([
                *handled(positions[:1]), RetryLater(positions[1], 1, 77, "later")
            ])  # fmt: skip
            assert 1 == await log.reap()
            assert 0 == await log.reap()
            found = [(p.event_id, p.attempts, p.not_before_ms) for p in await log.pending(0, 9)]
            assert [("b", 1, 77), ("c", 1, 0), ("d", 0, 0)] == found

    async def test_attempts_add_up_over_crashes_and_retries(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            positions = (await log.receive("e", 1, arrivals("a"))).positions
            for _ in range(2):
                await log.claim(positions)
                await log.reap()
            await log.claim(positions)
            await log.settle([RetryLater(positions[0], 3, 0, "again")])
            assert [3] == [pending.attempts for pending in await log.load(positions)]

    async def test_keys_become_durable_with_the_outcome(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            positions = (await log.receive("e", 1, arrivals("a"))).positions
            assert not await log.has_key("acme", "k")
            await log.settle([Delivered(positions[0], "handled", "x", (("acme", "k"),))])
            await log.put_keys([("acme", "l"), ("other", "m"), ("acme", "l")])
            found = [await log.has_key("acme", key) for key in ("k", "l", "m")]
            assert [True, True, False] == found
