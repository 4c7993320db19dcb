"""Packs brought to life: contexts, subscribers and policies from a registry.

Promise: what a pack gets is built once per load, and the same for built-in and foreign packs; a
new load is bound whole beside the present one before it takes its place. Refusal: it finds and
validates no pack; the registry did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from conductor_handlers.traced import EventLog
from conductor_protocol.backpressure import Policy
from conductor_protocol.messages import PackNotice
from conductor_sdk.clock import Clock
from conductor_sdk.context import PackContext, PushReceipt
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Subscription
from conductor_sdk.pack_errors import PackContextFailed, PackRefused
from conductor_sdk.payload import payload_converter
from conductor_sdk.storage import SqliteStorage
from conductor_sidecar.feed import Feed
from conductor_sidecar.logs import get_logger
from conductor_sidecar.pack_journal import PackJournal
from conductor_sidecar.pack_tasks import PackTasks
from conductor_sidecar.ports import Journal
from conductor_sidecar.report import PackReport
from conductor_sidecar.settings import DispatchSection, Settings


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


@dataclass(frozen=True, slots=True)
class BoundPack:
    """One pack with everything that it is given."""

    pack: LoadedPack
    config: Mapping[str, Any]
    """Its own section of the configuration."""
    context: DaemonContext
    own: Any
    """The context as the pack wraps it."""
    keys: PackKeys
    storage: SqliteStorage
    tools: PackTools

    def same(self, pack: LoadedPack, config: Mapping[str, Any]) -> bool:
        """Tell whether this is what a pack and its section would be bound to again."""
        return self.pack.pack.manifest == pack.pack.manifest and self.config == config


@dataclass(frozen=True, slots=True)
class Load:
    """The packs of one load, bound; it changes no more."""

    registry: Registry
    bound: Mapping[str, BoundPack]
    """By slug."""
    routes: Routes
    sync_port: PackSyncPort
    """For pushes from other processes: the kinds of all packs."""

    @property
    def rooms(self) -> Mapping[str, PackRoom]:
        """What the tools of each pack run in, by slug."""
        return {slug: PackRoom(one.context, one.own) for slug, one in self.bound.items()}


class BoundPacks:
    """The loaded packs of one daemon: one load after another takes its place here."""

    def __init__(self, registry: Registry, around: Surroundings, settings: Settings) -> None:
        self._around = around
        self._host: ToolHost | None = None
        self.load = Load(Registry(), {}, {}, self._port(Registry()))
        self.load = self.prepare(registry, settings)
        self._tasks = PackTasks(around.clock, around.feed)

    @property
    def registry(self) -> Registry:
        """What is loaded now."""
        return self.load.registry

    @property
    def routes(self) -> Routes:
        """Who handles which kind now."""
        return self.load.routes

    @property
    def workspace(self) -> Path:
        """The workspace's root."""
        return self._around.workspace

    @property
    def rooms(self) -> Mapping[str, PackRoom]:
        """What the tools of each pack run in now, by slug."""
        return self.load.rooms

    async def push_kernel_events(
        self, events: Sequence[KernelEvent | Mapping[str, Any]]
    ) -> list[PushReceipt]:
        """Push events from another process: those of any pack that is loaded now."""
        return await self.load.sync_port.push_kernel_events(events)

    def attach(self, host: ToolHost) -> None:
        """Open `ctx.tools` of every pack; before that a call is answered as unavailable."""
        self._host = host
        for one in self.load.bound.values():
            one.tools.attach(host)

    def policy_of(self, kind: str) -> Policy:
        """Return the policy of an outbound kind; kinds without one are queued."""
        return self.registry.policy(kind) or "queue"

    def notices(self) -> list[PackNotice]:
        """Return what the conductor is told of the packs."""
        return [
            PackNotice(pack.slug, pack.version, list(pack.emits), list(pack.subscribes))
            for pack in self.registry.packs
        ]

    def prepare(self, registry: Registry, settings: Settings) -> Load:
        """Bind the packs of a registry beside those that run; nothing changes by that.

        A pack whose manifest and section are as they were stays as it is bound; one of which
        they are not keeps its storage and its replay keys.
        """
        bound: dict[str, BoundPack] = {}
        failed: dict[str, PackRefused] = {}
        for pack in registry.packs:
            try:
                bound[pack.slug] = self._bound(pack, pack_config(pack, settings))
            except PackRefused as problem:
                get_logger(pack=pack.slug).error("pack_refused", error=problem.message)
                failed[pack.slug] = problem
        registry = registry.without(failed) if failed else registry
        routes = self._routes(registry, settings.dispatch, bound)
        return Load(registry, bound, routes, self._port(registry))

    def adopt(self, load: Load) -> None:
        """Put a load in the place of the present one."""
        self.load = load
        if self._host is not None:
            self.attach(self._host)

    async def succeed(self, before: Load) -> None:
        """End the background tasks of a load that was replaced, and begin the new ones."""
        ended = [slug for slug, one in before.bound.items() if self.load.bound.get(slug) is not one]
        await self._tasks.end(ended)
        self._tasks.begin(self.load.bound.values())

    async def retire(self, before: Load) -> None:
        """Close the storages of packs that are gone."""
        for slug, one in before.bound.items():
            if slug not in self.load.bound:
                await one.storage.close()

    async def run(self) -> None:
        """Run the packs' background tasks until cancelled; one that fails is started again."""
        await self._tasks.run(self.load.bound.values())

    async def prune(self, older_than_ms: int) -> None:
        """Forget replay keys in the packs' own storages."""
        for one in list(self.load.bound.values()):
            forgotten = 1
            while forgotten and self.load.bound.get(one.pack.slug, one).storage is one.storage:
                forgotten = await one.storage.prune(older_than_ms)

    async def close(self) -> None:
        """Close the packs' storages."""
        for one in self.load.bound.values():
            await one.storage.close()

    def _port(self, registry: Registry) -> PackSyncPort:
        every = frozenset(kind for pack in registry.packs for kind in pack.emits)
        around = self._around
        return PackSyncPort(
            every, around.subject, around.publisher, around.clock, around.max_event_bytes
        )

    def _bound(self, pack: LoadedPack, config: Mapping[str, Any]) -> BoundPack:
        around, slug = self._around, pack.slug
        known = self.load.bound.get(slug)
        if known is not None and known.same(pack, config):
            return known
        if known is None:
            keys, tools = PackKeys(slug, around.store), PackTools(slug)
            storage = SqliteStorage(around.pack_db(slug), clock=around.clock)
        else:
            keys, tools, storage = known.keys, known.tools, known.storage
        context = DaemonContext(
            slug=slug, subject=around.subject, workspace=around.workspace, config=config,
            sync_port=PackSyncPort(
                frozenset(pack.emits), around.subject, around.publisher, around.clock,
                around.max_event_bytes,
            ),
            replay_log=keys, journal=PackJournal(slug, around.journal),
            storage=storage, tools=tools, clock=around.clock,
            log=EventLog(get_logger(pack=slug)),
        )  # fmt: skip
        return BoundPack(pack, config, context, _own(pack, context), keys, storage, tools)

    def _routes(
        self, registry: Registry, dispatch: DispatchSection, bound: Mapping[str, BoundPack]
    ) -> Routes:
        return {
            kind: tuple(
                _subscriber(bound[slug], subscription, dispatch)
                for slug, subscription in registry.subscribers(kind)
            )
            for kind in registry.subscribed_kinds
        }


