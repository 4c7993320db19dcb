"""Messages on their way: stored first, tried again as told, ended with an audit event."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from conductor_packs.sidekick.channels.outbox import Outbox
from conductor_packs.sidekick.channels.port import SendReply, SendRequest
from conductor_packs.sidekick.channels.registry import TransportRegistry
from conductor_packs.sidekick.channels.retry import LEASE_S, begun, delay_s
from conductor_packs.sidekick.records import DELIVERIES, Delivery
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_sdk.clock import ManualClock

REQUEST = SendRequest("ws-1", "slack", "general", "the content", {"a": 1})
DOWN = SendReply(False, error="down", failure_class="retryable", retry_after_seconds=30)
FINE = SendReply(True, external_message_id="ext-1")
NEVER = SendReply(False, error="no such channel", failure_class="terminal")


@pytest.fixture
def outbox(storage: MemoryStoragePort, clock: ManualClock) -> Any:
    def make(transport: Any, max_attempts: int = 3) -> Outbox:
        registry = TransportRegistry()
        if transport is not None:
            registry.register("slack", transport)
        return Outbox(storage, registry, clock, max_attempts)

    return make


async def deliveries(storage: MemoryStoragePort) -> list[Delivery]:
    return await storage.read(lambda view: view.records(DELIVERIES))


async def test_x17_a_provider_send_is_audited_with_provider_and_outcome_and_no_content(
    outbox: Any, told: Any, storage: MemoryStoragePort
) -> None:
    reply, delivery = await outbox(told(FINE)).submit(REQUEST, actor="ada")
    assert (reply, delivery.state, delivery.external_message_id) == (FINE, "delivered", "ext-1")
    [event] = await storage.audit_events()
    assert (event.actor, event.tool, event.op, event.ids) == (
        "ada", "channel:send", "execute", (delivery.id,),
    )  # fmt: skip
    assert event.details == {
        "provider": "slack", "channel": "general", "outcome": "delivered", "attempts": 1,
    }  # fmt: skip
    assert "the content" not in repr(event)


async def test_a_message_is_stored_before_it_is_first_tried(
    outbox: Any, told: Any, storage: MemoryStoragePort
) -> None:
    seen: list[Delivery] = []

    class Looking(told):  # type: ignore[misc]  # the fixture gives the class
        async def send(self, request: SendRequest) -> SendReply:
            seen.extend(await deliveries(storage))
            return FINE

    await outbox(Looking()).submit(REQUEST, actor="ada")
    assert [(delivery.state, delivery.attempts) for delivery in seen] == [("pending", 1)]


async def test_a_retryable_failure_is_tried_again_after_the_time_asked_for_with_the_same_id(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    transport = told(DOWN, FINE)
    box = outbox(transport)
    reply, delivery = await box.submit(REQUEST, actor="ada")
    assert (reply, delivery.state) == (DOWN, "pending")
    assert await storage.audit_events() == []
    clock.advance(29)
    due = await box.deliver_due()
    assert (len(transport.requests), (due - clock.now()).total_seconds()) == (1, 1.0)
    clock.advance(1)
    assert await box.deliver_due() is None
    assert [request.message_id for request in transport.requests] == [delivery.id, delivery.id]
    assert transport.requests == [
        msgspec.structs.replace(
            REQUEST, message_id=delivery.id, created_at=delivery.created_at
        )
    ] * 2  # fmt: skip
    assert [each.state for each in await deliveries(storage)] == ["delivered"]


async def test_tries_are_bounded_and_then_it_failed_with_an_audit_event(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    transport = told(DOWN)
    box = outbox(transport)
    await box.submit(REQUEST, actor="ada")
    for _ in range(10):
        clock.advance(3600)
        await box.deliver_due()
    [delivery] = await deliveries(storage)
    assert (len(transport.requests), delivery.state, delivery.error) == (3, "failed", "down")
    [event] = await storage.audit_events()
    assert (event.actor, event.details) == (
        "sidekick:outbox",
        {"provider": "slack", "channel": "general", "outcome": "failed", "attempts": 3,
         "failure_class": "retryable"},
    )  # fmt: skip


@pytest.mark.parametrize("reply", [NEVER, SendReply(False, error="odd"), RuntimeError("secret!")])
async def test_a_failure_that_is_not_retryable_is_the_end(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock, reply: Any
) -> None:
    transport = told(reply)
    box = outbox(transport)
    said, delivery = await box.submit(REQUEST, actor="ada")
    clock.advance(100_000)
    assert await box.deliver_due() is None
    assert (said.success, delivery.state, len(transport.requests)) == (False, "failed", 1)
    assert "secret!" not in repr(await storage.audit_events()) + repr(delivery)


async def interrupted(storage: MemoryStoragePort, clock: ManualClock) -> None:
    """Leave what a process leaves that died while it was sending."""
    delivery = Delivery(
        id="dlv-0", provider="slack", channel="c", content="x", workspace_id="ws",
        created_at="2026-01-01T00:00:00.000Z", updated_at="2026-01-01T00:00:00.000Z",
    )  # fmt: skip
    await storage.change(lambda change: change.put(DELIVERIES, begun(delivery, clock.now())))


async def test_after_a_crash_in_a_try_a_provider_that_tells_repetitions_is_tried_again(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    await interrupted(storage, clock)
    transport = told(FINE)
    box = outbox(transport)
    await box.deliver_due()
    assert transport.requests == []
    clock.advance(LEASE_S)
    await box.deliver_due()
    assert [request.message_id for request in transport.requests] == ["dlv-0"]


async def test_after_a_crash_in_a_try_any_other_provider_is_not_tried_again(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    await interrupted(storage, clock)
    transport = told(FINE, deduplicates=False)
    clock.advance(LEASE_S)
    await outbox(transport).deliver_due()
    [delivery] = await deliveries(storage)
    assert (transport.requests, delivery.state) == ([], "failed")
    assert "may have been delivered" in (delivery.error or "")


async def test_a_provider_that_is_gone_fails_what_waits_for_it(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    await outbox(told(DOWN)).submit(REQUEST, actor="ada")
    clock.advance(3600)
    await outbox(None).deliver_due()
    assert [each.state for each in await deliveries(storage)] == ["failed"]


async def test_two_workers_try_one_message_once(
    outbox: Any, told: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    await outbox(told(DOWN)).submit(REQUEST, actor="ada")
    clock.advance(30)
    transport = told(FINE)
    box = outbox(transport)
    await asyncio.gather(*(box.deliver_due() for _ in range(5)))
    assert len(transport.requests) == 1


async def test_one_providers_failure_does_not_hold_up_another(
    storage: MemoryStoragePort, told: Any, clock: ManualClock
) -> None:
    registry = TransportRegistry()
    bad, good = told(DOWN), told(DOWN, FINE)
    registry.register("bad", bad)
    registry.register("good", good)
    box = Outbox(storage, registry, clock, 5)
    for provider in ("bad", "good"):
        request = msgspec.structs.replace(REQUEST, provider=provider)
        await box.submit(request, actor="ada")
    clock.advance(30)
    await box.deliver_due()
    states = {each.provider: each.state for each in await deliveries(storage)}
    assert states == {"bad": "pending", "good": "delivered"}


@pytest.mark.parametrize(
    ("attempts", "asked_s", "expected"),
    [
        (1, None, 5.0),
        (2, None, 15.0),
        (3, None, 45.0),
        (9, None, 3600.0),
        (1, 60.0, 60.0),
        (4, 1.0, 135.0),
    ],
)
def test_waits_grow_and_what_the_provider_asks_for_is_a_minimum(
    attempts: int, asked_s: float | None, expected: float
) -> None:
    assert delay_s(attempts, asked_s) == expected
