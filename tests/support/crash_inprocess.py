"""Both ends in one process, over the memory adapter, with deaths that are simulated.

From the moment of its death an end commits nothing, says nothing and hears nothing; what it still
does until it is cancelled leaves no trace in its files or at the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from random import Random

import crash_pack
from conductor_adapters import memory
from conductor_adapters.memory import listen
from conductor_adapters.transport import LinkClosed, LinkOptions, Transport
from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret
from conductor_server.faults import FaultBoard
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, HistoryEvent, Link, TokenRecord
from conductor_server.settings import HubSettings
from conductor_sidecar.serve import Machine
from conductor_sidecar.serve import serve as serve_sidecar
from conductor_sidecar.settings import (
    DispatchSection,
    DrainSettings,
    LinkSettings,
    PacksSettings,
    ReconnectSettings,
    Settings,
)
from conductor_state.database import Database
from conductor_state.enrollment import Enrollment
from conductor_state.history import SqliteHistory
from conductor_state.identity import write_enrollment
from conductor_state.schema import load_schema
from crash_children import RECORDS, WINDOW, Home
from crash_killer import PREFIX
from crash_traffic import DONE, SUBJECT, body_of
from thousand import AHEAD, COMMIT_S, CONDUCTOR_POINTS, EVENTS, SIDECAR_POINTS, one

SETTINGS = Settings(
    link=LinkSettings(adapter="simulated"),
    reconnect=ReconnectSettings(first_spread_s=0.01, cap_s=0.05),
    dispatch=DispatchSection(window=WINDOW, max_attempts=100_000, retry_first_s=0.02),
    packs=PacksSettings(disabled=["acme-demo"]), drain=DrainSettings(deadline_s=2.0),
)  # fmt: skip
PATIENCE_S = 60.0


class Mortal:
    """One life. Called at crash points, from any thread."""

    def __init__(self, point: str = "", hit: int = 1) -> None:
        self._loop = asyncio.get_running_loop()
        self._point, self._left = point, hit
        self.dead = False
        self.over = asyncio.Event()

    def __call__(self, point: str) -> None:
        if point == "database.before_commit":
            time.sleep(COMMIT_S)  # a slow disk finds out a promise that is given too early
        self.reach(point)
        # What is committed stays so; everything else of a dead process fails.
        if self.dead and point != "database.after_commit":
            raise sqlite3.OperationalError("simulated death")

    def reach(self, point: str) -> None:
        """Die here, if this is the point."""
        if point == self._point and not self.dead:
            self._left -= 1
            if self._left <= 0:
                self.die()

    def die(self) -> None:
        self.dead = True
        self._loop.call_soon_threadsafe(self.over.set)


class MortalLink:
    """A link of a life: it moves nothing after the death."""

    def __init__(self, inner: Transport | Link, name: str, life: Mortal) -> None:
        self._inner, self._name, self._life = inner, name, life

    async def receive(self, limit: int) -> list[bytes]:
        frames = await self._inner.receive(limit)
        self._pass(frames, "received")
        return frames

    async def send(self, frames: list[bytes]) -> None:
        self._pass(frames, "before_send")
        await self._inner.send(frames)
        self._pass(frames, "after_send")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(1006 if self._life.dead else code, reason)

    def _pass(self, frames: list[bytes], moment: str) -> None:
        for frame in frames:
            kind = frame[len(PREFIX) :].split(b'"', 1)[0].decode()
            self._life.reach(f"{self._name}.{kind}.{moment}")
        if self._life.dead:
            raise LinkClosed("simulated death")


class SimulatedAdapter:
    """`memory`, whose links die with the sidecar's present life."""

    name = "simulated"
    schemes = ("memory",)
    life: Mortal

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        return MortalLink(
            await memory.adapter.connect(address, credential, options), "sidecar", self.life
        )


adapter = SimulatedAdapter()


class Board(FaultBoard):
    """Puts the conductor's death between a session and its link."""

    def __init__(self, life: Mortal) -> None:
        super().__init__()
        self._life = life

    def wrap(self, link: Link) -> Link:
        return MortalLink(link, "conductor", self._life)


async def run_sidecar(home: Home, life: Mortal) -> None:
    """Run a sidecar until its death."""
    adapter.life = life
    crash_pack.hooks.crash_point = life
    serving = asyncio.create_task(
        serve_sidecar(home.workspace, SETTINGS, asyncio.Event(), lock_timeout_s=5.0,
                      machine=Machine(crash_point=life))
    )  # fmt: skip
    await _until_death(life, serving)