def _subscriber(
    bound: BoundPack, subscription: Subscription, dispatch: DispatchSection
) -> Subscriber:
    policy = RetryPolicy(
        subscription.max_attempts or dispatch.max_attempts,
        dispatch.retry_first_s, dispatch.retry_factor, dispatch.retry_cap_s,
    )  # fmt: skip
    convert = None if subscription.payload is None else payload_converter(subscription.payload)
    return Subscriber(
        slug=bound.pack.slug, handler=subscription.handler, ctx=bound.own, policy=policy,
        deadline_s=subscription.deadline_s or dispatch.deadline_s,
        partition_key=subscription.partition_key, convert=convert,
        done_before=bound.storage.has,
    )  # fmt: skip


def pack_config(pack: LoadedPack, settings: Settings) -> Mapping[str, Any]:
    """Return a pack's own section of the configuration."""
    return settings.pack.get(pack.pack.manifest.config_key or pack.slug, {})


def _own(pack: LoadedPack, context: PackContext) -> Any:
    """Wrap a context into the pack's own type.

    Raises:
        PackContextFailed: The pack failed at that.
    """
    try:
        return pack.pack.context(context)
    except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
        text = f"{pack.slug}: {describe(error)}"
        raise PackContextFailed(text, value=pack.slug) from None


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
