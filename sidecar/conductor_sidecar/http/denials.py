"""Refused requests in the journal: each one is counted, and nobody can fill the disk with them.

Promise: the first denial of a kind is written at once, the following ones of the same minute as one
entry with their number; what is counted is written at the latest when the daemon stops. Refusal:
nothing that a request says is written: no header, no path, no body.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from conductor_handlers.toolhost.ports import Evidence
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.errors import ConductorError
from conductor_sidecar.logs import get_logger

EVENT_TYPE = "HTTP_REQUEST_DENIED"
ACTOR = "sidecar"
WINDOW_S = 60.0
KINDS_MAX = 256
"""Kinds of denials that are told apart; further ones are counted as OTHER."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes two denials alike."""

    reason: str
    """A code; stable, upper snake case."""
    status: int
    """0: the connection was closed without an answer."""
    caller: str = ""
    """The actor of the credential, where there was a valid one."""


@dataclass(slots=True)
class _Tally:
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    due: float = 0.0
    """Monotonic time before which it is not written again."""


class Denials:
    """Counts denials and writes them down."""

    def __init__(
        self, journal: Evidence, clock: Clock, *, surface: str = "http", window_s: float = WINDOW_S
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._surface = surface
        self._window_s = window_s
        self._tallies: dict[Kind, _Tally] = {}
        self._some = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def count(self, kind: Kind) -> None:
        """Count one denial. Written soon, not now: nobody waits for the disk."""
        if kind not in self._tallies and len(self._tallies) >= KINDS_MAX:
            kind = Kind("OTHER", 0)
        tally = self._tallies.setdefault(kind, _Tally())
        tally.last = self._clock.now()
        tally.first = tally.first or tally.last
        tally.count += 1
        self._some.set()

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="http.denials")

    async def stop(self) -> None:
        """Write what was counted, and stop."""
        self._ending = True
        self._some.set()
        if self._task is not None:
            # Not cancelled: a write that is under way would be counted and lost.
            await self._task
        if self._timer is not None:
            self._timer.cancel()
        await self.flush()

    async def flush(self) -> None:
        """Write everything that was counted, due or not."""
        for kind in list(self._tallies):
            await self._write(kind)

    async def _run(self) -> None:
        while not self._ending:
            await self._some.wait()
            self._some.clear()
            await self._write_due()

    async def _write_due(self) -> None:
        loop = asyncio.get_running_loop()
        now, later = loop.time(), float("inf")
        for kind, tally in list(self._tallies.items()):
            if tally.count and tally.due <= now:
                await self._write(kind)
            elif tally.count:
                later = min(later, tally.due)
        if self._timer is not None:
            self._timer.cancel()
        if later != float("inf"):
            self._timer = loop.call_at(later, self._some.set)

    async def _write(self, kind: Kind) -> None:
        tally = self._tallies[kind]
        if not tally.count or tally.first is None or tally.last is None:
            return
        count, payload = tally.count, self._payload(kind, tally.count, tally.first, tally.last)
        tally.due = asyncio.get_running_loop().time() + self._window_s
        tally.count, tally.first = 0, None
        try:
            await self._journal.append(EVENT_TYPE, ACTOR, payload)
        except ConductorError as error:
            # The journal's own part complains loudly; what was counted stays counted.
            tally.count += count
            tally.first = tally.first or tally.last
            self._some.set()
            get_logger(part="http").error("denials_not_written", error=error)

    def _payload(
        self, kind: Kind, count: int, first: datetime, last: datetime
    ) -> dict[str, object]:
        return {
            "surface": self._surface, "reason": kind.reason, "status": kind.status,
            "count": count,
            "first_at": wire_time(first), "last_at": wire_time(last),
            **({"caller": kind.caller} if kind.caller else {}),
        }  # fmt: skip
