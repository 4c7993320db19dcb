"""The outbox: messages on their way to providers, through failures and restarts.

Promise: a message is stored before it is first tried, and every try of it has the same id; a
provider that tells repetitions apart gets it at least once, any other at most once. Every end of a
delivery leaves an audit event without the content. Refusal: no order among retries, and no try
after `outbox_max_attempts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from conductor_packs.sidekick.channels.port import SendReply, SendRequest, Transport, Transports
from conductor_packs.sidekick.channels.retry import (
    INTERRUPTED,
    begun,
    ended,
    was_interrupted,
)
from conductor_packs.sidekick.records import DELIVERIES, Delivery
from conductor_packs.sidekick.storage.port import Change, StoragePort, View
from conductor_packs.sidekick.times import read_moment
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.context import Log

TOOL = "channel:send"
KEPT = 500
"""How many deliveries that came to an end are kept."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of one workspace. Several processes may have one."""

    storage: StoragePort
    transports: Transports
    clock: Clock
    max_attempts: int
    log: Log | None = None

    async def submit(
        self, request: SendRequest, *, actor: str, message_id: str | None = None
    ) -> tuple[SendReply, Delivery]:
        """Store a message and try it once, now; a retryable failure is tried again by the worker.

        Durable before the first try. The answer is the provider's own.

        Args:
            request: Its provider must be known; its `message_id` becomes the delivery's id.
            actor: On whose behalf; in the audit.
            message_id: The local message that it carries, if any.
        """
        now = self.clock.now()

        def store(change: Change) -> Delivery:
            delivery = _delivery(change.new_id(DELIVERIES), request, now, message_id)
            change.put(DELIVERIES, begun(delivery, now))
            return begun(delivery, now)

        delivery = await self.storage.change(store)
        return await self._try(delivery, actor)

    async def deliver_due(self) -> datetime | None:
        """Try everything that is due, one message at a time for each provider.

        Returns when the next one is due; None: nothing waits.
        """
        due = await self.storage.read(_due_at(self.clock.now()))
        by_provider: dict[str, list[str]] = {}
        for delivery in due:
            by_provider.setdefault(delivery.provider, []).append(delivery.id)
        async with asyncio.TaskGroup() as group:
            for provider, ids in by_provider.items():
                group.create_task(self._deliver(ids), name=f"sidekick.outbox.{provider}")
        return await self.storage.read(_next_at)

    async def _deliver(self, ids: list[str]) -> None:
        for delivery_id in ids:
            claimed = await self._claim(delivery_id)
            if claimed is not None:
                await self._try(claimed, "sidekick:outbox")

    async def _claim(self, delivery_id: str) -> Delivery | None:
        """Begin a try that nobody else began meanwhile; None: there is nothing to try."""
        now = self.clock.now()

        def claim(change: Change) -> Delivery | None:
            found = change.get(DELIVERIES, delivery_id)
            if found is None or not _is_due(found, now):
                return None
            transport = self.transports.find(found.provider)
            if transport is None or (was_interrupted(found) and not _deduplicates(transport)):
                reason = INTERRUPTED if transport else "the provider is not registered any more"
                _close(
                    change, ended(found, SendReply(False, error=reason), now, 0), "sidekick:outbox"
                )
                return None
            change.put(DELIVERIES, begun(found, now))
            return begun(found, now)

        return await self.storage.change(claim)

    async def _try(self, delivery: Delivery, actor: str) -> tuple[SendReply, Delivery]:
        reply = await self._send(delivery)
        after = ended(delivery, reply, self.clock.now(), self.max_attempts)

        def settle(change: Change) -> None:
            if after.state == "pending":
                change.put(DELIVERIES, after)
            else:
                _close(change, after, actor)

        await self.storage.change(settle)
        if self.log is not None and not reply.success:
            self.log.warning(
                "channel_send_failed", provider=delivery.provider, delivery=delivery.id,
                state=after.state, error=after.error,
            )  # fmt: skip
        return reply, after

    async def _send(self, delivery: Delivery) -> SendReply:
        transport = self.transports.find(delivery.provider)
        if transport is None:
            return SendReply(
                False, error="the provider is not registered", failure_class="terminal"
            )
        request = SendRequest(
            workspace_id=delivery.workspace_id or "", provider=delivery.provider,
            channel=delivery.channel, content=delivery.content, metadata=delivery.metadata,
            message_id=delivery.id, created_at=delivery.created_at,
        )  # fmt: skip
        try:
            return await transport.send(request)
        except Exception as error:  # noqa: BLE001  foreign code: a transport may raise anything
            return SendReply(False, error=type(error).__name__, failure_class="terminal")


def _delivery(new_id: str, request: SendRequest, now: datetime, message_id: str | None) -> Delivery:
    stamp = wire_time(now)
    metadata = None if request.metadata is None else dict(request.metadata)
    return Delivery(
        id=request.message_id or new_id, provider=request.provider, channel=request.channel,
        content=request.content, created_at=stamp, updated_at=stamp,
        workspace_id=request.workspace_id, metadata=metadata, message_id=message_id,
    )  # fmt: skip


def _close(change: Change, delivery: Delivery, actor: str) -> None:
    """Store a delivery that came to an end, say so in the audit, and forget the oldest ones."""
    change.put(DELIVERIES, delivery)
    details: dict[str, Any] = {
        "provider": delivery.provider,
        "channel": delivery.channel,
        "outcome": delivery.state,
        "attempts": delivery.attempts,
    }
    if delivery.failure_class is not None:
        details["failure_class"] = delivery.failure_class
    change.audit("execute", TOOL, actor=actor, ids=(delivery.id,), details=details)
    over = [each for each in change.records(DELIVERIES) if each.state != "pending"]
    for old in over[: max(0, len(over) - KEPT)]:
        change.remove(DELIVERIES, old.id)


def _deduplicates(transport: Transport) -> bool:
    return bool(getattr(transport, "deduplicates", False))


def _is_due(delivery: Delivery, now: datetime) -> bool:
    when = delivery.next_attempt_at
    return delivery.state == "pending" and (when is None or read_moment(when) <= now)


def _due_at(now: datetime) -> Callable[[View], list[Delivery]]:
    return lambda view: [each for each in view.records(DELIVERIES) if _is_due(each, now)]


def _next_at(view: View) -> datetime | None:
    waiting = [
        each.next_attempt_at or each.created_at
        for each in view.records(DELIVERIES)
        if each.state == "pending"
    ]
    return read_moment(min(waiting)) if waiting else None
