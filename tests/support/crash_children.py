"""The two programs that the crash suite kills: a sidecar and its conductor."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import crash_adapter
import crash_pack
from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_server.faults import FaultBoard
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, HistoryEvent, Link, TokenRecord
from conductor_server.server import serve as serve_conductor
from conductor_server.settings import HubSettings
from conductor_sidecar.logs import configure
from conductor_sidecar.serve import Machine
from conductor_sidecar.serve import serve as serve_sidecar
from conductor_sidecar.settings import (
    DispatchSection,
    DrainSettings,
    LinkSettings,
    LogSettings,
    PacksSettings,
    ReconnectSettings,
    RetentionSettings,
    Settings,
)
from conductor_state.database import Database
from conductor_state.enrollment import Enrollment
from conductor_state.history import SqliteHistory
from conductor_state.history_records import HistoryRecords
from conductor_state.identity import write_enrollment
from conductor_state.schema import load_schema
from crash_killer import Killer, MortalLink
from crash_traffic import SUBJECT, body_of, item

LAG = 150
"""Events that the conductor is ahead of what the sidecar acknowledged, at most."""
WINDOW = 64
"""Events that the sidecar stores and has not settled, at most."""
RECORDS = HistoryRecords(HistoryEvent, Anchor, TokenRecord)


@dataclass(frozen=True)
class Home:
    """The files of one lineage."""

    directory: Path
    seed: int
    resends: bool = True
    retention_days: float = 7.0

    @property
    def workspace(self) -> Workspace:
        return resolve_workspace(self.directory / SUBJECT)

    @property
    def history(self) -> Path:
        return self.directory / "conductor.db"

    @property
    def port(self) -> Path:
        """Where the conductor listens; the file is there once the workspace is enrolled."""
        return self.directory / "port"

    @property
    def quiet(self) -> Path:
        """While this file is there nothing new is sent."""
        return self.directory / "quiet"

    @property
    def last(self) -> Path:
        """The last sequence that was sent; written when it is quiet."""
        return self.directory / "last"

    @property
    def installed(self) -> Path:
        return self.directory / "installed"


@dataclass(frozen=True)
class Arm:
    """Where a child has to die, and which of its lives this is."""

    point: str = ""
    hit: int = 1
    generation: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


def run_sidecar(home: Home, arm: Arm) -> None:
    """A child process: the daemon with the crash pack, until SIGTERM or the armed point."""
    _begin(home, f"sidecar-{arm.generation}.log")
    sys.path.insert(0, str(home.installed))
    killer = Killer(arm.point, arm.hit)
    crash_pack.hooks.crash_point = killer
    crash_pack.hooks.generation = arm.generation
    crash_adapter.adapter.crash_point = killer
    configure(LogSettings(level="warning", format="json"))
    settings = Settings(
        link=LinkSettings(adapter="mortal"),
        reconnect=ReconnectSettings(first_spread_s=0.02, cap_s=0.1),
        dispatch=DispatchSection(window=WINDOW, max_attempts=100_000, retry_first_s=0.02),
        packs=PacksSettings(disabled=["acme-demo"]),
        drain=DrainSettings(deadline_s=2.0),
        retention=RetentionSettings(days=home.retention_days),
    )

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await serve_sidecar(
            home.workspace, settings, stop, lock_timeout_s=5.0, machine=Machine(crash_point=killer)
        )

    asyncio.run(main())


def run_conductor(home: Home, arm: Arm) -> None:
    """A child process: a conductor that sends without end, until SIGTERM or the armed point."""
    _begin(home, f"conductor-{arm.generation}.log")
    asyncio.run(_conduct(home, arm))


def _begin(home: Home, log: str) -> None:
    file = os.open(home.directory / log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    threading.Thread(target=_die_with_parent, name="orphan-watch", daemon=True).start()


def _die_with_parent() -> None:
    """End when whoever runs the suite has ended, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class MortalBoard(FaultBoard):
    """Puts crash points, not faults, between a session and its link."""

    def __init__(self, killer: Killer) -> None:
        super().__init__()
        self._killer = killer

    def wrap(self, link: Link) -> Link:
        return MortalLink(link, "conductor", self._killer)


async def _conduct(home: Home, arm: Arm) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    killer, clock = Killer(arm.point, arm.hit), SystemClock()
    database = await Database.open(
        home.history, schema=load_schema("conductor"), clock=clock, crash_point=killer
    )
    history = await SqliteHistory[HistoryEvent, Anchor, TokenRecord].open(database, RECORDS)
    conductor = EmbeddedConductor(
        history, clock, HubSettings(beat_s=0.2, page_events=40), faults=MortalBoard(killer)
    )
    port = int(home.port.read_text()) if home.port.exists() else 0
    async with serve_conductor(conductor, port=port) as address:
        if not home.port.exists():
            issued = await conductor.tokens.issue(SUBJECT)
            granted = await conductor.enroll(issued.text.reveal())
            token = Secret(granted.text.reveal())
            write_enrollment(home.workspace, Enrollment(address.link, token, SUBJECT, None))
            replace(home.port, str(address.port))
        sending = asyncio.create_task(_send(conductor, home, Random(f"{home.seed}{arm}")))
        await asyncio.wait(
            {sending, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if sending.done():
            sending.result()
        sending.cancel()
    await history.close()


async def _send(conductor: EmbeddedConductor, home: Home, random: Random) -> None:
    """Send what the traffic says, a little ahead of the sidecar; forget what it acknowledged."""
    live = await conductor.workspace(SUBJECT)
    forgotten = 0
    while True:
        if home.quiet.exists():
            replace(home.last, str(live.last))
        elif live.last - live.acked < LAG:
            ahead = range(live.last + 1, live.last + 1 + random.randint(1, 30))
            things = [body_of(item(at, resends=home.resends)) for at in ahead]
            await conductor.append(SUBJECT, things, again=True)
        if live.acked > forgotten:
            # An acknowledgement means that this end may forget: so it does.
            forgotten = live.acked
            await conductor.forget(SUBJECT, forgotten)
        await asyncio.sleep(0.003)


def replace(path: Path, text: str) -> None:
    """Write a small file so that a reader sees all of it or nothing."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)
