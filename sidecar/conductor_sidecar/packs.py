"""Packs brought to life: contexts, subscribers and policies from a registry.

Promise: what a pack gets is built once per load, and the same for built-in and foreign packs.
Refusal: it finds and validates no pack; the registry did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor_handlers.contexts import DaemonContext, PackKeys, PackSyncPort
from conductor_handlers.errors import describe
from conductor_handlers.ports import ClaimStore, Publisher
from conductor_handlers.registry import LoadedPack, Registry
from conductor_handlers.settlement import RetryPolicy
from conductor_handlers.subscribers import Routes, Subscriber
from conductor_handlers.toolhost.host import ToolHost
from conductor_handlers.toolhost.pack_tools import PackTools
from conductor_handlers.toolhost.records import PackRoom
from conductor_protocol.backpressure import Policy
from conductor_protocol.messages import PackNotice
from conductor_sdk.clock import Clock
from conductor_sdk.context import PackContext
from conductor_sdk.handler import Subscription
from conductor_sdk.pack_errors import PackContextFailed, PackRefused
from conductor_sdk.payload import payload_converter
from conductor_sdk.storage import SqliteStorage
from conductor_sidecar.feed import Feed
from conductor_sidecar.logs import get_logger
from conductor_sidecar.pack_journal import PackJournal
from conductor_sidecar.ports import Journal
from conductor_sidecar.report import PackReport
from conductor_sidecar.settings import DispatchSection, Settings

RESTART_FIRST_S = 1.0
RESTART_CAP_S = 60.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every pack's context is built from."""

    store: ClaimStore
    publisher: Publisher
    journal: Journal
    clock: Clock
    feed: Feed
    subject: str
    workspace: Path
    pack_db: Callable[[str], Path]
    max_event_bytes: int


