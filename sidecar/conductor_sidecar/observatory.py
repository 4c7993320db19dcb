"""Where the daemon is watched from: health and metrics, put together from its parts.

Promise: probes and scrapes answer for as long as the surfaces do, a drain included. Refusal:
nothing is judged or measured here, and no request is answered; `http.watch_routes` does that.
"""

from __future__ import annotations

import msgspec

from conductor_sdk.workspace import Workspace
from conductor_sidecar.health.answers import Code, Health
from conductor_sidecar.health.examiner import Examiner
from conductor_sidecar.health.verdicts import LanesView, Phase
from conductor_sidecar.logs import tell_suppressed
from conductor_sidecar.report import StatusReport
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.scraping import Scraper
from conductor_sidecar.stores import Stores
from conductor_sidecar.systemd.herald import Herald

_REFUSALS = frozenset({Code.DISK_FULL, Code.STORE_FAILING})


class Observatory:
    """One for the daemon's life; enter `examiner.looking()` while it runs."""

    def __init__(
        self, workspace: Workspace, stores: Stores, daemon: Daemon, parts: Parts, herald: Herald
    ) -> None:
        self._daemon = daemon
        self._parts = parts
        self._herald = herald
        self.examiner = Examiner(
            parts.keeper, parts.clock, phase=self._phase, progress=lambda: herald.verdict,
            lanes=self._lanes, stores=stores.vitals,
        )  # fmt: skip
        self._refused = False
        self.examiner.lagged = self._lagged
        self.examiner.changed = self._told
        files = {file.name: file for file in (workspace.sidecar_db, workspace.journal_db)}
        self.scraper = Scraper(daemon, parts, self.examiner, stores.vitals, files)

    @property
    def open_metrics(self) -> bool:
        """Whether /metrics over TCP needs no token."""
        return self._parts.settings.metrics.open

    async def status(self) -> StatusReport:
        """Return the daemon's status with its health."""
        report = await self._daemon.report()
        return msgspec.structs.replace(report, health=self.examiner.report())

    def _phase(self) -> Phase:
        if self._daemon.stopping:
            return "draining"
        return "running" if self._daemon.ready.is_set() else "starting"

    def _lanes(self) -> LanesView:
        parts = self._parts
        return LanesView(parts.downlink.backlog, parts.settings.dispatch.window)

    def _lagged(self, seconds: float) -> None:
        """Once a second."""
        self._parts.tallies.loop_lag.add(seconds)
        tell_suppressed()

    def _told(self, ready: Health) -> None:
        """Say it in the line that a service manager shows; a store that is well again wants a link.

        A link that ended because a store refused is tried again at once, not when its wait is over.
        """
        refused, self._refused = self._refused, not _REFUSALS.isdisjoint(ready.codes)
        keeper = self._parts.keeper
        if refused and not self._refused and keeper.report().reason.startswith("STORE_"):
            keeper.hurry()
        if self._phase() == "running":
            reasons = ", ".join(ready.codes)
            self._herald.status("running" if ready.ok else f"running, not ready: {reasons}")
