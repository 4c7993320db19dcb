"""The conductor of a world: the real hub on the memory history, with restarts and losses.

What it was given to send and what it was sent outlive it; both are what a verdict compares.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from conductor_sdk.clock import Clock
from conductor_sdk.records import Outgoing
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_server.settings import HubSettings
from conductor_state.history_records import HistoryRecords
from conductor_state.memory.history import MemoryHistory
from simworld.life import LIFE, Life
from simworld.net import End, Net
from simworld.trace import Trace

SUBJECT = "sim-ws"
SETTINGS = HubSettings(beat_s=5.0, hello_s=5.0, close_s=1.0, drain_s=1.0, page_events=16)
RECORDS = HistoryRecords(HistoryEvent, Anchor, TokenRecord)
EVERYTHING = 1_000_000_000
History: TypeAlias = MemoryHistory[HistoryEvent, Anchor, TokenRecord]


@dataclass(frozen=True)
class Sent:
    """One event, where it first stood."""

    event_id: str
    kind: str
    lane: str
    n: int
    epoch: int
    """Number of the history, from 0."""
    sequence: int


class SimConductor:
    """Comes and goes; its histories stay until they are lost."""

    def __init__(self, net: Net, clock: Clock, trace: Trace) -> None:
        self._net = net
        self._clock = clock
        self._trace = trace
        self.histories: list[History] = [MemoryHistory(RECORDS, clock=clock)]
        self.sent: dict[str, Sent] = {}
        self.again: set[str] = set()
        """Ids that were sent more than once."""
        self.acked: set[str] = set()
        """Ids that the sidecar has acknowledged: the conductor has forgotten them."""
        self.malformed = 0
        self.forgotten = 0
        """Times that a history was lost, or lost its beginning."""
        self.life: Life | None = None
        self.hub: EmbeddedConductor | None = None
        self._lives = 0

    @property
    def history(self) -> History:
        """The present one."""
        return self.histories[-1]

    def start(self) -> None:
        """Listen."""
        self._lives += 1
        life = self.life = Life(f"conductor {self._lives}", self._trace)
        hub = self.hub = EmbeddedConductor(self.history, self._clock, SETTINGS)

        def accept(end: End) -> None:
            token = LIFE.set(life)
            try:
                asyncio.get_running_loop().create_task(self._attend(hub, end))
            finally:
                LIFE.reset(token)

        self._net.accept, self._net.listener = accept, life
        self._trace.add("conductor", f"starts {self._lives}")

    async def _attend(self, hub: EmbeddedConductor, end: End) -> None:
        await self._trim(hub)
        await hub.attach(end, SUBJECT)

    async def _trim(self, hub: EmbeddedConductor) -> None:
        """Keep nothing that was acknowledged: whoever acknowledges has it, or it is lost."""
        live = await hub.workspace(SUBJECT)
        kept = await self.history.read(SUBJECT, 0, EVERYTHING, EVERYTHING)
        self.acked |= {event.event_id for event in kept if event.sequence <= live.acked}
        await self.history.forget(SUBJECT, live.acked)

    async def crash(self, *, power: bool = False) -> None:
        """Vanish."""
        if self.life is not None:
            life, self.life, self.hub = self.life, None, None
            self._net.accept = self._net.listener = None
            life.cut_power = power
            life.die("crashes")
            await life.bury()

    async def close(self) -> None:
        """Say goodbye to everybody and end."""
        if self.hub is not None:
            self._net.accept = self._net.listener = None
            await self._aside(self.hub.close())
            await self.crash()

    async def drain(self, retry_after_s: float) -> None:
        """Ask everybody to come back later."""
        if self.hub is not None:
            await self._aside(self.hub.drain(retry_after_s))

    async def _aside(self, work: object) -> None:
        """Run a command of the conductor's own, which its death ends."""
        life = self.life
        assert life is not None
        token = LIFE.set(life)
        try:
            task = asyncio.ensure_future(work)  # type: ignore[call-overload]  # a coroutine
        finally:
            LIFE.reset(token)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})

    async def send(self, events: Sequence[tuple[Outgoing, str, int]], *, again: bool) -> None:
        """Append events with their lanes and numbers; durable at once."""
        outgoing = [event for event, _, _ in events]
        if self.hub is not None:
            places = [each.sequence for each in
                      await self.hub.append(SUBJECT, outgoing, again=again)]  # fmt: skip
        else:
            places = await self.history.append(SUBJECT, outgoing, again=again)
        epoch = len(self.histories) - 1
        for (event, lane, n), place in zip(events, places, strict=True):
            if not event.kind:
                self.malformed += 1
            elif event.event_id in self.sent:
                self.again.add(event.event_id)
            else:
                self.sent[event.event_id] = Sent(event.event_id, event.kind, lane, n, epoch, place)

    async def lose(self) -> None:
        """Lose the history: while nothing runs."""
        assert self.hub is None
        self.histories.append(MemoryHistory(RECORDS, clock=self._clock))
        self.forgotten += 1
        self._trace.add("history", "lost")

    async def forget(self, share: float) -> None:
        """Lose the beginning of the history, read or not."""
        first, last = await self.history.bounds(SUBJECT)
        through = first + int((last - first) * share)
        if await self.history.forget(SUBJECT, through):
            self.forgotten += 1
            self._trace.add("history", f"forgets up to {through}")
