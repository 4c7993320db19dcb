"""One seed, one world: it is stirred for a while, comes to rest, and is judged.

Promise: a seed gives the same world in every process, down to the last frame and statement.
Refusal: nothing is checked while something still moves, except what must hold at all times.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from conductor_sidecar.desk import StoreFacts
from simworld.conductor import SUBJECT, SimConductor
from simworld.disk import WorldStorage
from simworld.interpose import interposed
from simworld.loop import SimLoop
from simworld.net import Net
from simworld.pack import Desk, make_pack
from simworld.schedule import Fate
from simworld.sidecar import SimSidecar
from simworld.verdict import judge, unbalanced

DEEDS = 26
REST_S = 7200.0
"""Virtual seconds in which a world that nobody disturbs must come to rest."""
WORLD_S = 4 * REST_S
"""Virtual seconds after which a world is stopped: the bench itself waits for something."""
LIVES_MAX = 300
LOOK_S = 5.0
SHM = Path("/dev/shm")


@dataclass
class Report:
    """What became of one seed."""

    seed: int
    digest: str = ""
    problems: list[str] = field(default_factory=list)
    lines: int = 0
    """Of the trace."""
    virtual_s: float = 0.0
    deeds: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)


def run_seed(seed: int, show: Callable[[str], None] | None = None, *, deeds: int = DEEDS) -> Report:
    """Run one world to its end.

    Args:
        seed: Decides everything.
        show: Takes each line of the trace.
        deeds: How many things happen to it.
    """
    report = Report(seed)
    base = SHM if SHM.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="simworld-", dir=base))
    loop = SimLoop()
    loop.trace._show = show
    try:
        world = World(loop, seed, directory)
        pack, opened = make_pack(world.desk), world.sidecar.opened
        with interposed(world.storage, world.net, pack, str(seed), opened):
            loop.run_until_complete(world.live(report, deeds))
    except AssertionError as error:
        report.problems.append(str(error))
    finally:
        loop.close()
        shutil.rmtree(directory, ignore_errors=True)
    report.digest, report.lines = loop.trace.digest, loop.trace.lines
    report.virtual_s = loop.time()
    report.problems += loop.complaints
    return report


class World:
    """Everything of one seed."""

    def __init__(self, loop: SimLoop, seed: int, directory: Path) -> None:
        self._trace = loop.trace
        self.net = Net(Random(f"{seed}/net"), loop.trace)
        self.storage = WorldStorage(loop.trace, Random(f"{seed}/disk"))
        self.sidecar = SimSidecar(
            directory / SUBJECT, self.storage, loop.trace, Random(f"{seed}/sidecar")
        )
        self.conductor: SimConductor
        self.desk = Desk(Random(f"{seed}/pack"))
        self._dice = Random(f"{seed}/fate")

    async def live(self, report: Report, deeds: int) -> None:
        """Stir the world, let it come to rest, and judge it."""
        self.conductor = SimConductor(self.net, self.sidecar.clock, self._trace)
        self.conductor.start()
        self.sidecar.task = asyncio.create_task(self.sidecar.run())
        try:
            async with asyncio.timeout(WORLD_S):
                await self._stir(report, deeds)
                rested = await self._rest()
        except TimeoutError:
            report.problems.append(f"the world did not end in {WORLD_S:g} virtual s")
            await self._give_up()
        else:
            if rested:
                await self.sidecar.end()
                report.problems += await judge(
                    self.sidecar, self.conductor, self.desk, report.facts
                )
            else:
                report.problems.append(f"no rest in {REST_S:g} s: {await self._state()}")
                await self._give_up()
        report.problems += self.sidecar.failures
        report.facts["lives"] = len(self.sidecar.lives)
        await self.conductor.crash()

    async def _give_up(self) -> None:
        self.sidecar.life.die("given up")
        self.sidecar._ending = True
        await self.sidecar.end()

    async def _stir(self, report: Report, deeds: int) -> None:
        fate = Fate(self._dice, self.net, self.conductor, self.sidecar, self.desk)
        for _ in range(deeds):
            await asyncio.sleep(fate.pause_s())
            deed = fate.throw()
            self._trace.add("deed", deed.name)
            report.deeds[deed.name] += 1
            await deed.do()
            report.problems += await self._balance()

    async def _balance(self) -> list[str]:
        """Conservation holds at all times, not only at the end."""
        if self.sidecar.stores is None or self.sidecar.life.dead or self._dice.random() < 0.7:
            return []
        facts = await self._facts()
        return unbalanced(facts) if facts else []

    async def _facts(self) -> StoreFacts | None:
        """What the running life's store says; None if it dies first, for the dead never answer."""
        stores, life = self.sidecar.stores, self.sidecar.life
        if stores is None or life.dead:
            return None
        facts = asyncio.create_task(stores.desk.facts())
        dying = asyncio.create_task(life.over.wait())
        try:
            async with asyncio.timeout(60):
                await asyncio.wait({facts, dying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (facts, dying):
                task.cancel()
        if life.dead or not facts.done() or facts.cancelled() or facts.exception():
            return None
        return facts.result()

    async def _rest(self) -> bool:
        """Heal everything and wait until nothing is on its way."""
        self._trace.add("rest")
        self.net.deaf, self.net.ghosts, self.net.refusal = False, 0, None
        for connection in self.net.connections:
            connection.slow(0)
        self.sidecar.calm = True
        self.sidecar.life._fuse = None
        loop = asyncio.get_running_loop()
        end = loop.time() + REST_S
        while loop.time() < end and not self._given_up:
            await asyncio.sleep(LOOK_S)
            if await self._quiet():
                return True
        return False

    @property
    def _given_up(self) -> bool:
        ended = self.sidecar.task is None or self.sidecar.task.done()
        return ended or len(self.sidecar.lives) > LIVES_MAX

    async def _quiet(self) -> bool:
        hub = self.conductor.hub
        if hub is None or not self.desk.asked.empty():
            return False
        facts = await self._facts()
        if facts is None:
            return False
        live = await hub.workspace(SUBJECT)
        _, last = await self.conductor.history.bounds(SUBJECT)
        cursor = facts.cursor
        return (
            live.serving is not None
            and (cursor.epoch, cursor.sequence) == (self.conductor.history.epoch, last)
            and facts.backlog + facts.outbox.events == 0
        )

    async def _state(self) -> str:
        facts = await self._facts()
        if facts is None:
            return "the sidecar does not run"
        _, last = await self.conductor.history.bounds(SUBJECT)
        return f"{facts.cursor} of {last}, {facts.backlog} waiting, {facts.outbox}"
