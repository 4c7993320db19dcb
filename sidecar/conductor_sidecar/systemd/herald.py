"""Tells the service manager how the daemon is: ready, reloading, stopping, moving.

Promise: what could not be said at once is said at the next look, in order; the watchdog is fed
while every local part moves and not otherwise; without a service manager the same calls do
nothing but look. Refusal: it decides nothing (`watchdog` does) and asks no conductor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from typing import Self

from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sidecar.health.progress import LocalProgress, Verdict, Work
from conductor_sidecar.logs import get_logger
from conductor_sidecar.systemd import notify
from conductor_sidecar.systemd.notify import Notifier
from conductor_sidecar.systemd.watchdog import feed_every_s

LOOK_S = 5.0
"""Seconds between two looks where no watchdog asks for more: health is asked all the same."""
STORE_PATIENCE_S = 30.0
"""Seconds that a store's thread may be busy with one commit: a slow disk is not a stuck one."""
UNSAID_MAX = 64
"""Messages that wait for a manager that takes none; later ones are dropped."""
DISPATCH_GRACE_S = 30.0
"""Seconds beyond the longest deadline of a handler."""

Probe = Callable[[], Awaitable[object]]


class Herald:
    """One for the daemon's life."""

    def __init__(self, notifier: Notifier, clock: Clock, *, every_s: float | None = None) -> None:
        self._notifier = notifier
        self._clock = clock
        self._feeds = every_s is not None
        self._every_s = LOOK_S if every_s is None else min(every_s, LOOK_S)
        self._unsaid: list[tuple[str, ...]] = []
        self._how = "running"
        self._progress: LocalProgress | None = None
        self._log = get_logger(part="service")
        self.verdict = Verdict()
        """What the last look said; for health."""

    @classmethod
    def take(cls, environ: MutableMapping[str, str], clock: Clock) -> Self:
        """Use what the environment says, and leave it to no child process."""
        usec, pid = environ.pop("WATCHDOG_USEC", None), environ.pop("WATCHDOG_PID", None)
        every_s = feed_every_s(usec, pid, os.getpid())
        return cls(Notifier.take(environ), clock, every_s=every_s)

    @property
    def managed(self) -> bool:
        """Whether a service manager listens."""
        return self._notifier.listening

    def starting(self, what: str, *, within_s: float) -> None:
        """Say what a long start is at, and that it needs so many seconds from now."""
        self._say(notify.extend_timeout(within_s), notify.status(what))

    def ready(self, what: str = "running") -> None:
        """Say that the daemon has started, or has ended a reload, whatever became of it."""
        self._how = what
        self._say(notify.ready(), notify.status(what))

    def status(self, what: str) -> None:
        """Say in a line how it goes."""
        self._how = what
        self._say(notify.status(what))

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        self._say(notify.reloading(self._clock.monotonic()), notify.status("reloading"))

    def stopping(self, within_s: float) -> None:
        """Say that the daemon stops, and that it may take so many seconds."""
        self._how = f"draining, at most {within_s:g} s"
        status = notify.status(self._how)
        self._say(notify.stopping(), notify.extend_timeout(within_s), status)

    def patient(self, deadline_s: float) -> None:
        """Take note that the longest deadline of a handler is another one now."""
        if self._progress is not None:
            self._progress.patient(deadline_s + DISPATCH_GRACE_S)

    @contextlib.asynccontextmanager
    async def watching(
        self, stores: Mapping[str, Probe], work: Callable[[], Work], *, deadline_s: float
    ) -> AsyncGenerator[None]:
        """Look at the parts, and feed the watchdog, for the length of a block.

        Args:
            stores: A cheap read of each store, by its name; it must run on the store's thread.
            work: What the dispatcher shows.
            deadline_s: The longest deadline of a handler; see `patient`.
        """
        patience = dict.fromkeys(stores, STORE_PATIENCE_S)
        progress = LocalProgress(patience, dispatcher_s=deadline_s + DISPATCH_GRACE_S)
        self._progress = progress
        tasks = [
            asyncio.create_task(self._ask(progress, name, probe), name=f"watchdog.{name}")
            for name, probe in stores.items()
        ]
        tasks.append(asyncio.create_task(self._watch(progress, work), name="watchdog"))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Let go of the manager's socket. Idempotent."""
        self._notifier.close()

    async def _ask(self, progress: LocalProgress, name: str, probe: Probe) -> None:
        while True:
            progress.asked(name, self._clock.monotonic())
            with contextlib.suppress(ConductorError):
                await probe()
            progress.answered(name)
            await asyncio.sleep(self._every_s)

    async def _watch(self, progress: LocalProgress, work: Callable[[], Work]) -> None:
        planned = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            progress.worked(work(), now)
            self._look(progress.verdict(now, lag_s=max(0.0, now - planned)))
            planned = now + self._every_s
            await asyncio.sleep(self._every_s)

    def _look(self, verdict: Verdict) -> None:
        was, self.verdict = self.verdict, verdict
        if was.moves != verdict.moves:
            self._report(verdict)
        self._say()
        if self._feeds and verdict.moves:
            self._notifier.send(notify.watchdog())

    def _report(self, verdict: Verdict) -> None:
        names = ", ".join(stuck.part for stuck in verdict.stuck)
        if verdict.moves:
            self._log.info("moves_again")
            self._say(notify.status(self._how))
        else:
            self._log.error("stuck", parts=names, watchdog="not fed" if self._feeds else "none")
            self._say(notify.status(f"stuck: {names}"))

    def _say(self, *lines: str) -> None:
        if lines and self._notifier.listening and len(self._unsaid) < UNSAID_MAX:
            self._unsaid.append(lines)
        while self._unsaid and self._notifier.send(*self._unsaid[0]):
            self._unsaid.pop(0)
