"""A thousand events, each with one effect, while either end is killed again and again."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from random import Random
from typing import Literal

import crash_children
from conductor_adapters.mqtt_listener import MqttListener, listen
from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_server.server import serve as serve_conductor
from conductor_server.settings import HubSettings
from conductor_sidecar.app import open_stores
from conductor_sidecar.settings import Settings
from conductor_state.database import Database
from conductor_state.enrollment import Enrollment
from conductor_state.history import SqliteHistory
from conductor_state.identity import write_enrollment
from conductor_state.schema import load_schema
from crash_children import RECORDS, Arm, Home, MortalBoard, _begin, replace
from crash_killer import Killer
from crash_lineage import End, Kill, Life, Lineage, _context, sooner_or_later
from crash_pack import SLUG
from crash_traffic import DONE, ONCE, SUBJECT, Item, body_of
from installed import install

EVENTS = 1000
AHEAD = 40
"""Events that are sent and not acknowledged, at most."""
COMMIT_S = 0.005
Carrier = Literal["websocket", "mqtt"]
ADAPTERS = {"websocket": "crash_adapter:adapter", "mqtt": "crash_mqtt_adapter:adapter"}
SIDECAR_POINTS = (
    "database.before_commit", "database.after_commit", "pack.before_effect", "pack.after_effect",
    "sidecar.events.received", "sidecar.ack.before_send", "sidecar.ack.after_send",
    "sidecar.push.before_send", "sidecar.push.after_send", "sidecar.pushed.received",
    "sidecar.hello.before_send", "sidecar.welcome.received",
)  # fmt: skip
PUBACK_POINTS = ("sidecar.puback.before_send", "sidecar.puback.after_send")
CONDUCTOR_POINTS = (
    "database.before_commit", "database.after_commit", "conductor.events.before_send",
    "conductor.events.after_send", "conductor.ack.received", "conductor.push.received",
    "conductor.pushed.before_send", "conductor.pushed.after_send", "conductor.hello.received",
)  # fmt: skip


def deaths(carrier: Carrier, number: int, seed: int) -> list[Kill]:
    """Deaths of either end: at a random point where it comes in time, else at a random time."""
    random = Random(f"{carrier}{seed}")
    kills: list[Kill] = []
    for _ in range(number):
        end: End = random.choice(("sidecar", "conductor"))
        points = SIDECAR_POINTS if end == "sidecar" else CONDUCTOR_POINTS
        if carrier == "mqtt" and end == "sidecar":
            points += PUBACK_POINTS
        late = sooner_or_later(random, 0.1, 0.9)
        kills.append(Kill(end, random.choice(points), random.randint(1, 6), push=late))
    return kills


@dataclass
class Thousand(Lineage):
    """A lineage whose conductor sends each event once, some more after every death."""

    carrier: Carrier = "websocket"
    broker: str = ""
    """Where the conductor listens, for MQTT."""
    per_death: int = EVENTS
    context: ForkServerContext = field(default_factory=lambda: _preloaded())  # noqa: PLW0108  defined below

    def begin(self) -> None:
        (self.home.directory / SUBJECT).mkdir(parents=True)
        self._allow()
        install(
            self.home.installed, packs={"crash_pack": "crash_pack:pack"},
            adapters={"mortal": ADAPTERS[self.carrier]},
        )  # fmt: skip
        self._start("conductor", None)
        self._until("the conductor listens", self.home.port.exists)
        self._terminate("conductor")

    def _allow(self) -> None:
        allowed = min(EVENTS, self.per_death * (len(self.deaths) + 1))
        replace(self.home.directory / "allowed", str(allowed))

    def _bury(self, end: End) -> Kill | None:
        again = super()._bury(end)
        self._allow()
        return again

    def _start(self, end: End, kill: Kill | None) -> None:
        self._generations[end] += 1
        arm = Arm("", 1, self._generations[end])
        if kill is not None:
            arm = Arm(kill.point, kill.hit, self._generations[end])
        target = run_slow_sidecar if end == "sidecar" else run_conductor
        args = (self.home, arm) if end == "sidecar" else (self.home, arm, self.broker)
        process = self.context.Process(target=target, args=args, daemon=True)
        process.start()
        self.lives[end] = Life(process, kill)


def _preloaded() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    _context()
    context.set_forkserver_preload(
        ["thousand", "conductor_sidecar.serve", "conductor_sidecar.http.surface",
         "conductor_sidecar.http.server", "conductor_adapters.websocket",
         "conductor_adapters.mqtt_connection", "uvicorn.main", "uvicorn.loops.asyncio",
         "uvicorn.protocols.websockets.websockets_sansio_impl", "uvicorn.protocols.http.h11_impl"]
    )  # fmt: skip
    return context


class SlowDisk(Killer):
    """A killer on a disk that takes its time: a promise given too early is found out."""

    def __call__(self, point: str) -> None:
        if point == "database.before_commit":
            time.sleep(COMMIT_S)
        super().__call__(point)


def run_slow_sidecar(home: Home, arm: Arm) -> None:
    """A child process: the daemon of the crash suite, on a slow disk."""
    crash_children.Killer = SlowDisk  # type: ignore[misc]  this process only
    crash_children.run_sidecar(home, arm)


def run_conductor(home: Home, arm: Arm, broker: str) -> None:
    """A child process: a conductor that sends what is allowed, until SIGTERM or its point."""
    _begin(home, f"conductor-{arm.generation}.log")
    asyncio.run(_conduct(home, arm, broker))


async def _conduct(home: Home, arm: Arm, broker: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    killer, clock = Killer(arm.point, arm.hit), SystemClock()
    database = await Database.open(
        home.history, schema=load_schema("conductor"), clock=clock, crash_point=killer
    )
    history = await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, RECORDS)
    conductor = EmbeddedConductor(
        history, clock, HubSettings(beat_s=0.2, page_events=8), faults=MortalBoard(killer)
    )
    async with _listening(conductor, home, broker) as link:
        if not home.port.exists():
            issued = await conductor.tokens.issue(SUBJECT)
            granted = await conductor.enroll(issued.text.reveal())
            token = Secret(granted.text.reveal())
            write_enrollment(home.workspace, Enrollment(link, token, SUBJECT, None))
            replace(home.port, link.rsplit(":", 1)[1].split("/")[0])
        sending = asyncio.create_task(_send(conductor, home, Random(f"{home.seed}{arm}")))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        sending.cancel()
    await history.close()


def _listening(
    conductor: EmbeddedConductor, home: Home, broker: str
) -> AbstractAsyncContextManager[str]:
    return _at_broker(conductor, broker) if broker else _at_port(conductor, home)


@asynccontextmanager
async def _at_port(conductor: EmbeddedConductor, home: Home) -> AsyncIterator[str]:
    port = int(home.port.read_text()) if home.port.exists() else 0
    async with serve_conductor(conductor, port=port) as address:
        yield address.link


@asynccontextmanager
async def _at_broker(conductor: EmbeddedConductor, broker: str) -> AsyncIterator[str]:
    async with await listen(broker) as listener:
        accepting = asyncio.create_task(_accept(conductor, listener))
        try:
            yield listener.link_address(SUBJECT)
        finally:
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)
            await conductor.close()


async def _accept(conductor: EmbeddedConductor, listener: MqttListener) -> None:
    async with asyncio.TaskGroup() as group:
        while True:
            accepted = await listener.accept()
            wrapped = conductor.attach(accepted.link, accepted.workspace)
            group.create_task(wrapped)


async def _send(conductor: EmbeddedConductor, home: Home, random: Random) -> None:
    """Send each event once, as many as are allowed; forget what the sidecar acknowledged."""
    live, forgotten = await conductor.workspace(SUBJECT), 0
    while True:
        allowed = int((home.directory / "allowed").read_text())
        if home.quiet.exists() and live.last == EVENTS:
            replace(home.last, str(live.last))
        if live.last < allowed and live.last - live.acked < AHEAD:
            upto = min(allowed, live.last + random.randint(1, 6))
            await conductor.append(
                SUBJECT, [body_of(one(n)) for n in range(live.last + 1, upto + 1)]
            )
        if live.acked > forgotten:
            # An acknowledgement means that this end may forget: so it does.
            forgotten = live.acked
            await conductor.forget(SUBJECT, forgotten)
        await asyncio.sleep(0.003)


def one(number: int) -> Item:
    return Item(number, ONCE, again=False)


@dataclass(frozen=True)
class Tally:
    """What the files hold when everything has arrived."""

    effects: list[str]
    """Event ids in the order of their effects."""
    pushed: list[str]
    accepted: int
    delivered: int
    balanced: bool


async def read_tally(home: Home) -> Tally:
    """Open the files of a lineage whose processes have ended."""
    clock = SystemClock()
    database = await Database.open(home.history, schema=load_schema("conductor"), clock=clock)
    history = await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, RECORDS)
    try:
        pushed = await history.pushed(SUBJECT, 0, 100 * EVENTS)
    finally:
        await history.close()
    async with open_stores(home.workspace, Settings(), clock=clock) as stores:
        facts = await stores.desk.facts()
    counts = facts.inbound[ONCE]
    connection = sqlite3.connect(home.workspace.pack_db(SLUG))
    try:
        rows = connection.execute("SELECT event_id FROM effects ORDER BY place").fetchall()
    finally:
        connection.close()
    return Tally(
        [row[0] for row in rows], [event.event_id for event in pushed if event.kind == DONE],
        counts.accepted, counts.delivered,
        all(one.balanced for one in [*facts.inbound.values(), *facts.outbound.values()]),
    )  # fmt: skip
