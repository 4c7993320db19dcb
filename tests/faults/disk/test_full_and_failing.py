"""Disk full and I/O errors under a whole daemon: it stays up, says so, and goes on when it can.

In virtual time. A run sends events down and pushes events up, four times a second. With the k-th
disk operation of a kind the disk begins to fail; after ten seconds it is mended. Meanwhile nothing
may be acknowledged that is not on the platter; five seconds later everything must be as if nothing
had been.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

import delivery_pack
from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError
from conductor_sidecar.health.answers import Code
from conductor_state.database import Database
from conductor_state.errors import StoreFull, StoreIOError
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from delivery_pack import QUEUED, TRIED
from installed import install
from simdisk.disk import Failure, SimDisk, no_faults
from simdisk.faults import ENOSPC, READ_EIO, SYNC_EIO, WRITE_EIO, FailFrom
from simdisk.storage import SimStorage
from simdisk.world import DiskWorld, ThreadlessLoop

OUTAGE_S = 10.0
RECOVERY_S = 5.0
STEP_S = 0.25
WRITES = 500
CHUNK = 25
DEEDS = ("push", "work", "work", "raise")
FAULTS: dict[str, tuple[Failure, frozenset[str], Code | None]] = {
    "full": (ENOSPC, frozenset({"write", "create"}), Code.DISK_FULL),
    "write": (WRITE_EIO, frozenset({"write", "truncate", "create"}), Code.STORE_FAILING),
    "sync": (SYNC_EIO, frozenset({"sync"}), Code.STORE_FAILING),
    "read": (READ_EIO, frozenset({"read"}), None),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    adapters = {"inprocess": "conductor_adapters.memory:adapter"}
    monkeypatch.syspath_prepend(str(install(tmp_path / "installed", adapters=adapters)))
    return tmp_path


class Trouble:
    """One run with one outage."""

    def __init__(self, world: DiskWorld, fault: str, first: int) -> None:
        self.world = world
        failure, kinds, self.code = FAULTS[fault]
        self.faults = FailFrom(first, failure, kinds)  # type: ignore[arg-type]  # kinds of disks
        self.sent = 0
        self.queued: list[int] = []
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        await self.world.run()
        self.world.disk.faults = self.faults
        while not self.faults.failed:
            await self.step()
        await self.steps(OUTAGE_S)
        if self.code is not None:
            assert self.code in self.world.ready().codes, self.world.ready()
        await self.check_acknowledged()
        self.world.disk.faults = no_faults
        await self.steps(RECOVERY_S)
        assert self.world.ready().ok, self.world.ready()
        async with asyncio.timeout(RECOVERY_S):
            await self.world.settled()
        good = [n for n in range(self.sent) if DEEDS[n % len(DEEDS)] != "raise"]
        assert Counter(good) == Counter(self.world.desk.handled)
        letters = (await self.world.counts())["dead_lettered"]
        assert self.sent - len(good) == letters
        pushes = [n for n in good if DEEDS[n % len(DEEDS)] == "push"]
        assert Counter([*self.queued, *pushes]) == Counter(await self.world.pushed_numbers())
        assert set(self.refused) <= {f"{QUEUED} STORE_FULL", f"{QUEUED} STORE_IO"}
        assert self.refused or self.code is None

    async def steps(self, seconds: float) -> None:
        for _ in range(int(seconds / STEP_S)):
            await self.step()

    async def step(self) -> None:
        number, self.sent = self.sent, self.sent + 1
        await self.world.send(number, do=DEEDS[number % len(DEEDS)])
        for kind in (QUEUED, TRIED):
            try:
                [receipt] = await self.world.push(10_000 + number, kind=kind)
            except ConductorError as error:
                self.refused[f"{kind} {error.code}"] += 1
            else:
                if receipt.status == "queued":
                    self.queued.append(10_000 + number)
        await asyncio.sleep(STEP_S)
        assert self.world.daemon is not None
        assert not self.world.daemon.done(), self.world.daemon

    async def check_acknowledged(self) -> None:
        """What the conductor was told is on the platter."""
        acknowledged = await self.world.acknowledged()
        storage = SimStorage(self.world.disk.image())
        database = await Database.open(
            self.world.workspace.sidecar_db, schema=load_schema("sidecar"), clock=ManualClock(),
            storage=storage,
        )  # fmt: skip
        log = await SqliteReplayLog.open(database)
        cursor = await log.cursor()
        await database.close()
        assert acknowledged <= cursor.sequence


def in_world(folder: Path, test: Callable[[DiskWorld], Awaitable[None]]) -> None:
    """Run a test in a world of its own."""

    async def run() -> None:
        delivery_pack.desk = delivery_pack.Desk()
        world = DiskWorld(folder, SimDisk())
        with world.wired():
            try:
                await test(world)
            finally:
                world.disk.faults = no_faults
                await world.end()

    (folder / "delivery-ws").mkdir(parents=True)
    with asyncio.Runner(loop_factory=ThreadlessLoop) as runner:
        runner.run(run())


def survive(folder: Path, fault: str, firsts: Iterable[int]) -> None:
    """Run one outage for each of the operations with which it may begin."""
    for first in firsts:
        in_world(folder / f"{fault}-{first}", lambda w, k=first: Trouble(w, fault, k).run())


@pytest.mark.parametrize(("fault", "step"), [("full", 25), ("write", 100), ("sync", 125),
                                             ("read", 200)])  # fmt: skip
def test_the_daemon_outlives_a_disk_that_fails(folder: Path, fault: str, step: int) -> None:
    survive(folder, fault, range(1, WRITES + 1, step))


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1, WRITES + 1, CHUNK))
@pytest.mark.parametrize("fault", FAULTS)
def test_the_daemon_outlives_every_failure_of_the_sweep(
    folder: Path, fault: str, first: int
) -> None:
    survive(folder, fault, range(first, first + CHUNK))


def test_ephemeral_events_flow_while_the_disk_is_full(folder: Path) -> None:
    async def test(world: DiskWorld) -> None:
        await world.run()
        world.disk.faults = FailFrom(1, ENOSPC)
        with pytest.raises(StoreFull):
            await world.push(1)
        for number in range(5):
            [receipt] = await world.push(number, kind=TRIED)
            assert receipt.status == "sent"
            await asyncio.sleep(1)
        assert [0, 1, 2, 3, 4] == await world.pushed_numbers(TRIED)
        assert (Code.DISK_FULL,) == world.ready().codes
        world.disk.faults = no_faults
        await asyncio.sleep(RECOVERY_S)
        assert world.ready().ok
        await world.push(1)
        await world.settled()
        assert [1] == await world.pushed_numbers()
        assert 5 == (await world.counts(TRIED, "outbound"))["delivered"]

    in_world(folder / "world", test)


def test_a_disk_without_room_is_outlived_as_well(folder: Path) -> None:
    async def test(world: DiskWorld) -> None:
        await world.run()
        await world.send(*range(5))
        await world.handled(range(5))
        world.disk.capacity = world.disk.used
        for number in range(5, 200):
            await world.send(number, filler="x" * 4000)
        await world.until("the disk is full", lambda: Code.DISK_FULL in world.ready().codes)
        assert len(world.desk.handled) < 200
        world.disk.capacity = None
        await asyncio.sleep(RECOVERY_S)
        assert world.ready().ok
        await world.settled()
        assert list(range(200)) == world.desk.handled

    in_world(folder / "world", test)


def test_a_start_without_a_disk_says_so_and_harms_nothing(folder: Path) -> None:
    async def test(world: DiskWorld) -> None:
        await world.run()
        await world.push(1)
        await world.settled()
        await world.stop()
        for failure, error in ((ENOSPC, StoreFull), (WRITE_EIO, StoreIOError)):
            world.disk.faults = FailFrom(1, failure)
            with pytest.raises(error):
                await world.start()
        world.disk.faults = no_faults
        await world.start()
        await world.linked()
        await world.push(2)
        await world.settled()
        assert [1, 2] == await world.pushed_numbers()

    in_world(folder / "world", test)
