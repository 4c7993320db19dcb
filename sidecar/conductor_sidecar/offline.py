"""The tools of a workspace without a daemon: its stores, its packs, and the same host.

Promise: a call made here leaves the same evidence and obeys the same rules as one through the
daemon, and its events wait in the outbox. Refusal: no handler and no background task of a pack
runs here, and without an enrollment nothing is queued: there is nobody to be from.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from conductor_handlers.ports import Publisher
from conductor_protocol.messages import Limits
from conductor_sdk.clock import SystemClock
from conductor_sdk.context import PushReceipt
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import open_stores, workspace_lock
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed
from conductor_sidecar.identity import identify, local_subject
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.packs import BoundPacks, Surroundings
from conductor_sidecar.settings import Settings
from conductor_sidecar.stores import Stores
from conductor_sidecar.tools import Tools, build_tools

CLOSE_S = 5.0


class Unenrolled:
    """A publisher without a conductor: every event is dropped, and its receipt says so."""

    async def publish(self, events: Sequence[KernelEvent]) -> list[PushReceipt]:
        """Drop events; one receipt each."""
        return [PushReceipt(e.event_id, e.kind, "dropped", "not_enrolled") for e in events]


@contextlib.asynccontextmanager
async def tools_without_daemon(
    workspace: Workspace, settings: Settings, *, lock_wait_s: float = 0.0
) -> AsyncGenerator[Tools]:
    """Open a workspace's tools for the length of a block; makes its stores where there are none.

    Raises:
        WorkspaceBusy: A daemon or another command owns the workspace.
        StateError: Its stores cannot be opened.
    """
    lock = workspace_lock(workspace, "conductor (a call)")
    await lock.acquire(lock_wait_s)
    try:
        async with open_stores(workspace, settings, clock=SystemClock()) as stores:
            packs, tools = assembled(workspace, settings, stores)
            try:
                await tools.recover()
                yield tools
            finally:
                await tools.close(CLOSE_S)
                await packs.close()
    finally:
        lock.release()


def assembled(workspace: Workspace, settings: Settings, stores: Stores) -> tuple[BoundPacks, Tools]:
    """Build packs and tools on open stores; nothing runs yet, and `packs` is to be closed."""
    registry = selected_packs(settings, stores.desk.approvals)
    feed = Feed(stores.clock)
    publisher: Publisher
    try:
        subject = identify(workspace, settings).subject
        publisher = Uplink(stores.outbox, lambda kind: registry.policy(kind) or "queue", feed)
    except ConductorError:
        subject, publisher = local_subject(workspace), Unenrolled()
    around = Surroundings(
        store=stores.log, publisher=publisher, journal=stores.journal, clock=stores.clock,
        feed=feed, subject=subject, workspace=workspace.root, pack_db=workspace.pack_db,
        max_event_bytes=Limits().max_event_bytes,
    )  # fmt: skip
    packs = BoundPacks(registry, around, settings)
    return packs, build_tools(packs, stores, publisher, settings, subject=subject,
                              clock=stores.clock)  # fmt: skip
