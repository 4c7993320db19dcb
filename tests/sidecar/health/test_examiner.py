"""A running daemon, looked at once a second: in virtual time, on in-memory stores."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from conductor_adapters.transport import ConnectFailed, LinkClosed
from conductor_protocol.messages import Beat
from conductor_sidecar.health.answers import Code, Health
from conductor_sidecar.health.examiner import Examiner
from conductor_sidecar.health.verdicts import DEAF_AFTER_S, LanesView, Phase
from conductor_sidecar.settings import Settings
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from conductor_state.errors import StoreFull
from daemon_bench import DaemonBench
from link_bench import Conductor, FarEnd, until
from virtual_time import virtual

WATCHDOG_EVERY_S = 20.0
BEAT_S = 10.0


class Disk:
    """A store's vitals on a disk that is full for as long as it is told."""

    def __init__(self) -> None:
        self.name = "sidecar.db"
        self.commits = self.failures = 0
        self.refuses: str | None = None
        self.full = False
        self.took: Callable[[float], None] = print
        self.proofs = 0

    async def prove(self) -> None:
        self.proofs += 1
        if self.full:
            raise StoreFull("no room")
        self.refuses = None


class Watched:
    """A daemon with its herald and its examiner."""

    def __init__(self, directory: Path) -> None:
        self.bench = DaemonBench(directory, [], Settings())
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / "notify"))
        self.manager.setblocking(False)
        self.phase: Phase = "running"
        notifier = Notifier(str(directory / "notify"))
        self.herald = Herald(notifier, self.bench.clock, every_s=WATCHDOG_EVERY_S)
        self.told: list[Health] = []
        self.lags: list[float] = []

    @contextlib.asynccontextmanager
    async def up(self, *stores: Disk) -> AsyncIterator[Examiner]:
        bench = self.bench
        examiner = Examiner(
            bench.keeper, bench.clock, phase=lambda: self.phase,
            progress=lambda: self.herald.verdict,
            lanes=lambda: LanesView(bench.downlink.backlog, 64), stores=stores,
        )  # fmt: skip
        examiner.changed, examiner.lagged = self.told.append, self.lags.append
        probes = {"sidecar.db": bench.log.backlog, "journal.db": bench.journal.head}
        with self.manager:
            async with (
                bench.up(),
                self.herald.watching(probes, bench.daemon.work, deadline_s=30.0),
                examiner.looking(),
            ):
                yield examiner
            self.herald.close()

    def fed(self) -> int:
        """How often the watchdog was fed since the last call."""
        fed = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                fed += self.manager.recv(4096) == b"WATCHDOG=1"
        return fed


@virtual
async def test_the_conductor_gone_for_an_hour_is_live_and_not_ready_and_restarts_nothing(
    tmp_path: Path,
) -> None:
    asyncio.get_running_loop().set_debug(False)  # an hour of stack traces takes half a minute
    watched = Watched(tmp_path)
    watched.bench.conductor.answer = ConnectFailed("nobody there")
    async with watched.up() as examiner:
        await until(lambda: watched.bench.keeper.report().reason != "")
        watched.fed()
        for turn in range(1, 181):
            await asyncio.sleep(20)
            report = examiner.report()
            assert (True, False) == (report.live.ok, report.ready.ok)
            assert (Code.LINK_DOWN,) == report.ready.codes
            assert (report.ready.reasons[0].for_s or 0) >= 20 * turn
            assert watched.fed() >= 3, f"after {20 * turn} s: a restart would follow"
        assert watched.bench.task is not None
        assert not watched.bench.task.done()


