"""A provider that posts messages to a URL, signed as Standard Webhooks says.

Promise: every try of one message has the same `webhook-id` and body, so that a receiver can tell a
repetition; the answer says whether another try makes sense. Refusal: no redirect to another host,
no address that the guard refuses, no proxy from the environment, and nothing comes in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
from standardwebhooks import Webhook

from conductor_packs.sidekick.channels.addresses import AddressRefused, GuardedTransport
from conductor_packs.sidekick.channels.port import (
    ReceiveReply,
    ReceiveRequest,
    SendReply,
    SendRequest,
)
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.secret import Secret

TYPE = "sidekick.message"
ANSWER_MAX_BYTES = 64 * 1024
RETRY_AFTER_MAX_S = 86_400.0
REDIRECTS_MAX = 3
_RETRYABLE = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_KEEPING_THE_METHOD = frozenset({307, 308})


class WebhookTransport:
    """Posts to one URL. Safe to share between tasks; `close` when done."""

    deduplicates = True

    def __init__(
        self, url: str, secret: Secret, *, clock: Clock, timeout_s: float = 10.0,
        allow_private: bool = False, transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        """Build it; nothing is connected to yet.

        Args:
            url: Where to.
            secret: Base64, with or without `whsec_`.
            clock: The time of the signature.
            timeout_s: The longest wait for one step of an answer.
            allow_private: As the guard's.
            transport: In place of the guarded one.
        """
        self._url = httpx2.URL(url)
        self._webhook = Webhook(secret.reveal())
        self._clock = clock
        self._client = httpx2.AsyncClient(
            transport=transport or GuardedTransport(allow_private=allow_private),
            timeout=timeout_s, follow_redirects=False, trust_env=False,
        )  # fmt: skip

    async def send(self, request: SendRequest) -> SendReply:
        """Post one message."""
        message_id = request.message_id or f"msg_{uuid4().hex}"
        body = self._body(request)
        try:
            status, headers = await self._post(message_id, body)
        except AddressRefused as error:
            return SendReply(False, error=str(error), failure_class="terminal")
        except (httpx2.HTTPError, OSError) as error:
            return SendReply(False, error=type(error).__name__, failure_class="retryable")
        return self._judged(status, headers, message_id)

    async def receive(self, request: ReceiveRequest) -> ReceiveReply:
        """Refuse: messages come in at `/hooks/sidekick/<name>` and are then in the workspace."""
        del request
        return ReceiveReply(
            False, error="a webhook cannot be asked; read the local channel",
            failure_class="terminal",
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, request: SendRequest) -> str:
        data: dict[str, Any] = {
            "workspace_id": request.workspace_id,
            "channel": request.channel,
            "content": request.content,
        }
        if request.metadata is not None:
            data["metadata"] = dict(request.metadata)
        # The message's own time, so that every try has the same bytes.
        stamp = request.created_at or wire_time(self._clock.now())
        sent = {"type": TYPE, "timestamp": stamp, "data": data}
        return msgspec.json.encode(sent).decode()

    async def _post(self, message_id: str, body: str) -> tuple[int, Mapping[str, str]]:
        url = self._url
        for _ in range(REDIRECTS_MAX + 1):
            now = self._clock.now()
            headers = {
                "content-type": "application/json",
                "user-agent": "conductor-sidekick",
                "webhook-id": message_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": self._webhook.sign(message_id, now, body),
            }
            async with self._client.stream("POST", url, content=body, headers=headers) as answer:
                status, said = answer.status_code, dict(answer.headers)
            there = self._same_host(url, said.get("location"))
            if status not in _KEEPING_THE_METHOD or there is None:
                return status, said
            url = there
        return 310, {}

    def _same_host(self, url: httpx2.URL, location: str | None) -> httpx2.URL | None:
        if location is None:
            return None
        try:
            there = url.join(location)
        except (httpx2.InvalidURL, ValueError):
            return None
        here = self._url
        same = (there.scheme, there.host, there.port) == (here.scheme, here.host, here.port)
        return there if same else None

    def _judged(self, status: int, headers: Mapping[str, str], message_id: str) -> SendReply:
        facts = {"status": status}
        if 200 <= status < 300:  # noqa: PLR2004  what HTTP calls success
            return SendReply(True, external_message_id=message_id, metadata=facts)
        if status in _RETRYABLE or status >= _SERVER_ERROR:
            return SendReply(
                False, error=f"answered {status}", failure_class="retryable",
                retry_after_seconds=self._retry_after(headers.get("retry-after")), metadata=facts,
            )  # fmt: skip
        return SendReply(
            False, error=f"answered {status}", failure_class="terminal", metadata=facts
        )

    def _retry_after(self, text: str | None) -> float | None:
        if text is None:
            return None
        if text.strip().isascii() and text.strip().isdigit():
            return min(float(text), RETRY_AFTER_MAX_S)
        moment = _http_date(text)
        if moment is None:
            return None
        wait_s = (moment - self._clock.now()).total_seconds()
        return min(max(0.0, wait_s), RETRY_AFTER_MAX_S)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
