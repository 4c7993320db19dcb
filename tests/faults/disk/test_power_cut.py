"""Power cuts: what was acknowledged is there after any of them, whatever else the disk forgets.

A seed is a random life of one workspace's stores (replay log, dead letters, outbox, approvals,
journal with a table beside it), cut twice at a random disk operation. Of what was not synced an
arbitrary part survives. Both cuts are followed by an opening as the daemon opens, and by a look at
every promise that the stores had made.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock
from conductor_state.errors import StateError
from simdisk.disk import SimDisk
from simdisk.faults import SYNC_EIO, FailFrom
from simdisk.storage import SimStorage
from simdisk.workload import Ledger, Life, losses, opened

SAMPLE, SWEEP = 100, 2000
FAILED_SYNCS = 40
CHUNK = 100
CUTS = 2
STEPS = 60
RECOVERY_MAX = 3000
"""Disk operations of one recovery at most, reads included."""


class Careless(SimStorage):
    """Opens databases with a setting that ours have not."""

    pragma = ("synchronous = FULL", "synchronous = NORMAL")

    def _connect(self, path: str, flags: int, *, exclusive: bool) -> sqlite3.Connection:
        connection: Any = super()._connect(path, flags, exclusive=exclusive)
        execute = connection.execute
        connection.execute = lambda sql, *values: execute(sql.replace(*self.pragma), *values)
        return connection  # type: ignore[no-any-return]  a SimConnection


class Trusting(SimStorage):
    """Builds on what another process left in the system's cache."""

    def renew(self, path: Path) -> None:
        """Trust."""


class Outcome:
    """What one seed came to."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.promises = 0
        self.recovery = 0
        """Disk operations of the longest recovery."""


async def cut(seed: int, storage: SimStorage) -> Outcome:
    """Live, cut the power in the middle of it, look, live on, cut again, look."""
    dice, clock, outcome = Random(seed), ManualClock(), Outcome()
    disk, ledger = storage.disk, Ledger()
    pages = dice.choice((8, 40, 4000))
    for number in range(CUTS + 1):
        if number < CUTS and dice.random() < 0.2:
            disk.dies_at = disk.operations + dice.randint(1, 60)
            with suppress(StateError):  # the power goes while the stores are opened
                async with opened(storage, clock):
                    pass
            disk.power_cut(dice.getrandbits(32))
        before = disk.operations + disk.reads
        async with opened(storage, clock, checkpoint_pages=pages) as stores:
            outcome.recovery = max(outcome.recovery, disk.operations + disk.reads - before)
            outcome.lost += await losses(stores, ledger)
            if outcome.lost or number == CUTS:
                break
            disk.dies_at = disk.operations + dice.randint(1, 900)
            await Life(stores, ledger, dice, clock).run(STEPS)
            outcome.promises = ledger.promises
            disk.power_cut(dice.getrandbits(32))
    return outcome


async def believe(seed: int, storage: SimStorage) -> Outcome:
    """A sync fails; the process goes on or dies of it; then the power goes."""
    dice, clock, outcome = Random(seed), ManualClock(), Outcome()
    disk, ledger = storage.disk, Ledger()
    pages = dice.choice((8, 40, 4000))
    suffixes = dice.choice((("-wal",), ("sidecar.db",), ("journal.db", "-journal"), ("",)))
    async with opened(storage, clock, checkpoint_pages=pages) as stores:
        kinds = frozenset({"sync"})
        disk.faults = FailFrom(dice.randint(1, 40), SYNC_EIO, kinds, 1, suffixes)
        life = Life(stores, ledger, dice, clock)
        await life.run(STEPS // 2)
        if life.failures and dice.random() < 0.5:
            await life.run(STEPS // 2)
            disk.power_cut(dice.getrandbits(32))
        else:
            disk.crash()
    async with opened(storage, clock, checkpoint_pages=pages) as stores:
        outcome.lost += await losses(stores, ledger)
        await Life(stores, ledger, dice, clock).run(STEPS // 4)
        outcome.promises = ledger.promises
        disk.power_cut(dice.getrandbits(32))
    async with opened(storage, clock) as stores:
        outcome.lost += await losses(stores, ledger)
    return outcome


def lost_in(
    seeds: Iterable[int], scenario: Any = cut, make: type[SimStorage] = SimStorage
) -> dict[int, list[str]]:
    """Run seeds; returns what each of them lost."""
    found: dict[int, list[str]] = {}
    promises = runs = 0
    for seed in seeds:
        outcome = asyncio.run(scenario(seed, make(SimDisk())))
        promises, runs = promises + outcome.promises, runs + 1
        assert outcome.recovery <= RECOVERY_MAX, f"seed {seed}: {outcome.recovery} operations"
        if outcome.lost:
            found[seed] = outcome.lost
    assert promises > 50 * runs, "the lives promise too little to show anything"
    return found


def test_a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged() -> None:
    assert {} == lost_in(range(SAMPLE))


def test_with_a_weaker_setting_the_same_suite_finds_losses() -> None:
    lost = lost_in(range(10), make=Careless)

    assert any("is lost" in line for lines in lost.values() for line in lines)


def test_with_a_disk_that_lies_about_syncs_the_same_suite_finds_losses() -> None:
    class Lying(SimStorage):
        def __init__(self, disk: SimDisk) -> None:
            super().__init__(disk)
            disk.syncs_are_lies = True

    losing = 0
    for seed in range(10):
        try:
            losing += bool(asyncio.run(cut(seed, Lying(SimDisk()))).lost)
        except StateError:  # not even an empty file is left
            losing += 1
    assert losing == 10


def test_after_a_failed_sync_nothing_is_built_on_what_the_disk_may_not_have() -> None:
    assert {} == lost_in(range(FAILED_SYNCS), believe)


def test_whoever_trusts_the_cache_after_a_failed_sync_loses() -> None:
    lost = lost_in(range(12), believe, Trusting)

    assert any("is lost" in line for lines in lost.values() for line in lines)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(SAMPLE, SWEEP, CHUNK))
def test_every_power_cut_of_the_sweep(first: int) -> None:
    assert {} == lost_in(range(first, first + CHUNK))


@pytest.mark.soak
@pytest.mark.parametrize("first", range(SAMPLE, SWEEP, CHUNK))
def test_every_failed_sync_of_the_sweep(first: int) -> None:
    assert {} == lost_in(range(first, first + CHUNK), believe)
