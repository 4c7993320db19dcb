"""Pushing events by HTTP where no link exists: `POST /api/v1/events`.

Promise: an event counts as confirmed only if the reply names its id or accepts as many events as
the batch has; whatever else happens, the caller still has the batch. Refusal: no retry, no
redirect, no proxy, nothing comes down this way; the credential goes only into the header.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import msgspec

from conductor_adapters.endpoint import bearer, client_tls, parse_endpoint
from conductor_adapters.http_refusal import refusal
from conductor_adapters.transport import ConnectFailed
from conductor_sdk.clock import SystemClock
from conductor_sdk.event import parse_event
from conductor_sdk.secret import Secret

if TYPE_CHECKING:
    import httpx2

PATH = "/api/v1/events"
_REPLY_BYTES = 1_048_576
_SUCCESS = range(200, 300)
_Shape = TypeVar("_Shape")
Status: TypeAlias = Literal["accepted", "duplicate", "rejected", "unconfirmed"]


class HttpPushResult(msgspec.Struct, frozen=True):
    """What the conductor said of one pushed event."""

    event_id: str
    status: Status
    """`unconfirmed`: it said nothing; push the event again."""
    reason: str | None = None


class _Verdict(msgspec.Struct, frozen=True):
    event_id: str
    status: Literal["accepted", "duplicate", "rejected"] = "accepted"
    reason: str | None = None


class _Rejected(msgspec.Struct, frozen=True):
    event_id: str
    reason: str | None = None


class _Reply(msgspec.Struct, frozen=True):
    results: object = None
    accepted_ids: object = None
    accepted: object = None
    rejected: object = None


class HttpPusher:
    """Pushes batches to one conductor; keeps its connections until `close`."""

    def __init__(
        self,
        base_url: str,
        credential: Secret,
        *,
        timeout_s: float = 10.0,
        ca_file: str | None = None,
        allow_plaintext: bool = False,
    ) -> None:
        """Check the address; nothing is opened yet.

        Args:
            base_url: `https://HOST[:PORT][/PATH]`; exactly one trailing slash is removed.
            credential: Sent as a bearer token.
            timeout_s: For one push as a whole.
            ca_file: PEM file of extra trust anchors.
            allow_plaintext: Whether `http://` may leave this machine.

        Raises:
            ConnectFailed: If the address is malformed or would leak the credential.
        """
        self._endpoint = parse_endpoint(
            base_url, plain="http", encrypted="https", allow_plaintext=allow_plaintext
        )
        if "?" in base_url:
            raise ConnectFailed("the base address has a ?query")
        self._url = base_url.removesuffix("/") + PATH
        self._credential = credential
        self._timeout_s = timeout_s
        self._ca_file = ca_file
        self._client: httpx2.AsyncClient | None = None

    async def push(self, workspace: str, events: Sequence[bytes]) -> list[HttpPushResult]:
        """Push a batch in order; return one result for each event, in the same order.

        Args:
            workspace: The workspace id.
            events: Encoded kernel events.

        Raises:
            CredentialRefused: 401 or 403.
            ConductorBusy: 429 or 503, with Retry-After where given.
            ConnectFailed: Any other failure; the conductor may still have stored the events.
            EventMalformed: If one of `events` is not an event; nothing was sent.
        """
        if not events:
            return []
        event_ids = [parse_event(event).event_id for event in events]
        body = b'{"workspace_id":%b,"events":[%b]}' % (
            json.dumps(workspace).encode(),
            b",".join(events),
        )
        return judge(event_ids, await self._post(body))

    async def close(self) -> None:
        """Release the connections. Idempotent; a later push opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _post(self, body: bytes) -> bytes:
        import httpx2

        client = self._client = self._client or self._open()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                client.stream("POST", self._url, content=body) as response,
            ):
                reply = await _read(response)
        except TimeoutError:
            detail = f"{self._endpoint} did not answer within {self._timeout_s:g} s"
            raise ConnectFailed(detail) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            detail = f"{self._endpoint}: {error}".rstrip(": ") or type(error).__name__
            raise ConnectFailed(detail) from None
        if response.status_code not in _SUCCESS:
            raise refusal(
                str(self._endpoint),
                status=response.status_code,
                reason=response.reason_phrase,
                retry_after=response.headers.get("retry-after"),
                body=reply,
                credential=self._credential,
                now=SystemClock().now(),
            )
        return reply

    def _open(self) -> httpx2.AsyncClient:
        import httpx2

        return httpx2.AsyncClient(
            # A function, so that no local variable of a traceback holds the header.
            auth=self._authorize,
            headers={"content-type": "application/json"},
            timeout=None,  # `_post` bounds the call as a whole
            trust_env=False,
            verify=client_tls(self._ca_file) if self._endpoint.secure else False,
        )

    def _authorize(self, request: httpx2.Request) -> httpx2.Request:
        request.headers["authorization"] = bearer(self._credential)
        return request


def judge(event_ids: Sequence[str], reply: bytes) -> list[HttpPushResult]:
    """Decide what a successful reply confirms.

    Args:
        event_ids: The batch, in order.
        reply: JSON with any of `results` (objects of `event_id`, `status`, `reason`),
            `accepted_ids` (strings), `rejected` (objects of `event_id`, `reason`) and `accepted`
            (a number). A part of the wrong shape says nothing.
    """
    try:
        fields = msgspec.json.decode(reply, type=_Reply)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        fields = _Reply()
    verdicts: dict[str, HttpPushResult] = {}
    if _shaped(fields.accepted, int) == len(event_ids):
        verdicts.update((one, HttpPushResult(one, "accepted")) for one in event_ids)
    for one in _shaped(fields.accepted_ids, list[str]) or []:
        verdicts[one] = HttpPushResult(one, "accepted")
    for no in _shaped(fields.rejected, list[_Rejected]) or []:
        verdicts[no.event_id] = HttpPushResult(no.event_id, "rejected", no.reason)
    for each in _shaped(fields.results, list[_Verdict]) or []:
        verdicts[each.event_id] = HttpPushResult(each.event_id, each.status, each.reason)
    return [verdicts.get(one) or HttpPushResult(one, "unconfirmed") for one in event_ids]


def _shaped(value: object, shape: type[_Shape]) -> _Shape | None:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return None


async def _read(response: httpx2.Response) -> bytes:
    """Read the body, at most about 1 MiB of it: what a conductor says is short."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > _REPLY_BYTES:
            break
    return b"".join(parts)
