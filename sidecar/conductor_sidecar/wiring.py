"""A daemon put together from its stores: link, packs, tools, both ways.

Promise: everything that runs is made here once and handed to `runtime`. Refusal: nothing runs yet,
no store is named (`app` opens them), and an adapter is found by its name in the configuration.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from conductor_adapters.transport import Adapter, LinkOptions, Transport
from conductor_handlers.dispatcher import Dispatcher, DispatchSettings
from conductor_handlers.registry import Registry
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_protocol.messages import Head, Limits
from conductor_sdk.errors import ConductorError
from conductor_sdk.workspace import Workspace
from conductor_sidecar import __version__
from conductor_sidecar.credentials import Credentials, Identity
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.delivery.fallback import HttpFallback, http_base
from conductor_sidecar.delivery.keeper import Keeper
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.errors import AdapterNotFound
from conductor_sidecar.feed import Feed
from conductor_sidecar.metrics.tallies import Tallies
from conductor_sidecar.packs import BoundPacks, Surroundings
from conductor_sidecar.rotation.assembly import build_rotation
from conductor_sidecar.rotation.files import Held
from conductor_sidecar.rotation.fixed import Turning
from conductor_sidecar.rotation.pusher import PresentPusher, Way, has_http
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.settings import LinkSettings, Settings
from conductor_sidecar.stores import Stores
from conductor_sidecar.tools import build_tools
from conductor_sidecar.tracing.provider import open_tracing

if TYPE_CHECKING:
    from conductor_adapters.http import HttpPusher
    from conductor_sidecar.tracing.pushes import TracedPushes

SOFTWARE = f"conductor-sidecar/{__version__}"


def find_adapter(name: str) -> Adapter:
    """Import an adapter by its entry point.

    Raises:
        AdapterNotFound: None of that name is installed.
    """
    found = {entry.name: entry for entry in metadata.entry_points(group="conductor.adapters")}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise AdapterNotFound(
            f"{name!r}; installed: {known}", hint="set link.adapter to an installed one"
        )
    adapter: Adapter = found[name].load()
    return adapter


def build_daemon(
    workspace: Workspace, settings: Settings, stores: Stores, registry: Registry, *,
    identity: Identity, read_identity: Callable[[], Identity], held: Held | None = None,
) -> tuple[Daemon, Parts]:  # fmt: skip
    """Put a daemon together; nothing runs yet."""
    clock, feed, subject = stores.clock, Feed(stores.clock), identity.subject
    around = _Around(workspace, settings, stores, feed, subject)
    credentials = Credentials(identity, workspace.enrollment, read_identity, feed)
    tracing = open_tracing(settings.traces, subject, clock)
    tracer, pushes = (tracing.tracer, tracing.pushes(feed)) if tracing else (None, None)
    uplink = Uplink(stores.outbox, lambda kind: registry.policy(kind) or "queue", pushes or feed)
    packs = BoundPacks(registry, around.surroundings(uplink), settings)
    tallies = Tallies()
    tools = build_tools(
        packs, stores, uplink, settings, subject=subject, clock=clock, times=tallies.tools
    )
    dispatcher = Dispatcher(
        stores.log, packs.routes, clock, random=random.random, observer=feed,
        settings=DispatchSettings(concurrency=settings.dispatch.concurrency),
        times=tallies.handlers, tracer=tracer,
    )  # fmt: skip
    downlink = Downlink(
        stores.log, dispatcher, stores.journal, clock,
        window=settings.dispatch.window, observer=feed, subject=subject,
        tracer=tracer,
    )  # fmt: skip
    rotation = build_rotation(held, credentials, stores, feed, lambda: parts.settings.link)
    keeper = _keeper(around, downlink, uplink, packs, credentials, rotation, lambda: parts.settings)
    rotation.reconnect = keeper.reconnect
    fallback = _fallback(around, keeper, credentials, lambda: parts.settings.link, pushes)
    parts = Parts(
        workspace.shown, subject, settings, clock, stores.desk, feed, dispatcher, downlink,
        uplink, keeper, fallback, packs, tools, tallies, rotation, tracing,
    )  # fmt: skip
    return Daemon(parts), parts


@dataclass(frozen=True, slots=True)
class _Around:
    workspace: Workspace
    settings: Settings
    stores: Stores
    feed: Feed
    subject: str

    def surroundings(self, uplink: Uplink) -> Surroundings:
        return Surroundings(
            store=self.stores.log, publisher=uplink, journal=self.stores.journal,
            clock=self.stores.clock, feed=self.feed, subject=self.subject,
            workspace=self.workspace.root, pack_db=self.workspace.pack_db,
            max_event_bytes=Limits().max_event_bytes,
        )  # fmt: skip


def _keeper(
    around: _Around, downlink: Downlink, uplink: Uplink, packs: BoundPacks,
    credentials: Credentials, rotation: Turning, in_force: Callable[[], Settings],
) -> Keeper:  # fmt: skip
    link, reconnect = around.settings.link, around.settings.reconnect
    adapter = find_adapter(link.adapter)

    async def connect(moved_to: str | None) -> Transport:
        async def dial(who: Identity) -> Transport:
            options = _options(in_force().link)  # each link is made by the settings of its time
            return await adapter.connect(moved_to or who.address, who.credential, options)

        return await rotation.connect(dial)

    async def head() -> Head | None:
        try:
            return Head(*await around.stores.journal.head())
        except ConductorError as error:
            around.feed.failed(error)
            return None

    policy = BackoffPolicy(first_spread_s=reconnect.first_spread_s, cap_s=reconnect.cap_s)
    return Keeper(
        connect, downlink=downlink, uplink=uplink, feed=around.feed, clock=around.stores.clock,
        backoff=Backoff(policy, random.random), cursor=around.stores.log.cursor, head=head,
        packs=packs.notices, software=SOFTWARE, adapter=link.adapter,
        address=credentials.current().address, changed=credentials.changed,
        welcomed=rotation.opened, rotate=lambda asked: rotation.asked(asked.version, asked.url),
    )  # fmt: skip


def _options(link: LinkSettings) -> LinkOptions:
    return LinkOptions(
        open_timeout_s=link.open_timeout_s, ca_file=link.ca_file, cert_file=link.cert_file,
        key_file=link.key_file, allow_plaintext=link.allow_plaintext,
    )  # fmt: skip


def _fallback(
    around: _Around, keeper: Keeper, credentials: Credentials, link: Callable[[], LinkSettings],
    tracer: TracedPushes | None,
) -> HttpFallback | None:  # fmt: skip
    if not has_http(credentials.present.address):
        return None

    def way() -> Way:
        present, now = credentials.present, link()
        return Way(present.address, present.credential, now.ca_file, now.allow_plaintext)

    return HttpFallback(
        PresentPusher(_pusher, way), around.stores.outbox, keeper, around.stores.clock, around.feed,
        subject=around.subject, after_s=lambda: link().http_fallback_after_s, tracer=tracer,
    )  # fmt: skip


def _pusher(way: Way) -> HttpPusher:
    from conductor_adapters.http import HttpPusher

    return HttpPusher(
        http_base(way.link), way.credential, ca_file=way.ca_file,
        allow_plaintext=way.allow_plaintext,
    )  # fmt: skip
