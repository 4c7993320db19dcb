"""The parent of the crash suite: starts both ends, sees them die, starts them again.

A lineage is one workspace and one conductor with the files that all their lives share. Children
are forked from a server that has imported everything, so that a start costs next to nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from random import Random
from typing import Any, Literal

import msgspec

from conductor_sdk.client import ask
from conductor_sdk.errors import ConductorError
from crash_children import Arm, Home, run_conductor, run_sidecar
from crash_traffic import SUBJECT
from installed import install

PATIENCE_S = 40.0
"""How long a child may take to reach its point, and a workspace to drain."""
POLL_S = 0.02

End = Literal["sidecar", "conductor"]
Push = Callable[[Home, int], None]
"""What the parent does to a child, again and again, until it dies: (home, pid)."""


@dataclass(frozen=True)
class Kill:
    """One death: at a point, or whenever `push` brings it about."""

    end: End
    point: str
    hit: int = 1
    push: Push | None = None
    may_stop: bool = False
    """A clean end is no failure: the child is started again with the same arm."""

    def __str__(self) -> str:
        return f"{self.point}@{self.hit}"


@dataclass
class Life:
    """A child, and how it has to end."""

    process: ForkServerProcess
    kill: Kill | None


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["conductor_sidecar.serve", "conductor_sidecar.http.surface", "conductor_server.server",
         "conductor_sidecar.http.server", "conductor_adapters.websocket", "uvicorn.main",
         "uvicorn.protocols.websockets.websockets_sansio_impl", "uvicorn.loops.asyncio",
         "uvicorn.protocols.http.h11_impl"]
    )  # fmt: skip
    return context


@dataclass
class Lineage:
    """Both ends with their files. Use as a context: no child outlives it."""

    home: Home
    context: ForkServerContext = field(default_factory=_context)
    lives: dict[End, Life] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    killed_generations: set[int] = field(default_factory=set)
    """Lives of the sidecar that ended by SIGKILL."""
    _generations: dict[End, int] = field(default_factory=lambda: {"sidecar": 0, "conductor": 0})

    def begin(self) -> None:
        """Make the files, and let the conductor enroll the workspace."""
        (self.home.directory / SUBJECT).mkdir(parents=True)
        install(
            self.home.installed,
            packs={"crash_pack": "crash_pack:pack"},
            adapters={"mortal": "crash_adapter:adapter"},
        )
        self._start("conductor", None)
        self._until("the conductor listens", self.home.port.exists)
        self._terminate("conductor")

    def suffer(self, kills: Sequence[Kill]) -> None:
        """Run both ends until each has died of all its kills, in order."""
        left: dict[End, list[Kill]] = {
            "sidecar": [kill for kill in kills if kill.end == "sidecar"],
            "conductor": [kill for kill in kills if kill.end == "conductor"],
        }
        for end, kills_left in left.items():
            self._start(end, kills_left.pop(0) if kills_left else None)
        while any(life.kill is not None for life in self.lives.values()):
            for end in self._ended():
                again = self._bury(end)
                self._start(end, again or (left[end].pop(0) if left[end] else None))

    def drain(self) -> None:
        """Send nothing new, let everything arrive, stop both ends cleanly."""
        self.home.quiet.touch()
        self._until("everything has arrived", self._drained)
        for end in list(self.lives):
            self._terminate(end)

    def _ended(self) -> list[End]:
        """Wait until a child has ended; push those that need it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            sentinels = [life.process.sentinel for life in self.lives.values()]
            if wait(sentinels, POLL_S):
                return [end for end, life in self.lives.items() if not life.process.is_alive()]
            for life in self.lives.values():
                if life.kill is not None and life.kill.push is not None and life.process.pid:
                    life.kill.push(self.home, life.process.pid)
        armed = {end: str(life.kill) for end, life in self.lives.items()}
        raise AssertionError(f"nobody died in {PATIENCE_S} s of {armed}\n{self.logs()}")

    def _bury(self, end: End) -> Kill | None:
        """Take note of a death; returns the kill that has to be tried again."""
        life = self.lives.pop(end)
        life.process.join()
        code, kill = life.process.exitcode, life.kill
        if kill is not None and code == -signal.SIGKILL:
            self.deaths.append(kill.point)
            if end == "sidecar":
                self.killed_generations.add(self._generations[end])
            return None
        if kill is not None and code == 0 and kill.may_stop:
            return kill
        raise AssertionError(f"{end} ended with {code}, armed with {kill}\n{self.logs()}")

    def _start(self, end: End, kill: Kill | None) -> None:
        self._generations[end] += 1
        arm = Arm("", 1, self._generations[end])
        if kill is not None:
            arm = Arm(kill.point, kill.hit, self._generations[end])
        target = run_sidecar if end == "sidecar" else run_conductor
        process = self.context.Process(target=target, args=(self.home, arm), daemon=True)
        process.start()
        self.lives[end] = Life(process, kill)

    def _terminate(self, end: End) -> None:
        life = self.lives.pop(end)
        life.process.terminate()
        life.process.join(PATIENCE_S)
        code = life.process.exitcode
        if code != 0:
            raise AssertionError(f"{end} did not stop cleanly: {code}\n{self.logs()}")

    def _drained(self) -> bool:
        status = status_of(self.home)
        if status is None or not self.home.last.exists():
            return False
        last = int(self.home.last.read_text())
        outbox = status["outbox"]
        waiting = status["backlog"] + outbox["events"] + outbox["unconfirmed"]
        return bool(status["cursor"]["sequence"] == last and waiting == 0)

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if reached():
                return
            if ended := wait([life.process.sentinel for life in self.lives.values()], POLL_S):
                raise AssertionError(f"{len(ended)} ended before {what}\n{self.logs()}")
            time.sleep(POLL_S)
        raise AssertionError(f"{what}: not in {PATIENCE_S} s\n{status_of(self.home)}{self.logs()}")

    def logs(self) -> str:
        """What the children wrote, the end of it."""
        texts = [
            f"--- {path.name}\n{path.read_text()[-2000:]}"
            for path in sorted(self.home.directory.glob("*.log"))
            if path.stat().st_size
        ]
        return "\n".join(texts[-6:])  # fmt: skip


