"""Webhooks as the pack has them: in through its receiver, out through a real server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from conductor_packs.sidekick.channels.inbound import verify_inbound
from conductor_packs.sidekick.hooks import receive_webhook
from conductor_packs.sidekick.pack import pack
from conductor_packs.sidekick.records import DELIVERIES, MESSAGES
from conductor_sdk.secret import Secret
from conductor_sdk.testing import PackHarness
from conductor_sdk.webhook import ANY_NAME

TEXT = "whsec_" + base64.b64encode(b"a-secret-of-24-bytes-abc").decode()
BODY = b'{"content": "hello"}'


def signed(at: datetime, message_id: str = "m-1") -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(TEXT).sign(message_id, at, BODY.decode()),
    }


@contextlib.asynccontextmanager
async def harness(workspace: Path, **config: Any) -> AsyncGenerator[PackHarness]:
    secret = workspace / "hook.secret"
    secret.write_text(TEXT)
    secret.chmod(0o600)
    made = PackHarness(pack, workspace=workspace, config=config)
    try:
        yield made
    finally:
        await made.pack_context.storage_port().close()
        await made.close()


@pytest.mark.parametrize("own", [True, False])
async def test_the_packs_receiver_keeps_a_message_with_either_context(
    tmp_path: Path, own: bool
) -> None:
    async with harness(tmp_path, webhooks_in={"github": {"secret_file": "hook.secret"}}) as made:
        receiver = pack.webhooks[ANY_NAME]
        ctx = made.pack_context if own else made.context
        headers = signed(made.clock.now())
        answers = [await receiver("github", headers, BODY, ctx) for _ in range(2)]
        assert [answer.status for answer in answers] == [202, 200]
        assert (await receive_webhook("other", headers, BODY, ctx)).status == 404
        received = await made.tools.call("channel:receive", {"channel": "inbox"})
        assert [item["content"] for item in (received.data or {})["items"]] == ["hello"]


class Server:
    """A provider that answers what it is told, in order; the last answer is repeated."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncGenerator[Server]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): text
            for name, _, text in (line.partition(": ") for line in head[1:] if line)
        }
        self.seen.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()


async def test_a_message_reaches_a_provider_that_was_down_signed_and_under_one_id(
    tmp_path: Path,
) -> None:
    async with Server(503, 204).listening() as server:
        out = {"url": server.url, "secret_file": "hook.secret", "allow_private": True}
        async with harness(tmp_path, webhooks_out={"alerts": out}) as made:
            given = {"provider": "Alerts", "channel": "ops", "content": "héllo"}
            refused = await made.tools.call("channel:send", given)
            assert refused.error is not None
            assert refused.error.code == "INTEGRATION_PROVIDER_SEND_FAILED"
            assert (refused.data or {})["failureClass"] == "retryable"
            made.clock.advance(5)
            await made.pack_context.outbox().deliver_due()
            port = made.pack_context.storage_port()
            [delivery] = await port.read(lambda view: view.records(DELIVERIES))
            assert (delivery.state, delivery.attempts) == ("delivered", 2)
            assert await port.read(lambda view: view.records(MESSAGES)) == []
            now = made.clock.now()
        ids = {
            verify_inbound(headers, body, Secret(TEXT), now).message_id
            for headers, body in server.seen
        }
        assert (len(server.seen), ids) == (2, {delivery.id})
        assert json.loads(server.seen[0][1])["data"]["content"] == "héllo"


async def test_a_secret_that_is_spoilt_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERTS_SECRET", TEXT[:-4] + "*")
    out = {"url": "https://hooks.example/in", "secret_env": "ALERTS_SECRET"}
    async with harness(tmp_path, webhooks_out={"alerts": out}) as made:
        output = await made.tools.call("channel:send", {"provider": "alerts", "content": "x"})
        said = repr(output) + repr(vars(made.log))
        kept = "".join(
            file.read_text() for file in (tmp_path / ".sidekick").rglob("*") if file.is_file()
        )
        assert (output.success, TEXT[6:20] in said + kept) == (False, False)
