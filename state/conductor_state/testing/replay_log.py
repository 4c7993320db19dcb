"""The contract of a replay log, as tests.

Promise: a store that passes may stand behind `conductor_sidecar.ports.ReplayLog`. Refusal: nothing
here knows a database; see `testing.inbound` for how to use it.
"""

# ruff: noqa: S101, PLR2004, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

from pathlib import Path

from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.records import Cursor, Delivered, RetryLater
from conductor_state.testing.inbound import InboundContract, arrivals, handled
from conductor_state.testing.receiving import ReceivingContract
from conductor_state.testing.retention import RetentionContract
from conductor_state.testing.settling import SettlingContract
from conductor_state.testing.traces import InboundTracesContract


class ReplayLogContract(
    ReceivingContract, SettlingContract, RetentionContract, InboundTracesContract
):
    """All of a replay log's contract that an implementation without a disk can meet."""


class DurableReplayLogContract(InboundContract):
    """What outlives the process, for implementations that keep files in the folder."""

    async def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with self.open(tmp_path, clock) as (log, _):
            receipt = await log.receive("e", 3, arrivals("a", "b", "c"))
            await log.claim(receipt.positions)
            settled = Delivered(receipt.positions[0], "handled", "x", (("acme", "k"),))
            await log.settle([settled, RetryLater(receipt.positions[1], 1, 9, "later")])
            counts = await log.counts()
        async with self.open(tmp_path, clock) as (log, _):
            assert Cursor("e", 3) == await log.cursor()
            assert counts == await log.counts()
            assert 1 == await log.reap()
            found = [(p.event_id, p.attempts, p.not_before_ms) for p in await log.pending(0, 9)]
            assert [("b", 1, 9), ("c", 1, 0)] == found
            assert await log.has_key("acme", "k")
            again = await log.receive("e", 4, arrivals("a", "b", "d"))
            assert (1, 1) == (again.duplicates, again.replayed)
            assert again.positions[2] > receipt.positions[2]

    async def test_reaping_after_a_restart_leaves_settled_events_alone(
        self, tmp_path: Path
    ) -> None:
        clock = ManualClock()
        async with self.open(tmp_path, clock) as (log, _):
            receipt = await log.receive("e", 3, arrivals("a", "b", "c"))
            await log.claim(receipt.positions)
            await log.settle(handled(receipt.positions[1:2]))
        async with self.open(tmp_path, clock) as (log, _):
            assert 2 == await log.reap()
            found = [(p.event_id, p.attempts) for p in await log.pending(0, 9)]
            assert [("a", 1), ("c", 1)] == found
            assert ["received", "stored", "attempt", "settled"] == [
                step.what for step in (await log.story("b")).steps
            ]

    async def test_a_number_is_not_used_again_after_all_was_forgotten(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with self.open(tmp_path, clock) as (log, _):
            before = (await log.receive("e", 1, arrivals("a"))).positions
            await log.settle(handled(before))
            clock.advance(1)
            await log.prune(epoch_ms(clock.now()), 10)
        async with self.open(tmp_path, clock) as (log, _):
            after = (await log.receive("e", 2, arrivals("b"))).positions
            assert after[0] > before[0]