@contextmanager
def lineage(home: Home) -> Iterator[Lineage]:
    line = Lineage(home)
    try:
        line.begin()
        yield line
    finally:
        for life in line.lives.values():
            life.process.kill()
            life.process.join()


def status_of(home: Home) -> dict[str, Any] | None:
    """Ask the sidecar for its status; None while it does not answer."""
    return _ask(home, "GET", "/v1/status")


def _ask(home: Home, method: str, path: str, body: object = None) -> Any:
    encoded = None if body is None else msgspec.json.encode(body)
    try:
        return msgspec.json.decode(ask(home.workspace, method, path, encoded, timeout_s=5.0))
    except ConductorError:
        return None


def redrive(home: Home, pid: int) -> None:
    """Redrive all dead letters; they come back soon."""
    del pid
    _ask(home, "POST", "/v1/dead-letters/redrive", {"all": True})


def drop(home: Home, pid: int) -> None:
    """Drop all dead letters."""
    del pid
    _ask(home, "POST", "/v1/dead-letters/drop", {"all": True})


def stop_when_busy(home: Home, pid: int) -> None:
    """Begin a clean stop while there is something to do."""
    status = status_of(home)
    if status is not None and status["lanes"]["jobs"] > 0:
        os.kill(pid, signal.SIGTERM)


def sooner_or_later(random: Random, least_s: float = 0.0, most_s: float = 0.8) -> Push:
    """Kill at a random time after the start."""
    delay_s, due = random.uniform(least_s, most_s), 0.0

    def push(home: Home, pid: int) -> None:
        nonlocal due
        del home
        due = due or time.monotonic() + delay_s
        if time.monotonic() >= due:
            with suppress(ProcessLookupError):  # dead already; `_bury` asks of what
                os.kill(pid, signal.SIGKILL)

    return push
