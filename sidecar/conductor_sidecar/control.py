"""What the running daemon does for whoever asks over the control socket.

Promise: one method for each request, the same that the commands use. Refusal: HTTP is not known
here, nor how anything is printed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec

from conductor_handlers.dispatcher import Dispatcher
from conductor_handlers.toolhost.host import ToolHost
from conductor_sdk.approval import Approval
from conductor_sdk.context import PushReceipt, SyncPort
from conductor_sidecar.desk import StoreDesk
from conductor_sidecar.errors import LoopbackOnly
from conductor_sidecar.feed import Activity, Feed
from conductor_sidecar.report import StatusReport
from conductor_sidecar.rotation.errors import RotationUnavailable
from conductor_sidecar.rotation.finishing import Rotated
from conductor_sidecar.rotation.fixed import Turning


class Sent(Protocol):
    """Where a sent event stands in the conductor's history."""

    @property
    def sequence(self) -> int:
        """Its sequence."""
        ...

    @property
    def event_id(self) -> str:
        """Its id."""
        ...


class Loopback(Protocol):
    """The far end of the memory adapter."""

    async def send(
        self, kind: str, payload: Mapping[str, Any], *, idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Sent:  # fmt: skip
        """Send an event down as the conductor; returns its sequence and event id."""
        ...


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters a request is about."""

    event_ids: list[str] = []
    kind: str | None = None
    all: bool = False
    dry_run: bool = False


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes with granting or denying a request."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    dry_run: bool = False


class Done(msgspec.Struct, frozen=True):
    """What a redrive or drop did, or would do."""

    event_ids: list[str]
    dry_run: bool


class Control:
    """The daemon's side of the control socket."""

    def __init__(
        self,
        desk: StoreDesk,
        dispatcher: Dispatcher,
        feed: Feed,
        sync_port: SyncPort,
        report: Callable[[], Awaitable[StatusReport]],
        tools: ToolHost,
        loopback: Loopback | None = None,
    ) -> None:
        self.desk = desk
        self._dispatcher = dispatcher
        self._feed = feed
        self._sync_port = sync_port
        self._report = report
        self.tools = tools
        """Every call of a tool goes through here."""
        self._loopback = loopback
        self.rotation: Turning | None = None
        """How the credential is turned over; set by whoever builds the daemon."""

    async def status(self) -> StatusReport:
        """Return a snapshot of the daemon."""
        return await self._report()

    async def push(self, events: Sequence[Mapping[str, Any]]) -> list[PushReceipt]:
        """Push events of any loaded pack's kinds."""
        return await self._sync_port.push_kernel_events(events)

    def watch(self) -> AsyncIterator[list[Activity]]:
        """Follow what happens."""
        return self._feed.watch()

    async def redrive(self, selection: Selection) -> Done:
        """Run dead letters again."""
        chosen = await self._chosen(selection)
        if not selection.dry_run:
            await self._dispatcher.resume(await self.desk.redrive(chosen))
        return Done(chosen, selection.dry_run)

    async def drop(self, selection: Selection) -> Done:
        """Forget dead letters."""
        chosen = await self._chosen(selection)
        if not selection.dry_run:
            await self.desk.drop(chosen)
        return Done(chosen, selection.dry_run)

    async def rotate(self) -> Rotated:
        """Get a new credential now, and use it."""
        if self.rotation is None:
            raise RotationUnavailable
        return await self.rotation.renew()

    async def decide(self, request_id: str, *, granted: bool, decision: Decision) -> Approval:
        """Grant or deny a request for leave."""
        return await self.desk.approvals.decide(
            request_id, granted=granted, reason=decision.reason, dry_run=decision.dry_run
        )

    async def loopback_send(
        self, kind: str, payload: Mapping[str, Any], idempotency_key: str | None,
        traceparent: str | None = None,
    ) -> Sent:  # fmt: skip
        """Send an event down as the conductor, with the memory adapter only."""
        if self._loopback is None:
            raise LoopbackOnly
        return await self._loopback.send(
            kind, payload, idempotency_key=idempotency_key, traceparent=traceparent
        )

    async def _chosen(self, selection: Selection) -> list[str]:
        return await self.desk.select(
            selection.event_ids, kind=selection.kind, everything=selection.all
        )
