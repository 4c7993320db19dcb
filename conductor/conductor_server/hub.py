"""The embedded conductor: workspaces, their histories and the sessions that serve them.

Promise: what `send` has returned for is in the history, and every session delivers it in order of
its sequence; what a sidecar was told is pushed is in the history too. Refusal: no socket, no file
and no database is opened here; links come in through `attach`, stores through the constructor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from conductor_protocol.codec import check_events
from conductor_protocol.messages import PushResult
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Outgoing
from conductor_server.activity import Activity, EventRef, Feed
from conductor_server.delivery import Delivery
from conductor_server.errors import RefusingConnections, RestartUnavailable
from conductor_server.faults import FaultBoard
from conductor_server.intake import Intake, PushSink
from conductor_server.ports import History, HistoryEvent, Link, TokenRecord
from conductor_server.rotation import OVERLAP_S, Ordered, Rotations, no_crash
from conductor_server.settings import HubSettings
from conductor_server.to_send import ToSend
from conductor_server.tokens import Issued, TokenDesk
from conductor_server.workspace import Workspace, WorkspaceView

Renew = Callable[[], Awaitable[History]]
"""Makes a new, empty history in the place of the present one, which is closed by then."""


class Sent(NamedTuple):
    """Where an event stands in its workspace's history."""

    sequence: int
    event_id: str