@pytest.mark.parametrize("beat_s", [10.0, 2.0], ids=["resumed at once", "waited for"])
@virtual
async def test_a_conductor_that_only_beats_is_left_at_once_and_reported_deaf_until_events_come(
    tmp_path: Path, beat_s: float
) -> None:
    watched = Watched(tmp_path)
    conductor = watched.bench.conductor

    async with watched.up() as examiner:
        silent = asyncio.create_task(beat_only(conductor, 12, beat_s), name="conductor")
        await until(lambda: len(conductor.tries) > 1)
        first, second = conductor.seconds[:2]
        # The second beat that is ahead ends the link, and the next one comes at once.
        assert first + 2 * beat_s == second
        assert examiner.report().hearing.ok
        await until(lambda: not examiner.report().hearing.ok)
        found = examiner.report()
        assert (("deaf", (Code.DEAF,)), (True, False)) == (
            (found.hearing.state, found.ready.codes), (found.live.ok, found.ready.ok),
        )  # fmt: skip
        assert "the conductor is at #12 and we stay at #0" == found.hearing.reasons[0].detail
        assert (found.hearing.reasons[0].for_s or 0) >= DEAF_AFTER_S
        silent.cancel()
        await asyncio.gather(silent, return_exceptions=True)
        watched.bench.keeper.hurry()
        await hears_again(watched, examiner)


async def beat_only(conductor: Conductor, head: int, beat_s: float) -> None:
    """Welcome and beat and send nothing, however often the sidecar comes back."""
    while True:
        end, _ = await conductor.welcomed(beat_s=beat_s)
        listening = asyncio.create_task(end.listen(), name="conductor.listening")
        while not (await asyncio.wait({listening}, timeout=beat_s))[0]:
            await end.say(Beat(sequence=head))


async def hears_again(watched: Watched, examiner: Examiner) -> None:
    """Send what was missing over the next link."""
    before = len(watched.bench.conductor.tries)
    await until(lambda: len(watched.bench.conductor.tries) > before, "another link")
    while True:
        end: FarEnd
        end, _ = await watched.bench.conductor.welcomed(beat_s=BEAT_S)
        with contextlib.suppress(LinkClosed):
            await end.events(1, *range(1, 13))
            await end.say(Beat(sequence=12))
            break
    await until(lambda: examiner.report().hearing.ok and examiner.report().ready.ok)


@virtual
async def test_a_full_disk_is_said_and_its_room_is_noticed_within_five_seconds(
    tmp_path: Path,
) -> None:
    watched, disk = Watched(tmp_path), Disk()
    async with watched.up(disk) as examiner:
        await watched.bench.conductor.welcomed()
        await until(lambda: examiner.report().ready.ok)
        assert 0 == disk.proofs
        disk.full, disk.refuses = True, "STORE_FULL"
        await asyncio.sleep(10)
        found = examiner.report()
        assert ((Code.DISK_FULL,), True) == (found.ready.codes, found.live.ok)
        assert "sidecar.db: STORE_FULL" == found.ready.reasons[0].detail
        assert disk.proofs >= 9
        disk.full = False
        await asyncio.sleep(5)
        assert examiner.report().ready.ok
        proofs = disk.proofs
        await asyncio.sleep(10)
        assert proofs == disk.proofs, "a store that writes is left alone"


@virtual
async def test_a_small_write_that_works_proves_nothing_while_others_are_refused(
    tmp_path: Path,
) -> None:
    watched, disk = Watched(tmp_path), Disk()
    async with watched.up(disk) as examiner:
        await watched.bench.conductor.welcomed()
        for _ in range(20):
            disk.failures, disk.refuses = disk.failures + 1, "STORE_FULL"
            await asyncio.sleep(0.5)
            assert Code.DISK_FULL in examiner.report().ready.codes
        await asyncio.sleep(5)
        assert examiner.report().ready.ok


@virtual
async def test_whoever_listens_is_told_of_changes_and_of_nothing_else(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    async with watched.up() as examiner:
        watched.bench.conductor.answer = ConnectFailed("nobody there")
        await asyncio.sleep(100)
        assert [(Code.LINK_DOWN,)] == [health.codes for health in watched.told]
        watched.bench.conductor.answer = None
        await watched.bench.conductor.welcomed()
        await until(lambda: examiner.report().ready.ok)
        await asyncio.sleep(2)
        watched.phase = "draining"
        await asyncio.sleep(2)
        assert [(Code.LINK_DOWN,), (), (Code.DRAINING,)] == [of.codes for of in watched.told]
        assert len(watched.lags) > 100
        assert max(watched.lags) < 0.1


@virtual
async def test_a_daemon_that_starts_is_not_ready_and_says_so(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.phase = "starting"
    async with watched.up() as examiner:
        assert Code.STARTING in examiner.report().ready.codes
        await asyncio.sleep(3)
        assert [] == watched.told
