"""Reloading, whoever asks: a signal or the control socket.

Promise: one at a time; it is in force as a whole or not at all, the journal has an entry of what
changed, and a service manager is told when it begins and when it is over, whatever became of it.
Refusal: code is not loaded again; that a restart is needed for it is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from conductor_sdk.errors import ConductorError
from conductor_sidecar.config import Configuration
from conductor_sidecar.logs import get_logger
from conductor_sidecar.reload.errors import ReloadBusy, ReloadFailed
from conductor_sidecar.reload.plan import Force, Plan, Planner
from conductor_sidecar.reload.report import ReloadReport, facts
from conductor_sidecar.reload.swap import Swap
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.settings import Settings
from conductor_sidecar.systemd.herald import Herald


def _nothing(_: Settings) -> None:
    return


@dataclass(frozen=True, slots=True)
class Reloading:
    """Where a daemon's configuration comes from, and who else must know of a new one."""

    configuration: Configuration
    """As the daemon was started with it."""
    read: Callable[[], Configuration]
    """Reads it anew; may raise a ConductorError."""
    applied: Callable[[Settings], None] = _nothing
    """Is told of settings that are in force now."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to ask for a reload; while one runs, for one more."""

    @classmethod
    def fixed(cls, settings: Settings) -> Reloading:
        """Return what a daemon without files has: packs may change, settings do not."""
        configuration = Configuration(settings, {})
        return cls(configuration, lambda: configuration)


class Reloader:
    """One for the daemon's life; `run` as a task."""

    def __init__(
        self, daemon: Daemon, parts: Parts, planner: Planner, swap: Swap, herald: Herald,
        reloading: Reloading,
    ) -> None:  # fmt: skip
        self._daemon = daemon
        self._parts = parts
        self._planner = planner
        self._swap = swap
        self._herald = herald
        self._reloading = reloading
        self._force: Force | None = None
        self._running = False
        self._log = get_logger(part="reload")

    async def run(self) -> None:
        """Serve requests by signal until cancelled."""
        await self._daemon.ready.wait()
        await self._planner.measure()
        while True:
            await self._reloading.asked.wait()
            self._reloading.asked.clear()
            try:
                await self.reload()
            except ConductorError:
                continue  # it is logged, and what ran goes on

    async def reload(self, *, dry_run: bool = False) -> ReloadReport:
        """Take over what the files say now.

        Raises:
            ReloadBusy: One runs already, or the daemon starts or stops.
            ConductorError: It cannot be taken over; everything goes on as it was.
        """
        if self._running or self._daemon.stopping or not self._daemon.ready.is_set():
            why = "a reload is running" if self._running else "it is starting or stopping"
            raise ReloadBusy(why)
        self._running = True
        status = "running"
        if not dry_run:
            self._herald.reloading()
        try:
            return await self._reload(dry_run=dry_run)
        except ConductorError as error:
            status = f"running; reload refused: {error.code}"
            self._refused(error)
            raise
        except Exception as error:
            failed = ReloadFailed(f"{type(error).__name__}: {error}")
            status = f"running; reload refused: {failed.code}"
            self._refused(failed)
            raise failed from error
        finally:
            self._running = False
            if not dry_run:
                self._herald.ready(status)

    async def _reload(self, *, dry_run: bool) -> ReloadReport:
        now = self._force = self._force or await self._in_force()
        plan = await self._planner.plan(now)
        restart = not all(change.live for change in plan.changes)
        if dry_run or not plan.changes:
            return ReloadReport("planned" if dry_run else "unchanged", plan.changes, restart)
        told: bool | None = None
        if any(change.live for change in plan.changes):
            told = await self._take(plan, now)
            await self._journal(plan)
        self._log.info("reloaded", changes=len(plan.changes), restart_needed=restart)
        return ReloadReport("applied", plan.changes, restart, told)

    async def _take(self, plan: Plan, now: Force) -> bool | None:
        """Go over; returns whether the conductor was told, None if there is nothing to tell."""
        notices = self._parts.packs.notices()
        try:
            await self._swap.to(plan.force, now, now.settings.reload.timeout_s)
        except ConductorError as error:
            error.data = {**facts(plan.changes), **error.data}
            raise
        self._force = plan.force
        self._herald.patient(self._daemon.longest_deadline_s)
        self._reloading.applied(plan.force.settings)
        await self._swap.settle(plan.force, now)
        if self._parts.packs.notices() == notices:
            return None
        return await self._tell(plan.force.settings.reload.timeout_s)

    async def _tell(self, timeout_s: float) -> bool:
        """Say hello again, over a link that takes the place of the open one."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._parts.keeper.renew()
        except TimeoutError:
            return False

    async def _journal(self, plan: Plan) -> None:
        try:
            await self._parts.desk.journal.append("RELOADED", "operator", facts(plan.changes))
        except ConductorError as error:
            # It is in force; taking it back because a disk is full would help nobody.
            self._parts.feed.failed(error)
            self._log.warning("reload_not_journaled", code=error.code)

    async def _in_force(self) -> Force:
        load = self._parts.packs.load
        # What is offered, not what would be now: files in the workspace may have changed since.
        catalogue = self._parts.tools.host.offered
        await asyncio.to_thread(lambda: catalogue.tools)
        return Force(self._reloading.configuration, load, catalogue)

    def _refused(self, error: ConductorError) -> None:
        self._parts.feed.failed(error)
        self._log.error("reload_refused", code=error.code, error=error.message, next=error.hint)