async def run_conductor(home: Home, life: Mortal, allowed: Counter[str]) -> None:
    """Run a conductor that sends what is allowed, until its death."""
    database = await Database.open(
        home.history, schema=load_schema("conductor"), clock=SystemClock(), crash_point=life
    )
    try:
        history = await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, RECORDS)
        settings = HubSettings(beat_s=0.2, page_events=8)
        conductor = EmbeddedConductor(history, SystemClock(), settings, faults=Board(life))
        async with listen(home.directory.name) as listener:
            conducting = asyncio.create_task(_conduct(conductor, listener, allowed))
            await _until_death(life, conducting)
            await conductor.close()
    finally:
        await database.close()


async def _conduct(
    conductor: EmbeddedConductor, listener: memory.Listener, allowed: Counter[str]
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_send(conductor, allowed))
        while True:
            group.create_task(conductor.attach(await listener.accept(), SUBJECT))


async def _send(conductor: EmbeddedConductor, allowed: Counter[str]) -> None:
    live, forgotten = await conductor.workspace(SUBJECT), 0
    while True:
        if live.last < allowed["events"] and live.last - live.acked < AHEAD:
            upto = min(allowed["events"], live.last + 5)
            things = [body_of(one(n)) for n in range(live.last + 1, upto + 1)]
            await conductor.append(SUBJECT, things)
        if live.acked > forgotten:
            forgotten = live.acked
            await conductor.forget(SUBJECT, forgotten)
        allowed["acked"] = max(allowed["acked"], live.acked)
        if allowed["acked"] < EVENTS:
            await asyncio.sleep(0.002)
            continue
        pushed = await conductor.pushed(SUBJECT, 0, 10 * EVENTS)
        allowed["pushed"] = sum(event.kind == DONE for event in pushed)
        await asyncio.sleep(0.002)


async def _until_death(life: Mortal, task: asyncio.Task[None]) -> None:
    dying = asyncio.create_task(life.over.wait())
    await asyncio.wait({dying, task}, return_when=asyncio.FIRST_COMPLETED)
    assert life.dead, task.result()
    task.cancel()
    dying.cancel()
    await asyncio.wait({dying, task})
    with contextlib.suppress(asyncio.CancelledError, Exception):
        task.result()


async def endure(home: Home, *, deaths: int, seed: int) -> Counter[str]:
    """Live and die; returns how often each end died at a point or at a random time."""
    random, suffered = Random(seed), Counter[str]()
    write_enrollment(
        home.workspace, Enrollment(f"memory://{home.directory.name}", Secret("x"), SUBJECT, None)
    )
    allowed: Counter[str] = Counter()
    names = ("sidecar", "conductor")
    lives = {name: Mortal() for name in names}
    tasks = {name: _start(home, name, lives[name], allowed) for name in names}
    for number in range(deaths):
        allowed["events"] = EVENTS * (number + 1) // (deaths + 1)
        name = random.choice(names)
        points = SIDECAR_POINTS if name == "sidecar" else CONDUCTOR_POINTS
        _arm(lives[name], random.choice(points), random.randint(1, 6))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.02, 0.4)):
                await lives[name].over.wait()
        suffered[name] += 1
        lives[name].die()
        await tasks[name]
        lives[name] = Mortal()
        tasks[name] = _start(home, name, lives[name], allowed)
    allowed["events"] = EVENTS
    async with asyncio.timeout(PATIENCE_S):
        while (allowed["acked"], allowed["pushed"]) != (EVENTS, EVENTS):
            for task in tasks.values():
                assert not task.done(), task.result()
            await asyncio.sleep(0.01)
    for name in names:
        # The outbox has heard of the last confirmation when nothing is left to say.
        await asyncio.sleep(0.1)
        lives[name].die()
        await tasks[name]
    return suffered


def _start(home: Home, name: str, life: Mortal, allowed: Counter[str]) -> asyncio.Task[None]:
    running = run_sidecar(home, life) if name == "sidecar" else run_conductor(home, life, allowed)
    return asyncio.create_task(running, name=f"crash.{name}")


def _arm(life: Mortal, point: str, hit: int) -> None:
    life._point, life._left = point, hit
