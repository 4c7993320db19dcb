"""Contract of a replay log, first part: receiving.

Promise: an implementation that passes tells fresh ids from known ones and never moves its
cursor back. Refusal: nothing here claims or settles; the whole is
`testing.replay_log`.
"""

# ruff: noqa: S101, PLR2004, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

from pathlib import Path

from conductor_sdk.records import Arrival, Cursor, KindCounts, Pending, Receipt
from conductor_state.testing.inbound import KIND, OTHER, InboundContract, arrivals, handled


class ReceivingContract(InboundContract):
    """Receiving: what is new is stored once, and the cursor moves with it."""

    async def test_a_fresh_batch_gets_positions_in_order_of_arrival(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            first = await log.receive("e1", 2, arrivals("a", "b"))
            second = await log.receive("e1", 3, arrivals("c"))
            positions = [*first.positions, *second.positions]
            assert sorted(positions) == positions
            assert [Pending(p, e.event_id, e.kind, e.body, 0, 0) for p, e in
                    zip(positions, arrivals("a", "b", "c"), strict=True)
                    ] == await log.pending(0, 10)  # fmt: skip

    async def test_the_cursor_starts_empty_and_never_moves_back(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            assert Cursor("", 0) == await log.cursor()
            await log.receive("e1", 5, arrivals("a"))
            await log.receive("e1", 3, arrivals("b"))
            assert Cursor("e1", 5) == await log.cursor()
            await log.receive("e2", 1, [])
            assert Cursor("e2", 1) == await log.cursor()
            await log.reset_cursor("e2", 0)
            assert Cursor("e2", 0) == await log.cursor()

    async def test_a_repeated_id_is_a_duplicate_while_its_event_waits(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            first = await log.receive("e", 1, arrivals("a"))
            again = await log.receive("e", 3, arrivals("a", "b"))
            assert again.positions[1] > first.positions[0]
            assert (None, 1, 0) == (again.positions[0], again.duplicates, again.replayed)
            assert await log.backlog() == 2

    async def test_a_repeated_id_is_replayed_once_it_is_settled(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            receipt = await log.receive("e", 2, arrivals("a", "b"))
            await log.settle(handled(receipt.positions[:1]))
            assert Receipt([None, None], 1, 1) == await log.receive("e", 2, arrivals("a", "b"))
            counts = (await log.counts())[KIND]
            assert KindCounts(
                accepted=2, delivered=1, buffered=1, duplicates=1, replayed=1
            ) == counts  # fmt: skip

    async def test_an_id_twice_in_one_batch_is_stored_once(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            receipt = await log.receive("e", 3, arrivals("a", "b", "a"))
            assert (None, 1) == (receipt.positions[2], receipt.duplicates)
            assert [p.event_id for p in await log.pending(0, 9)] == ["a", "b"]

    async def test_refused_events_are_accepted_and_dropped(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            await log.receive("e", 4, arrivals("a"), {(KIND, "too_large"): 2, ("", "malformed"): 1})
            assert {
                "": KindCounts(accepted=1, dropped={"malformed": 1}),
                KIND: KindCounts(accepted=3, buffered=1, dropped={"too_large": 2}),
            } == await log.counts()
            assert Cursor("e", 4) == await log.cursor()

    async def test_a_batch_larger_than_a_row_may_be_is_kept_in_order(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            ids = [f"evt-{number}" for number in range(9000)]
            receipt = await log.receive("e", 9000, arrivals(*ids))
            assert ids == [pending.event_id for pending in await log.pending(0, 9000)]
            await log.settle(handled(receipt.positions))
            assert await log.backlog() == 0

    async def test_bodies_and_ids_come_back_unchanged(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            strange = [
                Arrival("ä\u2028\U0001f600'", KIND, bytes(range(256))),
                Arrival("b", OTHER, b""),
            ]
            await log.receive("e", 2, strange)
            found = await log.pending(0, 9)
            assert strange == [Arrival(p.event_id, p.kind, p.body) for p in found]

    async def test_paging_goes_on_after_a_position(self, tmp_path: Path) -> None:
        async with self.stores(tmp_path) as (log, _, _):
            await log.receive("e", 3, arrivals("a", "b", "c"))
            await log.receive("e", 4, arrivals("d"))
            first = await log.pending(0, 2)
            rest = await log.pending(first[-1].position, 9)
            assert [["a", "b"], ["c", "d"]] == [
                [p.event_id for p in page] for page in (first, rest)
            ]
