"""The sidecar of a world: `serve` as it is, one life after the other."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from conductor_adapters.transport import CredentialRefused
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.serve import Machine, serve
from conductor_sidecar.settings import (
    DispatchSection,
    DrainSettings,
    LinkSettings,
    ReconnectSettings,
    Settings,
)
from conductor_sidecar.stores import Stores
from conductor_state.enrollment import Enrollment
from conductor_state.identity import write_enrollment
from simworld.conductor import SUBJECT
from simworld.disk import WorldStorage
from simworld.life import LIFE, Life
from simworld.trace import Trace
from virtual_time import BEGIN

SETTINGS = Settings(
    link=LinkSettings(adapter="simulated"),
    reconnect=ReconnectSettings(first_spread_s=3.0, cap_s=20.0),
    dispatch=DispatchSection(window=64, retry_first_s=0.5, concurrency=8),
    drain=DrainSettings(deadline_s=3.0),
)
FAILURES = 10
"""Lives that may end by themselves before the world is given up."""
POINTS = (
    "sidecar.db.before_commit", "sidecar.db.after_commit", "journal.db.before_commit",
    "journal.db.after_commit", "pack.db.before_commit", "pack.db.after_commit",
    "sidecar.sent", "sidecar.received",
)  # fmt: skip
"""Where a sidecar may die."""


class SimClock:
    """The loop's time; the wall may be set."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.monotonic() + self.offset_s)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class SimSidecar:
    """Runs until `end`, whatever kills it."""

    def __init__(self, directory: Path, storage: WorldStorage, trace: Trace, dice: Random) -> None:
        self.storage = storage
        self.clock = SimClock()
        directory.mkdir(exist_ok=True)
        self.workspace: Workspace = resolve_workspace(directory)
        self._trace = trace
        self._dice = dice
        self.lives: list[Life] = []
        self.stores: Stores | None = None
        """Of the present life, once it serves."""
        self.failures: list[str] = []
        """Lives that ended by themselves, and should not have."""
        self.refused = 0
        self.clean: list[Life] = []
        """Lives that ended as asked."""
        self.calm = False
        """Whether it starts again at once."""
        self._ending = False
        self._stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        enrollment = Enrollment("sim://conductor", Secret("secret"), SUBJECT, None)
        write_enrollment(self.workspace, enrollment)

    @property
    def life(self) -> Life:
        """The present life, or the last."""
        return self.lives[-1]

    def opened(self, stores: Stores) -> None:
        """Take note of the stores of the present life."""
        self.stores = stores

    def stop(self) -> None:
        """Ask the present life to end cleanly; another one follows."""
        self._stop.set()

    async def end(self) -> None:
        """End cleanly, and for good."""
        self._ending = True
        self._stop.set()
        if self.task is not None:
            await self.task

    async def run(self) -> None:
        """Live, die, and live again."""
        while not self._ending:
            life = Life(f"sidecar {len(self.lives) + 1}", self._trace)
            self.lives.append(life)
            self.storage.own(life)
            self._trace.add("sidecar", f"starts {len(self.lives)}")
            self._stop = asyncio.Event()
            await self._live(life)
            self.stores = None
            if len(self.failures) > FAILURES:
                return
            if not self.calm and not self._ending:
                await asyncio.sleep(self._dice.uniform(0, 8))

    async def _live(self, life: Life) -> None:
        token = LIFE.set(life)
        try:
            serving = asyncio.get_running_loop().create_task(self._serve())
        finally:
            LIFE.reset(token)
        dying = asyncio.create_task(life.over.wait())
        await asyncio.wait({serving, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if life.dead:
            await life.bury()
            return
        try:
            serving.result()
        except CredentialRefused:
            self.refused += 1
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            self.failures.append(f"{life.name}: {error!r}")
        # What a process leaves running ends with it; a clean stop should leave nothing.
        self.clean.append(life)
        left = sorted(task.get_name() for task in life.tasks if not task.done())
        if left:
            self.failures.append(f"{life.name} left {left}")
        life.dead = True
        await life.bury()

    async def _serve(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await serve(
                self.workspace, SETTINGS, self._stop, machine=Machine(self.clock, self.storage)
            )
