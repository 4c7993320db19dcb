"""The way up: pack events to the conductor.

Promise (the delivery contract, upward):
- a `queue` event is durable before the pack's push returns; it is sent in the order of the pushes
  and kept until the conductor confirms its id, across crash and disconnect;
- an `ephemeral` event is tried once while the link is up and dropped otherwise, and every drop is
  counted with its reason;
- accepted = delivered + buffered + dropped, for every kind, at all times.

Refusal: it knows no socket. A link asks it for what to send and tells it what was confirmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from conductor_protocol.backpressure import Policy, admit
from conductor_protocol.codec import check_shape
from conductor_protocol.messages import Limits, PushResult
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Outgoing
from conductor_sidecar.ports import Outbox

PAGE_EVENTS = 512
PAGE_BYTES = 524_288
EPHEMERAL_CAP = 1024
"""Ephemeral events that may be unconfirmed at once; more are dropped{window_full}."""

LIMITS = Limits()
"""What a conductor surely takes; an event over them would be queued only to be rejected later."""

PolicyOf: TypeAlias = Callable[[str], Policy]


class UplinkObserver(Protocol):
    """Told of events on their way up, for the live tail."""

    def published(self, receipts: Sequence[PushReceipt]) -> None:
        """Take note of what became of pushed events."""
        ...

    def sending(self, batch: Sequence[Outgoing]) -> None:
        """Take note of events that the link sends now."""
        ...

    def answered(self, results: Sequence[PushResult]) -> None:
        """Take note of what the conductor said; it is durable now."""
        ...

    def lost(self, kinds: Mapping[str, str]) -> None:
        """Take note of ephemeral events, id to kind, that a link took down with it."""
        ...


class Uplink:
    """One for the daemon's life; at most one link pumps it at a time."""

    def __init__(
        self, outbox: Outbox, policy_of: PolicyOf, observer: UplinkObserver | None = None
    ) -> None:
        self._outbox = outbox
        self._policy_of = policy_of
        self._observer = observer
        self._wake = asyncio.Event()
        self._sent: dict[str, int] = {}
        """Event id to outbox position, of what this link has sent and not confirmed."""
        self._cursor = 0
        """The last outbox position that this link has sent."""
        self._ephemeral: list[Outgoing] = []
        self._ephemeral_sent: dict[str, str] = {}
        """Event id to kind."""
        self._connected = False

    def set_policy(self, policy_of: PolicyOf) -> None:
        """Replace the policies, after packs were reloaded."""
        self._policy_of = policy_of

    @property
    def unconfirmed(self) -> int:
        """Events that this link has sent and the conductor has not confirmed."""
        return len(self._sent) + len(self._ephemeral_sent)

    async def publish(self, events: Sequence[KernelEvent]) -> list[PushReceipt]:
        """Queue or try events by the policy of their kinds; one receipt each, in order.

        Raises:
            QueueFull: The outbox refuses; nothing of the call is stored or tried.
            EventRefused: An event is over a limit of the link; likewise.
        """
        queue: list[Outgoing] = []
        ephemeral: list[Outgoing] = []
        for event in events:
            body = event.to_json()
            outgoing = Outgoing(event.event_id, event.kind, body, event.traceparent)
            check_shape(outgoing.body, LIMITS)
            target = queue if self._policy_of(event.kind) == "queue" else ephemeral
            target.append(outgoing)
        receipts: dict[str, PushReceipt] = {}
        if queue:
            for item, result in zip(queue, await self._outbox.put(queue), strict=True):
                dropped = result.status == "dropped"
                receipts[item.event_id] = PushReceipt(
                    item.event_id, item.kind, "dropped" if dropped else "queued", result.reason
                )
            self._wake.set()
        for item in ephemeral:
            receipts[item.event_id] = await self._try(item)
        answers = [receipts[event.event_id] for event in events]
        if self._observer is not None:
            self._observer.published(answers)
        return answers

    async def _try(self, item: Outgoing) -> PushReceipt:
        waiting = len(self._ephemeral) + len(self._ephemeral_sent)
        admission = admit(
            "ephemeral", connected=self._connected, in_flight=waiting, cap=EPHEMERAL_CAP
        )
        if admission.dropped:
            reason = admission.value
            await self._outbox.count_ephemeral(item.kind, accepted=1, dropped={reason: 1})
            return PushReceipt(item.event_id, item.kind, "dropped", reason)
        self._ephemeral.append(item)
        self._wake.set()
        return PushReceipt(item.event_id, item.kind, "sent")

    def connected(self) -> None:
        """Begin with a fresh link: everything unconfirmed is sent again, in order."""
        self._connected = True
        self._cursor = 0
        self._sent.clear()
        self._wake.set()

    async def moved(self) -> None:
        """Begin with a link that took another's place: what waits goes over it.

        Ephemeral events that the other one sent, and nobody answered, are dropped and counted.
        """
        waiting, self._ephemeral = self._ephemeral, []
        await self.disconnected()
        self._ephemeral = waiting
        self.connected()

    async def disconnected(self) -> None:
        """End with a link: ephemeral events that were not confirmed are dropped and counted."""
        self._connected = False
        lost = [item.kind for item in self._ephemeral] + list(self._ephemeral_sent.values())
        if lost and self._observer is not None:
            waiting = {item.event_id: item.kind for item in self._ephemeral}
            self._observer.lost({**self._ephemeral_sent, **waiting})
        self._ephemeral.clear()
        self._ephemeral_sent.clear()
        self._sent.clear()
        for kind in sorted(set(lost)):
            count = lost.count(kind)
            await self._outbox.count_ephemeral(kind, accepted=count, dropped={"link_lost": count})

    async def next_batch(self, room: int) -> list[Outgoing]:
        """Wait for events to send, at most `room`; ephemeral ones first, they do not keep."""
        while True:
            self._wake.clear()
            batch = self._take_ephemeral(room)
            left = min(room - len(batch), PAGE_EVENTS)
            if left > 0:
                page = await self._outbox.take(self._cursor, left, PAGE_BYTES)
                if page:
                    self._cursor = page[-1].position
                    self._sent.update((row.event_id, row.position) for row in page)
                    batch.extend(
                        Outgoing(r.event_id, r.kind, r.body, r.trace, r.put_ms) for r in page
                    )
            if batch:
                if self._observer is not None:
                    self._observer.sending(batch)
                return batch
            await self._wake.wait()

    def _take_ephemeral(self, room: int) -> list[Outgoing]:
        batch = self._ephemeral[:room]
        del self._ephemeral[:room]
        self._ephemeral_sent.update((item.event_id, item.kind) for item in batch)
        return batch

    async def confirmed(self, results: Sequence[PushResult]) -> None:
        """Record what the conductor did; durable when this returns."""
        positions: list[int] = []
        rejected: dict[int, str] = {}
        for result in results:
            position = self._sent.pop(result.event_id, None)
            if position is not None:
                positions.append(position)
                if result.status == "rejected":
                    rejected[position] = result.reason or "rejected"
            kind = self._ephemeral_sent.pop(result.event_id, None)
            if kind is not None:
                await self._count_tried(kind, rejected=result.status == "rejected")
        if positions:
            await self._outbox.confirm(positions, rejected=rejected)
        if self._observer is not None:
            self._observer.answered(results)

    async def _count_tried(self, kind: str, *, rejected: bool) -> None:
        dropped: Mapping[str, int] = {"rejected": 1} if rejected else {}
        await self._outbox.count_ephemeral(
            kind, accepted=1, delivered=0 if rejected else 1, dropped=dropped
        )
