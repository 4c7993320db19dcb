"""Messages that go out by webhook: signed, guarded, judged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

import httpx2
import pytest

from conductor_packs.sidekick.channels.addresses import GuardedTransport, is_public
from conductor_packs.sidekick.channels.inbound import verify_inbound
from conductor_packs.sidekick.channels.port import ReceiveRequest, SendRequest
from conductor_packs.sidekick.channels.webhook_out import WebhookTransport
from conductor_sdk.clock import ManualClock
from conductor_sdk.secret import Secret

SECRET = Secret("whsec_" + base64.b64encode(b"a-secret-of-24-bytes-abc").decode())
REQUEST = SendRequest("ws-1", "alerts", "general", "héllo", {"a": 1}, message_id="dlv-1")
Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture
async def through(clock: ManualClock) -> AsyncIterator[Callable[[Answer], WebhookTransport]]:
    made: list[WebhookTransport] = []

    def make(answer: Answer) -> WebhookTransport:
        made.append(
            WebhookTransport(
                "https://hooks.example/in", SECRET, clock=clock,
                transport=httpx2.MockTransport(answer),
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for transport in made:
        await transport.close()


async def test_a_message_is_posted_signed_with_the_same_id_on_every_try(
    through: Callable[[Answer], WebhookTransport], clock: ManualClock
) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(204)

    transport = through(answer)
    first = await transport.send(REQUEST)
    clock.advance(60)
    await transport.send(REQUEST)
    assert (first.success, first.external_message_id, first.metadata) == (
        True, "dlv-1", {"status": 204},
    )  # fmt: skip
    for request in seen:
        verified = verify_inbound(dict(request.headers), request.content, SECRET, clock.now())
        assert verified.message_id == "dlv-1"
    assert json.loads(seen[0].content) == {
        "type": "sidekick.message",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "data": {
            "workspace_id": "ws-1", "channel": "general", "content": "héllo", "metadata": {"a": 1},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "headers", "failure", "wait_s"),
    [
        (500, {}, "retryable", None),
        (503, {"retry-after": "30"}, "retryable", 30.0),
        (429, {"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT"}, "retryable", 90.0),
        (429, {"retry-after": "soon"}, "retryable", None),
        (429, {"retry-after": "9" * 30}, "retryable", 86_400.0),
        (408, {}, "retryable", None),
        (400, {}, "terminal", None),
        (401, {}, "terminal", None),
        (410, {}, "terminal", None),
        (302, {"location": "https://hooks.example/other"}, "terminal", None),
        (307, {"location": "https://evil.example/in"}, "terminal", None),
        (308, {"location": "http://hooks.example/in"}, "terminal", None),
    ],
)
async def test_an_answer_says_whether_another_try_makes_sense(
    through: Callable[[Answer], WebhookTransport],
    status: int, headers: dict[str, str], failure: str, wait_s: float | None,
) -> None:  # fmt: skip
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(status, headers=headers)

    reply = await through(answer).send(REQUEST)
    assert asked == ["https://hooks.example/in"]
    assert (reply.success, reply.failure_class, reply.retry_after_seconds) == (
        False, failure, wait_s,
    )  # fmt: skip


async def test_a_redirect_on_the_same_host_is_followed_a_few_times_and_signed_anew(
    through: Callable[[Answer], WebhookTransport],
) -> None:
    paths: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.path)
        if len(paths) < 3:
            return httpx2.Response(307, headers={"location": f"/moved/{len(paths)}"})
        return httpx2.Response(200)

    assert (await through(answer).send(REQUEST)).success is True
    assert paths == ["/in", "/moved/1", "/moved/2"]
    endless = through(lambda _: httpx2.Response(308, headers={"location": "/in"}))
    assert (await endless.send(REQUEST)).failure_class == "terminal"


@pytest.mark.parametrize(
    "error", [httpx2.ConnectTimeout("slow"), httpx2.ConnectError("no"), OSError()]
)
async def test_a_broken_connection_is_worth_another_try(
    through: Callable[[Answer], WebhookTransport], error: Exception
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error

    reply = await through(answer).send(REQUEST)
    assert (reply.success, reply.failure_class, reply.error) == (
        False, "retryable", type(error).__name__,
    )  # fmt: skip


async def test_a_webhook_cannot_be_asked_for_messages(
    through: Callable[[Answer], WebhookTransport],
) -> None:
    reply = await through(lambda _: httpx2.Response(200)).receive(ReceiveRequest("w", "p", "c"))
    assert (reply.success, reply.failure_class) == (False, "terminal")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "::127.0.0.1", "ff02::1", "not-an-address", "",
    ],
)  # fmt: skip
def test_an_address_that_is_not_of_the_open_internet_is_not_public(address: str) -> None:
    assert is_public(address) is False


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address) is True


def guarded(
    addresses: Sequence[str], inner: Answer, *, allow_private: bool = False
) -> GuardedTransport:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return GuardedTransport(
        allow_private=allow_private, resolver=resolver, inner=httpx2.MockTransport(inner)
    )


async def test_one_private_address_among_others_refuses_the_host(clock: ManualClock) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError("nothing may be sent")

    transport = WebhookTransport(
        "https://hooks.example/in", SECRET, clock=clock,
        transport=guarded(["93.184.216.34", "10.0.0.1"], answer),
    )  # fmt: skip
    reply = await transport.send(REQUEST)
    assert (reply.success, reply.failure_class) == (False, "terminal")
    assert "not in the open internet" in (reply.error or "")
    await transport.close()


async def test_the_judged_address_is_connected_to_under_the_hosts_name(clock: ManualClock) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    transport = WebhookTransport(
        "https://hooks.example/in", SECRET, clock=clock,
        transport=guarded(["93.184.216.34"], answer),
    )  # fmt: skip
    assert (await transport.send(REQUEST)).success is True
    [request] = seen
    assert (request.url.host, request.headers["host"], request.extensions["sni_hostname"]) == (
        "93.184.216.34", "hooks.example", "hooks.example",
    )  # fmt: skip
    await transport.close()


async def test_a_real_server_on_this_machine_is_reached_only_where_it_is_allowed(
    clock: ManualClock,
) -> None:
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        taken.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/in"
        strict = WebhookTransport(url, SECRET, clock=clock)
        allowed = WebhookTransport(url, SECRET, clock=clock, allow_private=True)
        assert (await strict.send(REQUEST)).failure_class == "terminal"
        assert taken == []
        assert (await allowed.send(REQUEST)).success is True
        assert len(taken) == 1
        await strict.close()
        await allowed.close()


def test_the_secret_is_not_in_a_representation(clock: ManualClock) -> None:
    transport = WebhookTransport("https://hooks.example/in", SECRET, clock=clock)
    assert "YS1zZWNyZXQ" not in repr(transport) + repr(vars(transport))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
