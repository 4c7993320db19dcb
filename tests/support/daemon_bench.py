"""A whole daemon on in-memory twins: everything of `wiring.build_daemon` but the files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from conductor_handlers.dispatcher import DispatchSettings
from conductor_handlers.registry import load_registry
from conductor_handlers.toolhost.ports import OpenCall
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_sdk.pack import Pack
from conductor_sidecar.approval_pack import approval_pack
from conductor_sidecar.delivery.keeper import Keeper
from conductor_sidecar.packs import BoundPacks, Surroundings
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.settings import Settings
from conductor_sidecar.stores import Stores
from conductor_sidecar.tools import build_tools
from conductor_state.memory.approvals import MemoryApprovals
from conductor_state.memory.dead_letters import MemoryDeadLetters
from conductor_state.memory.tool_results import MemoryToolResults
from link_bench import SUBJECT, Conductor, LinkBench


async def _no_head() -> None:
    return None


class _NoCalls:
    """A history without calls."""

    async def open_calls(self) -> list[OpenCall]:
        return []

    async def look_on(self) -> None:
        return None


class DaemonBench(LinkBench):
    """A daemon with given packs, and the conductor that it will find."""

    def __init__(
        self, directory: Path, packs: Sequence[Pack], settings: Settings, *, window: int = 64,
        own_packs: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(window=window)
        self.settings = settings
        self.conductor = Conductor()
        self.stores = Stores(
            self.log, MemoryDeadLetters(self.log), self.outbox, self.journal, MemoryApprovals(),
            MemoryToolResults(), _NoCalls(), self.clock,
        )  # fmt: skip
        self.desk = self.stores.desk
        own = [approval_pack(self.desk.approvals)] if own_packs else []
        registry = load_registry(packs=[*own, *packs], installed=False, approval_providers=["*"])
        assert not registry.refused
        around = Surroundings(
            store=self.log, publisher=self.uplink, journal=self.journal, clock=self.clock,
            feed=self.feed, subject=SUBJECT, workspace=directory,
            pack_db=lambda slug: directory / f"{slug}.db", max_event_bytes=262_144,
        )  # fmt: skip
        self.packs = BoundPacks(registry, around, settings)
        self.tools = build_tools(
            self.packs, self.stores, self.uplink, settings, subject=SUBJECT, clock=self.clock
        )
        self.dispatcher.adopt(self.packs.routes, DispatchSettings())
        self.keeper = Keeper(
            self.conductor.connect, downlink=self.downlink, uplink=self.uplink, feed=self.feed,
            clock=self.clock, backoff=Backoff(BackoffPolicy(first_spread_s=1.0), lambda: 1.0),
            cursor=self.log.cursor, head=_no_head, packs=self.packs.notices, software="test/1",
            adapter="memory", address="memory://home",
        )  # fmt: skip
        self.daemon = Daemon(Parts(
            str(directory), SUBJECT, settings, self.clock, self.desk, self.feed, self.dispatcher,
            self.downlink, self.uplink, self.keeper, None, self.packs, self.tools,
        ))  # fmt: skip
        self.task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Conductor]:
        """Run the daemon; stop it at the end unless it has ended by itself."""
        self.task = asyncio.create_task(self.daemon.run(), name="daemon")
        try:
            yield self.conductor
        finally:
            await self.down()

    async def down(self) -> None:
        self.daemon.stop()
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)

    async def journaled(self) -> list[str]:
        return [entry.event_type for entry in await self.journal.tail()]
