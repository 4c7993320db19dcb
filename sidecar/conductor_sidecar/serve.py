"""Run a whole sidecar in this process: lock, stores, control socket, daemon, in this order.

Promise: what was opened is closed in the reverse order, whatever happens in between. Refusal: no
signal handling and no printing; that is the command's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from conductor_handlers.registry import Registry
from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import (
    DISK,
    CrashPoint,
    Storage,
    Stores,
    credential_files,
    no_crash,
    open_history,
    open_stores,
    workspace_lock,
)
from conductor_sidecar.control import Control
from conductor_sidecar.credentials import Identity
from conductor_sidecar.garbage import collected_rarely
from conductor_sidecar.identity import MEMORY, identify
from conductor_sidecar.logs import get_logger
from conductor_sidecar.observatory import Observatory
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.reload.live import HELD
from conductor_sidecar.reload.plan import Planner, Revise
from conductor_sidecar.reload.reloader import Reloader, Reloading
from conductor_sidecar.reload.routes import reload_routes
from conductor_sidecar.reload.swap import Swap
from conductor_sidecar.rotation.files import Held
from conductor_sidecar.runtime import Daemon, Parts
from conductor_sidecar.settings import Settings
from conductor_sidecar.stopping import GRACE_S
from conductor_sidecar.surfaces import Served, serving
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from conductor_sidecar.wiring import build_daemon

if TYPE_CHECKING:
    from conductor_server.loopback import Loopback


@dataclass(frozen=True, slots=True)
class Service:
    """What a service manager gives a daemon."""

    herald: Herald
    handed: socket.socket | None = None
    """A listening socket for the tools; closed at the end. See `serving`."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a daemon runs on; fault suites give another one."""

    clock: Clock = field(default_factory=SystemClock)
    storage: Storage = DISK
    """The disk of the stores."""
    crash_point: CrashPoint = no_crash
    """Called at named points, where a fault suite may kill the process."""


async def serve(
    workspace: Workspace, settings: Settings, stop: asyncio.Event, *,
    ready: asyncio.Event | None = None, lock_timeout_s: float = 0.0,
    service: Service | None = None, reloading: Reloading | None = None,
    machine: Machine | None = None,
) -> None:  # fmt: skip
    """Run a sidecar until `stop` is set.

    Args:
        workspace: Whose sidecar.
        settings: Effective settings.
        stop: Set by the caller to begin a clean stop.
        ready: Set when events are handled and the control socket answers.
        lock_timeout_s: How long to wait for another owner of the workspace.
        service: What a service manager gave; by default there is none.
        reloading: Where the settings are read anew; by default they stay as they are.
        machine: Time and disk; by default those of this computer.

    Raises:
        WorkspaceBusy: Another process owns the workspace.
        EnrollmentError: Not enrolled.
        CredentialRefused: The conductor refused the credential on the first connection.
    """
    identity, machine = identify(workspace, settings), machine or Machine()
    reloading = reloading or Reloading.fixed(settings)
    lock = workspace_lock(workspace, "conductor sidecar")
    await lock.acquire(lock_timeout_s)
    try:
        with collected_rarely():
            await _open(workspace, settings, identity, machine, stop, ready, service, reloading)
    finally:
        lock.release()


async def _open(
    workspace: Workspace, settings: Settings, identity: Identity, machine: Machine,
    stop: asyncio.Event, ready: asyncio.Event | None, service: Service | None,
    reloading: Reloading,
) -> None:  # fmt: skip
    clock, crash_point = machine.clock, machine.crash_point
    async with (
        open_stores(
            workspace, settings, clock=clock, crash_point=crash_point, storage=machine.storage
        ) as stores,
        _loopback(workspace, settings, identity, clock) as loopback,
    ):
        held = credential_files(workspace, clock, crash_point) if loopback is None else None
        await _run(workspace, settings, stores, identity, loopback, stop, ready, service, held,
                   reloading)  # fmt: skip


async def _run(
    workspace: Workspace, settings: Settings, stores: Stores, identity: Identity,
    loopback: Loopback | None, stop: asyncio.Event, ready: asyncio.Event | None,
    service: Service | None, held: Held | None, reloading: Reloading,
) -> None:  # fmt: skip
    daemon, parts = build_daemon(
        workspace, settings, stores, selected_packs(settings, stores.desk.approvals),
        identity=identity, read_identity=lambda: identify(workspace, settings), held=held,
    )  # fmt: skip
    service = service or Service(Herald(Notifier(None), stores.clock))
    observed = Observatory(workspace, stores, daemon, parts, service.herald)
    control = Control(
        parts.desk, parts.dispatcher, parts.feed, parts.packs, observed.status,
        parts.tools.host, loopback,
    )  # fmt: skip
    control.rotation = parts.rotation
    herald, handed, served = service.herald, service.handed, Served()
    daemon.http = lambda: served.url
    planner = Planner(reloading.read, partial(_select, stores), parts.packs, HELD if handed else ())
    swap = Swap(parts, stores.outbox, served)
    reloader = Reloader(daemon, parts, planner, swap, herald, reloading)
    try:
        # Before anybody can call: what the last process left running is answered now.
        if interrupted := await parts.tools.recover():
            get_logger(part="tools").warning("calls_interrupted", calls=interrupted)
        async with (
            serving(
                workspace, settings, stores, control, parts.packs, handed, observed=observed,
                more=reload_routes(reloader), served=served,
            ),
            observed.examiner.looking(),
            herald.watching(
                {"sidecar.db": stores.log.backlog, "journal.db": stores.journal.head},
                daemon.work, deadline_s=daemon.longest_deadline_s,
            ),
        ):  # fmt: skip
            await _attended(daemon, stop, ready, herald, parts, reloader)
    finally:
        herald.close()
        await _close(parts)


async def _attended(
    daemon: Daemon, stop: asyncio.Event, ready: asyncio.Event | None, herald: Herald,
    parts: Parts, reloader: Reloader,
) -> None:  # fmt: skip
    """Run the daemon; whoever waits for it, or asks it to stop, is attended to."""
    stopping = _stop_when(stop, daemon, herald, parts)
    watchers = [
        asyncio.create_task(stopping, name="daemon.stopper"),
        asyncio.create_task(_tell(daemon, ready, herald), name="daemon.herald"),
        asyncio.create_task(reloader.run(), name="daemon.reloader"),
    ]
    try:
        await daemon.run()
    finally:
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _stop_when(
    stop: asyncio.Event, daemon: Daemon, herald: Herald, parts: Parts
) -> None:  # fmt: skip
    await stop.wait()
    herald.stopping(parts.settings.drain.deadline_s + 2 * GRACE_S)
    daemon.stop()


def _select(stores: Stores, settings: Settings, revised: Revise) -> Registry:
    return selected_packs(settings, stores.desk.approvals, revised)


async def _tell(daemon: Daemon, ready: asyncio.Event | None, herald: Herald) -> None:
    await daemon.ready.wait()
    herald.ready()
    if ready is not None:
        ready.set()


async def _close(parts: Parts) -> None:
    await parts.packs.close()
    if parts.tracing is not None:
        await parts.tracing.close()


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
