"""Messages that come in by webhook: verified, kept once."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from conductor_packs.sidekick.channels.inbound import InboundRefused, verify_inbound
from conductor_packs.sidekick.channels.receive import receive_into
from conductor_packs.sidekick.records import CHANNELS, MESSAGES
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_sdk.clock import ManualClock
from conductor_sdk.secret import Secret

TEXT = "whsec_" + base64.b64encode(b"a-secret-of-24-bytes-abc").decode()
OTHER = Secret("whsec_" + base64.b64encode(b"another-of-24-bytes-abcd").decode())
SECRET = Secret(TEXT)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = b'{"type": "note", "data": {"content": "hello", "metadata": {"a": 1}}}'


def signed(
    body: bytes = BODY, at: datetime = NOW, message_id: str = "m-1", secret: Secret = SECRET
) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret.reveal()).sign(message_id, at, body.decode()),
    }


def moved(seconds: int) -> datetime:
    return datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)


def test_a_genuine_message_is_verified_with_its_id_and_time() -> None:
    verified = verify_inbound(signed(), BODY, SECRET, NOW)
    assert (verified.message_id, verified.sent_at) == ("m-1", NOW)


def test_names_of_headers_may_be_in_any_case() -> None:
    headers = {name.upper(): value for name, value in signed().items()}
    assert verify_inbound(headers, BODY, SECRET, NOW).message_id == "m-1"


def test_either_secret_fits_while_it_is_being_changed_and_one_of_several_signatures_is_enough() -> (
    None
):
    headers = signed(secret=OTHER)
    assert verify_inbound(headers, BODY, [SECRET, OTHER], NOW).message_id == "m-1"
    both = headers | {"webhook-signature": f"v1a,xxxx v1,AAAA {headers['webhook-signature']}"}
    assert verify_inbound(both, BODY, OTHER, NOW).message_id == "m-1"


@pytest.mark.parametrize("away", [-301, 301, 86_400, -86_400])
def test_a_message_from_outside_of_the_window_is_refused_whoever_signed_it(away: int) -> None:
    with pytest.raises(InboundRefused, match="old or from the future"):
        verify_inbound(signed(at=moved(away)), BODY, SECRET, NOW)


@pytest.mark.parametrize("away", [-300, 0, 300])
def test_a_message_at_the_windows_edge_is_taken(away: int) -> None:
    assert verify_inbound(signed(at=moved(away)), BODY, SECRET, NOW).sent_at == moved(away)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "m-2"}, {"webhook-id": ""}, {"webhook-id": "a b"}, {"webhook-id": "x" * 257},
        {"webhook-id": "m-1\n"},
        {"webhook-timestamp": "1767225601"}, {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "1e9"}, {"webhook-timestamp": "-1"}, {"webhook-timestamp": "9" * 30},
        {"webhook-timestamp": "١٧٦٧٢٢٥٦٠٠"},
        {"webhook-signature": ""}, {"webhook-signature": "v1"}, {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,€€"}, {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": ",,,"},
    ],
)  # fmt: skip
def test_a_changed_or_malformed_header_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(InboundRefused):
        verify_inbound(signed() | changes, BODY, SECRET, NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(name: str) -> None:
    headers = {key: value for key, value in signed().items() if key != name}
    with pytest.raises(InboundRefused):
        verify_inbound(headers, BODY, SECRET, NOW)


@pytest.mark.parametrize("body", [BODY + b" ", b"", BODY.replace(b"hello", b"hullo"), b"\xff\xfe"])
def test_a_changed_body_is_refused(body: bytes) -> None:
    with pytest.raises(InboundRefused):
        verify_inbound(signed(), body, SECRET, NOW)


def test_another_secret_is_refused() -> None:
    with pytest.raises(InboundRefused, match="no signature fits"):
        verify_inbound(signed(secret=OTHER), BODY, SECRET, NOW)


HOOK = {"secret_file": "hook.secret"}


async def test_a_message_is_kept_in_its_channel_and_acknowledged(
    context: Any, storage: MemoryStoragePort
) -> None:
    ctx = context(webhooks_in={"github": HOOK})
    answer = await receive_into(storage, "github", signed(), BODY, ctx)
    [channel] = await storage.read(lambda view: view.records(CHANNELS))
    [message] = await storage.read(lambda view: view.records(MESSAGES))
    assert (answer.status, answer.body["data"]) == (202, {"message_id": message.id})
    assert (channel.name, message.channel_id, message.sender) == (
        "inbox",
        channel.id,
        "webhook:github",
    )
    assert (message.content, message.metadata) == ("hello", {"a": 1})
    [event] = await storage.audit_events()
    assert (event.actor, event.op, event.details) == (
        "webhook:github", "create", {"provider": "github", "outcome": "received"},
    )  # fmt: skip


async def test_a_repetition_is_acknowledged_and_not_kept_again(
    context: Any, storage: MemoryStoragePort
) -> None:
    ctx = context(webhooks_in={"github": HOOK})
    await receive_into(storage, "github", signed(), BODY, ctx)
    for forgotten in (False, True):
        if forgotten:  # a crash came between the message and its key
            ctx.replay_log.keys.clear()
        again = await receive_into(storage, "github", signed(), BODY, ctx)
        assert (again.status, again.body["data"]) == (200, {"duplicate": True})
    assert len(await storage.read(lambda view: view.records(MESSAGES))) == 1


async def test_of_several_at_once_with_one_id_one_is_kept(
    context: Any, storage: MemoryStoragePort
) -> None:
    ctx = context(webhooks_in={"github": HOOK})
    answers = await asyncio.gather(
        *(receive_into(storage, "github", signed(), BODY, ctx) for _ in range(10))
    )
    assert sorted(answer.status for answer in answers) == [200] * 9 + [202]


async def test_one_id_of_two_webhooks_is_two_messages(
    context: Any, storage: MemoryStoragePort
) -> None:
    ctx = context(webhooks_in={"a": HOOK, "b": HOOK | {"channel": "ops", "sender": "Bee"}})
    for name in ("a", "b"):
        assert (await receive_into(storage, name, signed(), BODY, ctx)).status == 202
    messages = await storage.read(lambda view: view.records(MESSAGES))
    assert [message.sender for message in messages] == ["webhook:a", "Bee"]


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"plain words", "plain words"),
        (b'{"content": "top"}', "top"),
        (b'{"text": "slack-like"}', "slack-like"),
        (b'{"data": {"text": "inner"}}', "inner"),
        (b'{"no": "content"}', '{"no": "content"}'),
        (b"[1, 2]", "[1, 2]"),
    ],
)
async def test_the_content_is_found_in_common_shapes(
    context: Any, storage: MemoryStoragePort, body: bytes, content: str
) -> None:
    ctx = context(webhooks_in={"x": HOOK})
    assert (await receive_into(storage, "x", signed(body), body, ctx)).status == 202
    [message] = await storage.read(lambda view: view.records(MESSAGES))
    assert message.content == content


@pytest.mark.parametrize(
    ("name", "headers", "body", "status"),
    [
        ("nobody", signed(), BODY, 404),
        ("github", {}, BODY, 401),
        ("github", signed(secret=OTHER), BODY, 401),
        ("github", signed(at=moved(-1000)), BODY, 401),
        ("github", signed(b" "), b" ", 400),
        ("github", signed(b"x" * 100_001), b"x" * 100_001, 413),
        ("broken", signed(), BODY, 503),
    ],
)
async def test_a_refusal_keeps_nothing_and_says_little(
    context: Any, storage: MemoryStoragePort,
    name: str, headers: dict[str, str], body: bytes, status: int,
) -> None:  # fmt: skip
    ctx = context(webhooks_in={"github": HOOK, "broken": {"secret_env": "NO_SUCH_VARIABLE"}})
    answer = await receive_into(storage, name, headers, body, ctx)
    assert (answer.status, answer.body["success"]) == (status, False)
    assert await storage.read(lambda view: view.records(MESSAGES)) == []
    shown = json.dumps(answer.body) + repr(ctx.log.lines)
    assert (TEXT[6:] in shown, "NO_SUCH_VARIABLE" in json.dumps(answer.body)) == (False, False)


async def test_the_channel_keeps_its_newest_hundred(
    context: Any, storage: MemoryStoragePort, clock: ManualClock
) -> None:
    ctx = context(webhooks_in={"x": HOOK})
    for number in range(101):
        headers = signed(message_id=f"m-{number}")
        assert (await receive_into(storage, "x", headers, BODY, ctx)).status == 202
        clock.advance(0.001)
    messages = await storage.read(lambda view: view.records(MESSAGES))
    assert (len(messages), messages[-1].external_id) == (100, "x:m-100")
    # The first one is not there any more, and still it is a repetition.
    assert (await receive_into(storage, "x", signed(message_id="m-0"), BODY, ctx)).status == 200