class EmbeddedConductor:
    """One conductor. Everything happens on one event loop."""

    def __init__(
        self,
        history: History,
        clock: Clock,
        settings: HubSettings | None = None,
        *,
        faults: FaultBoard | None = None,
        sink: PushSink | None = None,
        renew: Renew | None = None,
        crash_point: Callable[[str], None] = no_crash,
    ) -> None:
        """Build a conductor on a history, which it does not close.

        Args:
            history: What must survive.
            clock: The time.
            settings: Limits, beats and pages.
            faults: The switches that make it misbehave.
            sink: Must have taken pushed events before they are confirmed.
            renew: How `restart(forget=True)` gets a new history; None: it is refused.
            crash_point: Called between the steps of a rotation, for fault suites.
        """
        self.history = history
        self.clock = clock
        self.settings = settings or HubSettings()
        self.faults = faults or FaultBoard()
        self.feed = Feed(clock, self.settings.watch_records)
        self.intake = Intake(self.feed, sink)
        self.tokens = TokenDesk(history, clock, credential_ttl_s=self.settings.credential_ttl_s)
        self.rotations = Rotations(self.tokens, clock, self.feed, crash_point=crash_point)
        self.link_for: Callable[[str], str] | None = None
        """Gives the link's address that an enrollment names; None: this server's own."""
        self._renew = renew
        self._workspaces: dict[str, Workspace] = {}
        self._sessions: dict[Delivery, None] = {}
        """In the order in which they began: so are they told, drained and ended."""
        self._restarting = False

    def admit(self) -> None:
        """Let a new connection or enrollment pass.

        Raises:
            RefusingConnections: A fault says so, or the conductor is restarting.
        """
        self.faults.admit()
        if self._restarting:
            raise RefusingConnections("restarting")

    async def enroll(self, token_text: str) -> Issued:
        """Turn an enrollment token into a credential.

        Raises:
            ConductorError: As `TokenDesk.redeem`.
        """
        try:
            issued = await self.tokens.redeem(token_text)
        except ConductorError as error:
            self.feed.tell("enrollment_refused", detail=error.message)
            raise
        self.feed.tell("enrolled", issued.record.workspace, issued.record.token_id)
        return issued

    async def revoke(self, token_id: str) -> TokenRecord:
        """Revoke a token or credential; a credential's link is closed at once.

        Raises:
            TokenNotFound: No token has this id.
        """
        record = await self.tokens.revoke(token_id)
        self.feed.tell("token_revoked", record.workspace, token_id)
        if record.purpose == "credential":
            await self.rotations.withdraw(record)
            await self.disconnect(record.workspace, code=1008, reason="credential revoked")
        return record

    async def rotate(self, workspace: str, overlap_s: float = OVERLAP_S) -> Ordered:
        """Let a workspace fetch a new credential, and tell its sidecar; as `Rotations.order`."""
        ordered = await self.rotations.order(workspace, overlap_s)
        for session in [one for one in self._sessions if one.workspace == workspace]:
            await session.rotate()
        return ordered

    async def attach(self, link: Link, subject: str, record: TokenRecord | None = None) -> None:
        """Serve one session over a link until it ends, then close the link.

        Args:
            link: Open; authenticated by whoever calls.
            subject: The workspace of the presented credential.
            record: The credential's; None: it was presented to a broker.
        """
        live = await self.workspace(subject)
        delivery = Delivery(self, live, self.faults.wrap(link), record)
        self._sessions[delivery] = None
        try:
            await delivery.run()
        finally:
            self._sessions.pop(delivery, None)

    async def workspace(self, name: str) -> Workspace:
        """Return the live half of a workspace, made at first use."""
        known = self._workspaces.get(name)
        if known is None:
            _, last = await self.history.bounds(name)
            known = self._workspaces.setdefault(name, Workspace(name, last))
        return known

    async def send(
        self,
        workspace: str,
        kind: str,
        payload: Mapping[str, Any],
        idempotency_key: str | None = None,
        *,
        traceparent: str | None = None,
        again: bool = False,
    ) -> Sent:
        """Append one event to a workspace's history; durable when this returns.

        The same kind and key give the same id, which keeps its first sequence, unless it is sent
        `again`: then it is a resend with a sequence of its own.

        Raises:
            EventMalformed: The kind or the payload has the wrong shape.
        """
        event = ToSend(kind, payload, idempotency_key, traceparent)
        [sent] = await self.send_many(workspace, [event], again=again)
        return sent

    async def send_many(
        self, workspace: str, events: Sequence[ToSend], *, again: bool = False
    ) -> list[Sent]:
        """Append events in order, in one commit.

        Raises:
            EventMalformed: One of them has the wrong shape; none was appended.
        """
        built = [event.build(workspace, self.clock) for event in events]
        return await self.append(
            workspace, [Outgoing(e.event_id, e.kind, e.to_json()) for e in built], again=again
        )

    async def append(
        self, workspace: str, events: Sequence[Outgoing], *, again: bool = False
    ) -> list[Sent]:
        """Append encoded events as they are, well-formed or not; durable when this returns."""
        live = await self.workspace(workspace)
        sequences = await self.history.append(workspace, events, again=again)
        if sequences:
            live.grow(max(sequences))
        sent = [Sent(n, event.event_id) for n, event in zip(sequences, events, strict=True)]
        if self.feed.watched:
            refs = [EventRef(e.event_id, e.kind, n) for n, e in zip(sequences, events, strict=True)]
            self.feed.tell("sent", workspace, events=refs)
        return sent

    async def accept(self, subject: str, bodies: Sequence[msgspec.Raw]) -> list[PushResult]:
        """Store events that were pushed without a link; one result per event that has an id."""
        arrived, refused = check_events(bodies, 1, self.settings.limits)
        self.intake.tell_refused(subject, refused)
        results = await self.intake.store(self.history, subject, arrived)
        numbered = [
            *zip((a.sequence for a in arrived), results, strict=True),
            *(
                (r.sequence or 0, PushResult(r.event_id, "rejected", r.code))
                for r in refused
                if r.event_id is not None
            ),
        ]
        return [result for _, result in sorted(numbered, key=lambda pair: pair[0])]

    async def pushed(
        self, workspace: str | None, after: int, limit: int, *, wait_s: float = 0.0
    ) -> list[HistoryEvent]:
        """Read pushed events after a sequence; with none there, wait up to `wait_s` for one."""
        return await self.intake.page(lambda: self.history.pushed(workspace, after, limit), wait_s)

    async def forget(self, workspace: str, through: int) -> int:
        """Drop events up to a sequence from the history, so that a gap can be practised."""
        return await self.history.forget(workspace, through)

    async def disconnect(
        self, workspace: str, *, code: int = 1001, reason: str = "disconnected"
    ) -> bool:
        """Close a workspace's link and wait until it has ended; False if there was none."""
        live = self._workspaces.get(workspace)
        serving = live.serving if live else None
        if serving is None:
            return False
        serving.stop(code, reason)
        await serving.ended()
        return True

    async def drain(self, retry_after_s: float = 1.0, address: str | None = None) -> None:
        """Ask every sidecar to leave and to come back later, then close its link."""
        self.feed.tell("drain", detail=f"come back after {retry_after_s:g} s")
        await asyncio.gather(*(s.drain(retry_after_s, address) for s in list(self._sessions)))

    async def restart(self, *, forget: bool = False) -> None:
        """Drop all links as a restarted conductor would.

        Args:
            forget: Begin a new history, which has a new epoch; tokens and credentials stay.

        Raises:
            RestartUnavailable: This conductor cannot make a new history.
        """
        if forget and self._renew is None:
            raise RestartUnavailable
        self._restarting = True
        try:
            await self._end_sessions(1012, "restart")
            if forget and self._renew is not None:
                tokens = await self.history.tokens()
                await self.history.close()
                self.history = self.tokens.history = await self._renew()
                for token in tokens:
                    await self.history.put_token(token)
            self._workspaces.clear()
        finally:
            self._restarting = False
        self.feed.tell("restarted", detail=f"epoch {self.history.epoch}")

    def watch(self) -> AsyncIterator[Activity]:
        """Return what happens from now on, for a live display."""
        return self.feed.watch()

    async def workspaces(self) -> list[WorkspaceView]:
        """Describe every known workspace, sorted by name."""
        names = sorted({*self._workspaces, *await self.history.workspaces()})
        return [await (await self.workspace(name)).view(self.history) for name in names]

    async def close(self) -> None:
        """Close every link. The history stays open for whoever opened it."""
        await self._end_sessions(1001, "going away")

    async def _end_sessions(self, code: int, reason: str) -> None:
        sessions = list(self._sessions)
        for session in sessions:
            session.stop(code, reason)
        await asyncio.gather(*(session.ended() for session in sessions))
