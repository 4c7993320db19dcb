"""Run a whole sidecar in this process: lock, stores, control socket, daemon, in this order.

Promise: what was opened is closed in the reverse order, whatever happens in between. Refusal: no
signal handling and no printing; that is the command's.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import (
    CrashPoint,
    Stores,
    no_crash,
    open_history,
    open_stores,
    workspace_lock,
)
from conductor_sidecar.control import Control
from conductor_sidecar.credentials import Identity
from conductor_sidecar.identity import MEMORY, identify
from conductor_sidecar.logs import get_logger
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.settings import Settings
from conductor_sidecar.stopping import GRACE_S
from conductor_sidecar.surfaces import serving
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from conductor_sidecar.wiring import build_daemon

if TYPE_CHECKING:
    from conductor_server.loopback import Loopback

GC_THRESHOLDS = (50_000, 20, 50)
"""Batches make many short-lived objects; the default thresholds cost a third of the throughput."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a service manager gives a daemon."""

    herald: Herald
    handed: socket.socket | None = None
    """A listening socket for the tools; closed at the end. See `serving`."""


async def serve(
    workspace: Workspace,
    settings: Settings,
    stop: asyncio.Event,
    *,
    clock: Clock | None = None,
    ready: asyncio.Event | None = None,
    lock_timeout_s: float = 0.0,
    crash_point: CrashPoint = no_crash,
    service: Service | None = None,
) -> None:
    """Run a sidecar until `stop` is set.

    Args:
        workspace: Whose sidecar.
        settings: Effective settings.
        stop: Set by the caller to begin a clean stop.
        clock: The time.
        ready: Set when events are handled and the control socket answers.
        lock_timeout_s: How long to wait for another owner of the workspace.
        crash_point: For fault suites.
        service: What a service manager gave; by default there is none.

    Raises:
        WorkspaceBusy: Another process owns the workspace.
        EnrollmentError: Not enrolled.
        CredentialRefused: The conductor refused the credential on the first connection.
    """
    identity = identify(workspace, settings)
    clock = clock or SystemClock()
    lock = workspace_lock(workspace, "conductor sidecar")
    await lock.acquire(lock_timeout_s)
    try:
        async with (
            open_stores(workspace, settings, clock=clock, crash_point=crash_point) as stores,
            _loopback(workspace, settings, identity, clock) as loopback,
        ):
            await _run(workspace, settings, stores, identity, loopback, stop, ready, service)
    finally:
        lock.release()


async def _run(
    workspace: Workspace, settings: Settings, stores: Stores, identity: Identity,
    loopback: Loopback | None, stop: asyncio.Event, ready: asyncio.Event | None,
    service: Service | None,
) -> None:  # fmt: skip
    daemon, parts = build_daemon(
        workspace, settings, stores, selected_packs(settings, stores.desk.approvals),
        identity=identity, read_identity=lambda: identify(workspace, settings),
    )  # fmt: skip
    control = Control(
        parts.desk, parts.dispatcher, parts.feed, parts.packs.sync_port, daemon.report,
        parts.tools.host, loopback,
    )  # fmt: skip
    service = service or Service(Herald(Notifier(None), stores.clock))
    herald, handed = service.herald, service.handed
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        # Before anybody can call: what the last process left running is answered now.
        if interrupted := await parts.tools.recover():
            get_logger(part="tools").warning("calls_interrupted", calls=interrupted)
        async with (
            serving(workspace, settings, stores, control, parts.packs, handed) as daemon.http,
            herald.watching(
                {"sidecar.db": stores.log.backlog, "journal.db": stores.journal.head},
                daemon.work, deadline_s=daemon.longest_deadline_s,
            ),
        ):  # fmt: skip
            await _attended(daemon, stop, ready, herald, settings)
    finally:
        herald.close()
        await _close(parts)


async def _attended(
    daemon: Daemon, stop: asyncio.Event, ready: asyncio.Event | None, herald: Herald,
    settings: Settings,
) -> None:  # fmt: skip
    """Run the daemon; whoever waits for it, or asks it to stop, is attended to."""
    stopping = _stop_when(stop, daemon, herald, settings)
    watchers = [
        asyncio.create_task(stopping, name="daemon.stopper"),
        asyncio.create_task(_tell(daemon, ready, herald), name="daemon.herald"),
    ]
    try:
        await daemon.run()
    finally:
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _stop_when(
    stop: asyncio.Event, daemon: Daemon, herald: Herald, settings: Settings
) -> None:
    await stop.wait()
    herald.stopping(settings.drain.deadline_s + 2 * GRACE_S)
    daemon.stop()


async def _tell(daemon: Daemon, ready: asyncio.Event | None, herald: Herald) -> None:
    await daemon.ready.wait()
    herald.ready()
    if ready is not None:
        ready.set()


async def _close(parts: Parts) -> None:
    await parts.packs.close()


@contextlib.asynccontextmanager
async def _loopback(
    workspace: Workspace, settings: Settings, identity: Identity, clock: Clock
) -> AsyncGenerator[Loopback | None]:
    """Serve the far end of the memory adapter; nothing for any other."""
    if settings.link.adapter != MEMORY:
        yield None
        return
    from conductor_adapters.memory import listen
    from conductor_server.loopback import Loopback

    history = await open_history(workspace.state_dir / "loopback.db")
    loopback = Loopback(history, clock, workspace.root, identity.subject)
    listener = listen(identity.address.removeprefix("memory://"))
    links: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            link = asyncio.create_task(loopback.attach(await listener.accept()), name="loopback")
            links.add(link)
            link.add_done_callback(links.discard)

    accepting = asyncio.create_task(accept(), name="loopback.accept")
    try:
        yield loopback
    finally:
        accepting.cancel()
        await loopback.close()
        await asyncio.gather(accepting, *links, return_exceptions=True)
        await listener.close()
        await history.close()