class BoundPacks:
    """The loaded packs of one daemon."""

    def __init__(self, registry: Registry, around: Surroundings, settings: Settings) -> None:
        self._around = around
        self._storages: dict[str, SqliteStorage] = {}
        self._tools: dict[str, PackTools] = {}
        self._contexts = {pack.slug: self._context(pack, settings) for pack in registry.packs}
        own, failed = _own_contexts(registry, self._contexts)
        self.registry = registry.without(failed) if failed else registry
        self.routes: Routes = self._routes(settings.dispatch, own)
        self.rooms: Mapping[str, PackRoom] = {
            slug: PackRoom(self._contexts[slug], of_pack) for slug, of_pack in own.items()
        }
        """What the tools of each pack run in, by slug."""
        every = frozenset(kind for pack in self.registry.packs for kind in pack.emits)
        self.sync_port = PackSyncPort(
            every, around.subject, around.publisher, around.clock, around.max_event_bytes
        )
        """For pushes from other processes: the kinds of all packs."""

    def attach(self, host: ToolHost) -> None:
        """Open `ctx.tools` of every pack; before that a call is answered as unavailable."""
        for tools in self._tools.values():
            tools.attach(host)

    def policy_of(self, kind: str) -> Policy:
        """Return the policy of an outbound kind; kinds without one are queued."""
        return self.registry.policy(kind) or "queue"

    def notices(self) -> list[PackNotice]:
        """Return what the conductor is told of the packs."""
        return [
            PackNotice(pack.slug, pack.version, list(pack.emits), list(pack.subscribes))
            for pack in self.registry.packs
        ]

    async def run(self) -> None:
        """Run the packs' background tasks until cancelled; one that fails is started again."""
        async with asyncio.TaskGroup() as group:
            for pack in self.registry.packs:
                if pack.pack.background is not None:
                    name = f"pack.{pack.slug}"
                    group.create_task(self._background(pack), name=name)

    async def prune(self, older_than_ms: int) -> None:
        """Forget replay keys in the packs' own storages."""
        for storage in self._storages.values():
            forgotten = 1
            while forgotten:
                forgotten = await storage.prune(older_than_ms)

    async def close(self) -> None:
        """Close the packs' storages."""
        for storage in self._storages.values():
            await storage.close()

    def _context(self, pack: LoadedPack, settings: Settings) -> DaemonContext:
        around, slug = self._around, pack.slug
        storage = SqliteStorage(around.pack_db(slug), clock=around.clock)
        self._storages[slug] = storage
        tools = self._tools[slug] = PackTools(slug)
        return DaemonContext(
            slug=slug, subject=around.subject, workspace=around.workspace,
            config=pack_config(pack, settings),
            sync_port=PackSyncPort(
                frozenset(pack.emits), around.subject, around.publisher, around.clock,
                around.max_event_bytes,
            ),
            replay_log=PackKeys(slug, around.store), journal=PackJournal(slug, around.journal),
            storage=storage, tools=tools, clock=around.clock, log=get_logger(pack=slug),
        )  # fmt: skip

    def _routes(self, dispatch: DispatchSection, own: Mapping[str, Any]) -> Routes:
        return {
            kind: tuple(
                self._subscriber(slug, subscription, own[slug], dispatch)
                for slug, subscription in self.registry.subscribers(kind)
            )
            for kind in self.registry.subscribed_kinds
        }

    def _subscriber(
        self, slug: str, subscription: Subscription, ctx: Any, dispatch: DispatchSection
    ) -> Subscriber:
        policy = RetryPolicy(
            subscription.max_attempts or dispatch.max_attempts,
            dispatch.retry_first_s, dispatch.retry_factor, dispatch.retry_cap_s,
        )  # fmt: skip
        convert = None if subscription.payload is None else payload_converter(subscription.payload)
        return Subscriber(
            slug=slug, handler=subscription.handler, ctx=ctx, policy=policy,
            deadline_s=subscription.deadline_s or dispatch.deadline_s,
            partition_key=subscription.partition_key, convert=convert,
            done_before=self._storages[slug].has,
        )  # fmt: skip

    async def _background(self, pack: LoadedPack) -> None:
        ctx, pause_s = self._contexts[pack.slug], RESTART_FIRST_S
        while pack.pack.background is not None:
            began = self._around.clock.monotonic()
            try:
                await pack.pack.background(ctx)
            except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: the daemon goes on
                text = describe(error)
                get_logger(pack=pack.slug).error("background_failed", error=text)
                self._around.feed.note("background_failed", detail=f"{pack.slug}: {text}")
            else:
                return
            if self._around.clock.monotonic() - began > RESTART_CAP_S:
                pause_s = RESTART_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(RESTART_CAP_S, pause_s * 2)


def pack_config(pack: LoadedPack, settings: Settings) -> Mapping[str, Any]:
    """Return a pack's own section of the configuration."""
    return settings.pack.get(pack.pack.manifest.config_key or pack.slug, {})


def _own_contexts(
    registry: Registry, contexts: Mapping[str, PackContext]
) -> tuple[dict[str, Any], dict[str, PackRefused]]:
    """Wrap each context into the pack's own type; a pack that fails here is refused alone."""
    own: dict[str, Any] = {}
    failed: dict[str, PackRefused] = {}
    for pack in registry.packs:
        try:
            own[pack.slug] = pack.pack.context(contexts[pack.slug])
        except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
            problem = PackContextFailed(f"{pack.slug}: {describe(error)}", value=pack.slug)
            get_logger(pack=pack.slug).error("pack_refused", error=problem.message)
            failed[pack.slug] = problem
    return own, failed


def pack_reports(registry: Registry) -> list[PackReport]:
    """Return what is loaded, refused and disabled, for `status` and `packs`."""
    loaded = [
        PackReport(
            pack.slug, pack.version, "loaded", pack.source, list(pack.emits), list(pack.subscribes)
        )
        for pack in registry.packs
    ]
    refused = [
        PackReport(pack.name, "", "refused", pack.source,
                   problems=[problem.as_json() for problem in pack.problems])
        for pack in registry.refused
    ]  # fmt: skip
    disabled = [PackReport(p.name, "", "disabled", p.source) for p in registry.disabled]
    return [*loaded, *refused, *disabled]
