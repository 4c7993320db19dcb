"""Looks at the running daemon once a second, and answers whoever asks how it is.

Promise: what is said comes from the last look or from now, never from the conductor's word alone;
a store that refuses is asked to write once a second until it does, so that `disk_full` ends when
the disk has room, busy or not. Refusal: it judges nothing (`verdicts` does) and mends nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from conductor_protocol.effects import CloseCode
from conductor_protocol.liveness import Heard
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sidecar.health.answers import Code, Health, HealthReport, LinkState
from conductor_sidecar.health.progress import Verdict
from conductor_sidecar.health.verdicts import (
    Hearing,
    LanesView,
    LinkView,
    Phase,
    Snapshot,
    StoreView,
    judge,
)
from conductor_sidecar.health.vitals import StoreVitals
from conductor_sidecar.logs import get_logger

LOOK_S = 1.0
"""Seconds between two looks."""


class LinkFacts(Protocol):
    """The link's part of the status."""

    @property
    def state(self) -> LinkState:
        """Where it stands."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not open; a code, then words."""
        ...


class LinkSource(Protocol):
    """What keeps the link."""

    @property
    def heard(self) -> Heard | None:
        """What the open link has heard; None while none is open."""
        ...

    def report(self) -> LinkFacts:
        """Return the link's part of the status."""
        ...


class Examiner:
    """One for the daemon's life; `looking` runs it."""

    def __init__(
        self,
        link: LinkSource,
        clock: Clock,
        *,
        phase: Callable[[], Phase],
        progress: Callable[[], Verdict],
        lanes: Callable[[], LanesView],
        stores: Sequence[StoreVitals] = (),
    ) -> None:
        """Prepare; nothing is looked at yet.

        Args:
            link: What keeps the link.
            clock: The time.
            phase: Where the daemon's life stands.
            progress: What the watchdog's last look said.
            lanes: How much waits for handlers.
            stores: What is asked whether it writes.
        """
        self._link = link
        self._clock = clock
        self._phase = phase
        self._progress = progress
        self._lanes = lanes
        self._stores = stores
        self._hearing = Hearing()
        self._open = False
        self._since = clock.monotonic()
        self._said: Health | None = None
        self._log = get_logger(part="health")
        self.lagged: Callable[[float], None] = _nobody
        """Told how many seconds late each look was: how long something held the event loop."""
        self.changed: Callable[[Health], None] = _unheard
        """Told when what keeps events from flowing has become something else."""

    def report(self) -> HealthReport:
        """Say how it is now."""
        return judge(self.snapshot())

    def look(self) -> None:
        """Take note of what only time tells: deafness, and how long the link is down."""
        now, heard, link = self._clock.monotonic(), self._link.heard, self._link.report()
        if heard is not None:
            self._hearing.beat(head=heard.head, seen=heard.seen, credit=heard.credit, now=now)
        elif not link.reason.startswith(CloseCode.DEAF):
            self._hearing.closed()
        if (link.state == "open") != self._open:
            self._open, self._since = link.state == "open", now
        self._tell(self.report().ready)

    def snapshot(self) -> Snapshot:
        """Return everything that is judged."""
        now, heard, link = self._clock.monotonic(), self._link.heard, self._link.report()
        return Snapshot(
            phase=self._phase(),
            progress=self._progress(),
            link=LinkView(
                state=link.state,
                for_s=now - self._since,
                reason=link.reason,
                heard_s=None if heard is None else max(0.0, now - heard.at),
                behind_s=self._hearing.behind_s(now),
                head=self._hearing.head,
                seen=0 if heard is None else heard.seen,
            ),
            stores=tuple(StoreView(store.name, store.refuses) for store in self._stores),
            lanes=self._lanes(),
        )

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncGenerator[None]:
        """Look for the length of a block."""
        tasks = [asyncio.create_task(self._keep_looking(), name="health")]
        tasks += [
            asyncio.create_task(self._keep_proving(store), name=f"health.{store.name}")
            for store in self._stores
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self.look()
            planned = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.lagged(max(0.0, loop.time() - planned))

    async def _keep_proving(self, store: StoreVitals) -> None:
        # A task for each: a store that hangs must not keep another from being asked.
        while True:
            before = store.failures
            await asyncio.sleep(LOOK_S)
            # One that has just refused is full for somebody: a small write that works says little.
            if store.refuses is not None and store.failures == before:
                with contextlib.suppress(ConductorError):
                    await store.prove()

    def _tell(self, found: Health) -> None:
        if Code.STARTING in found.codes:
            return
        said, self._said = self._said, found
        if said is not None and said.codes == found.codes:
            return
        if not found.ok or said is not None:
            self._log.info("health", state=found.state, reasons=", ".join(found.codes))
        self.changed(found)


def _nobody(seconds: float) -> None:
    """Take no note."""


def _unheard(health: Health) -> None:
    """Take no note."""
