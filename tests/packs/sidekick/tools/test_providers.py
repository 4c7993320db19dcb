"""C15 to C18 and C23 to C26: a provider behind `channel:send` and `channel:receive`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from conductor_packs.sidekick.channels.port import (
    ReceiveReply,
    ReceiveRequest,
    SendReply,
    SendRequest,
)
from conductor_packs.sidekick.channels.registry import TransportRegistry, transport_scope
from conductor_packs.sidekick.records import CHANNELS, DELIVERIES, MESSAGES


class Slack:
    """A provider that answers what it is told to."""

    deduplicates = True

    def __init__(self) -> None:
        self.sent: list[SendRequest] = []
        self.asked: list[ReceiveRequest] = []
        self.send_reply = SendReply(
            success=True, external_message_id="ext-1", metadata={"thread": "t1"}
        )
        self.receive_reply = ReceiveReply(
            success=True, records=[{"text": "hi"}], next_cursor="c2", metadata={"unread": 0}
        )
        self.broken = False

    async def send(self, request: SendRequest) -> SendReply:
        self._break()
        self.sent.append(request)
        return self.send_reply

    async def receive(self, request: ReceiveRequest) -> ReceiveReply:
        self._break()
        self.asked.append(request)
        return self.receive_reply

    def _break(self) -> None:
        if self.broken:
            raise RuntimeError("no such host")


@pytest.fixture
def registry() -> Iterator[TransportRegistry]:
    with transport_scope() as current:
        yield current


@pytest.fixture
def slack(registry: TransportRegistry) -> Slack:
    transport = Slack()
    registry.register(" Slack ", transport)
    return transport


Open = Callable[..., AsyncIterator[Any]]


async def test_c15_a_send_needs_a_workspace(open_with: Open, slack: Slack) -> None:
    async for sidekick in open_with(subject=" "):
        code = await sidekick.code("channel:send", provider="slack", content="x")
        assert code == "WORKSPACE_CONTEXT_REQUIRED"
    assert [] == slack.sent


async def test_c16_a_send_to_an_unknown_provider_names_it(
    sidekick: Any, registry: TransportRegistry
) -> None:
    for dry_run in (False, True):
        given = {"provider": "Slack", "content": "x", "dry_run": dry_run}
        output = await sidekick.call("channel:send", given)
        assert output.error.code == "INTEGRATION_PROVIDER_NOT_REGISTERED"
        assert "Slack" in output.error.message


async def test_c17_a_send_hands_the_message_over_and_keeps_none(
    sidekick: Any, slack: Slack
) -> None:
    data = await sidekick.ok(
        "channel:send", provider="SLACK", channel="ops", content=" hi ", metadata={"a": 1.5}
    )
    [request] = slack.sent
    assert ("ws-test", "slack", "ops", "hi", {"a": 1.5}) == (
        request.workspace_id, request.provider, request.channel, request.content, request.metadata,
    )  # fmt: skip
    assert data == {
        "provider": "SLACK", "capability": "send", "channel": "ops", "externalMessageId": "ext-1",
        "metadata": {"thread": "t1"}, "delivery_id": request.message_id,
    }  # fmt: skip
    assert [] == await sidekick.stored(MESSAGES)
    assert [] == await sidekick.stored(CHANNELS)


async def test_c18_a_failed_send_says_whether_to_try_again(sidekick: Any, slack: Slack) -> None:
    slack.send_reply = SendReply(
        success=False, error="slow down", failure_class="retryable", retry_after_seconds=30,
        metadata={"quota": 0},
    )  # fmt: skip
    output = await sidekick.call("channel:send", provider="slack", content="x")
    assert ("INTEGRATION_PROVIDER_SEND_FAILED", "slow down") == (
        output.error.code, output.error.message,
    )  # fmt: skip
    assert output.data is not None
    assert {
        "provider": "slack", "capability": "send", "channel": "default",
        "failureClass": "retryable", "retryAfterSeconds": 30, "metadata": {"quota": 0},
        "delivery_state": "pending",
    }.items() <= output.data.items()  # fmt: skip
    [delivery] = await sidekick.stored(DELIVERIES)
    assert (output.data["delivery_id"], "pending") == (delivery.id, delivery.state)


async def test_c23_a_receive_needs_a_workspace(open_with: Open, slack: Slack) -> None:
    async for sidekick in open_with(subject=""):
        code = await sidekick.code("channel:receive", provider="slack")
        assert code == "WORKSPACE_CONTEXT_REQUIRED"


async def test_c24_a_receive_from_an_unknown_provider(
    sidekick: Any, registry: TransportRegistry
) -> None:
    code = await sidekick.code("channel:receive", provider="slack")
    assert code == "INTEGRATION_PROVIDER_NOT_REGISTERED"


async def test_c25_a_receive_hands_on_what_the_provider_answers(
    sidekick: Any, slack: Slack
) -> None:
    data = await sidekick.ok(
        "channel:receive", provider="slack", channel="ops", cursor="c1", limit=5, metadata={"a": 1}
    )
    assert [ReceiveRequest("ws-test", "slack", "ops", "c1", 5, {"a": 1})] == slack.asked
    assert data == {
        "provider": "slack", "capability": "read", "channel": "ops", "records": [{"text": "hi"}],
        "nextCursor": "c2", "metadata": {"unread": 0},
    }  # fmt: skip


async def test_c26_a_failed_receive_says_when_to_try_again(sidekick: Any, slack: Slack) -> None:
    slack.receive_reply = ReceiveReply(
        success=False, failure_class="retryable", retry_after_seconds=15
    )
    output = await sidekick.call("channel:receive", provider="slack")
    assert output.error.code == "INTEGRATION_PROVIDER_RECEIVE_FAILED"
    assert output.data is not None
    assert ("read", 15) == (output.data["capability"], output.data["retryAfterSeconds"])


async def test_x17_a_provider_send_is_audited_without_its_content(
    sidekick: Any, slack: Slack
) -> None:
    await sidekick.ok("channel:send", provider="slack", channel="ops", content="secret plan")
    [event] = await sidekick.port.audit_events()
    assert ("channel:send", "alice") == (event.tool, event.actor)
    assert event.details is not None
    assert {"provider": "slack", "channel": "ops", "outcome": "delivered"}.items() <= (
        event.details.items()
    )
    assert "secret" not in str(event)


async def test_a_provider_receive_is_audited_where_the_storage_is_in_use(
    sidekick: Any, slack: Slack
) -> None:
    await sidekick.ok("channel:receive", provider="slack")
    assert [] == await sidekick.trail()
    await sidekick.ok("sidekick:init")
    await sidekick.ok("channel:receive", provider="slack")
    assert ("channel:receive", "read") == (await sidekick.trail())[-1]


async def test_a_transport_that_raises_is_a_failed_call(sidekick: Any, slack: Slack) -> None:
    slack.broken = True
    sent = await sidekick.call("channel:send", provider="slack", content="x")
    received = await sidekick.call("channel:receive", provider="slack")
    assert sent.error.code == "INTEGRATION_PROVIDER_SEND_FAILED"
    assert received.error.code == "INTEGRATION_PROVIDER_RECEIVE_FAILED"
    assert "no such host" not in f"{sent}{received}"


async def test_a_dry_send_reaches_no_provider(sidekick: Any, slack: Slack) -> None:
    data = await sidekick.ok("channel:send", provider="slack", content="x", dry_run=True)
    assert {
        "provider": "slack", "capability": "send", "channel": "default", "dry_run": True,
    } == data  # fmt: skip
    assert [] == slack.sent
    assert [] == await sidekick.trail()


async def test_a_provider_has_no_since(sidekick: Any, slack: Slack) -> None:
    given = {"provider": "slack", "since": "2026-01-01T00:00:00Z"}
    assert await sidekick.code("channel:receive", given) == "INVALID_INPUT"


async def test_a_configured_provider_is_found_without_a_scope(
    open_with: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    async for sidekick in open_with():
        await sidekick.ok("channel:send", provider="terminal", content="shown")
    assert capsys.readouterr().err == "[default] shown\n"
