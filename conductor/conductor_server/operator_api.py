"""What whoever runs the conductor may do while it runs: `/dev/…`.

Promise: every call needs the operator token of this run, compared in constant time. Refusal: a
sidecar's credential opens nothing here.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conductor_sdk.clock import epoch_ms
from conductor_sdk.secret import Secret
from conductor_server.errors import BadRequest, OperatorRefused
from conductor_server.fault_plan import plan_texts
from conductor_server.http_wire import answer, bearer, body_of
from conductor_server.hub import EmbeddedConductor, Sent
from conductor_server.ports import HistoryEvent, TokenRecord
from conductor_server.rotation import OVERLAP_S
from conductor_server.to_send import ToSend
from conductor_server.tokens import ENROLLMENT_TTL_S, state_of

COUNT_MAX = 100_000
_SEND_BATCH = 1000
_BODY_MAX = 4_194_304
_PAGE_MAX = 1000
_WAIT_MAX_S = 30
T = TypeVar("T")


class SendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/send`."""

    workspace: str
    kind: str
    payload: dict[str, Any] = {}
    idempotency_key: str | None = None
    """With a count over 1 each event gets the key with `-1`, `-2`, … behind it."""
    count: int = 1
    again: bool = False
    traceparent: str | None = None


class TokenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/tokens`."""

    workspace: str
    ttl_s: float = ENROLLMENT_TTL_S


class RevokeOrder(msgspec.Struct, frozen=True):
    """The body of `POST /dev/tokens/revoke`."""

    token_id: str


class RotateOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/tokens/rotate`."""

    workspace: str
    overlap_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = OVERLAP_S


class FaultOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/faults`."""

    faults: list[str]


class RestartOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/restart`."""

    forget: bool = False


class WorkspaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/disconnect`, and of `POST /dev/forget` with `through`."""

    workspace: str
    through: int = 0


class DrainOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /dev/drain`."""

    retry_after_s: float = 1.0
    address: str | None = None


class EventLine(msgspec.Struct, frozen=True):
    """A pushed event as `GET /dev/events` lists it."""

    sequence: int
    at_ms: int
    event_id: str
    kind: str
    event: msgspec.Raw


class TokenLine(msgspec.Struct, frozen=True):
    """A token as `GET /dev/tokens` lists it: without its text and digest."""

    token_id: str
    purpose: str
    workspace: str
    state: str
    issued_ms: int
    expires_ms: int | None


class OperatorApi:
    """The routes, over one conductor."""

    def __init__(self, conductor: EmbeddedConductor, token: Secret) -> None:
        self._conductor = conductor
        self._token = token

    def routes(self) -> list[Route]:
        """Return the routes below `/dev`."""
        return [
            Route("/dev/send", self._send, methods=["POST"]),
            Route("/dev/events", self._events, methods=["GET"]),
            Route("/dev/workspaces", self._workspaces, methods=["GET"]),
            Route("/dev/tokens", self._tokens, methods=["GET"]),
            Route("/dev/tokens", self._issue, methods=["POST"]),
            Route("/dev/tokens/revoke", self._revoke, methods=["POST"]),
            Route("/dev/tokens/rotate", self._rotate, methods=["POST"]),
            Route("/dev/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/dev/restart", self._restart, methods=["POST"]),
            Route("/dev/disconnect", self._disconnect, methods=["POST"]),
            Route("/dev/forget", self._forget, methods=["POST"]),
            Route("/dev/drain", self._drain, methods=["POST"]),
        ]

    async def _send(self, request: Request) -> Response:
        order = await self._order(request, SendOrder)
        if not 1 <= order.count <= COUNT_MAX:
            raise BadRequest(f"count is from 1 to {COUNT_MAX}")
        sent: list[Sent] = []
        for start in range(0, order.count, _SEND_BATCH):
            batch = [
                ToSend(order.kind, order.payload, _numbered(order, number), order.traceparent)
                for number in range(start, min(start + _SEND_BATCH, order.count))
            ]
            sent += await self._conductor.send_many(order.workspace, batch, again=order.again)
        return answer({"events": [one._asdict() for one in sent]})

    async def _events(self, request: Request) -> Response:
        self._allow(request)
        query = request.query_params
        after = _number(query.get("after"), 0)
        limit = min(max(_number(query.get("limit"), 100), 1), _PAGE_MAX)
        wait_s = min(_number(query.get("wait_s"), 0), _WAIT_MAX_S)
        events = await self._conductor.pushed(
            query.get("workspace") or None, after, limit, wait_s=wait_s
        )
        return answer({"events": [event_line(event) for event in events]})

    async def _workspaces(self, request: Request) -> Response:
        self._allow(request)
        return answer({"workspaces": await self._conductor.workspaces()})

    async def _tokens(self, request: Request) -> Response:
        self._allow(request)
        now_ms = epoch_ms(self._conductor.clock.now())
        records = await self._conductor.tokens.records()
        return answer({"tokens": [token_line(record, now_ms) for record in records]})

    async def _issue(self, request: Request) -> Response:
        order = await self._order(request, TokenOrder)
        issued = await self._conductor.tokens.issue(order.workspace, ttl_s=order.ttl_s)
        self._conductor.feed.tell("token_issued", order.workspace, issued.record.token_id)
        return answer({"token_id": issued.record.token_id, "token": issued.text.reveal()})

    async def _revoke(self, request: Request) -> Response:
        order = await self._order(request, RevokeOrder)
        record = await self._conductor.revoke(order.token_id)
        return answer(token_line(record, epoch_ms(self._conductor.clock.now())))

    async def _rotate(self, request: Request) -> Response:
        order = await self._order(request, RotateOrder)
        return answer(await self._conductor.rotate(order.workspace, order.overlap_s))

    async def _faults(self, request: Request) -> Response:
        board = self._conductor.faults
        if request.method == "POST":
            order = await self._order(request, FaultOrder)
            board.set(order.faults)
            self._conductor.feed.tell("fault", detail=" ".join(plan_texts(board.plan)) or "none")
        elif request.method == "DELETE":
            self._allow(request)
            board.clear()
            self._conductor.feed.tell("fault", detail="none")
        else:
            self._allow(request)
        return answer(
            {
                "faults": plan_texts(board.plan),
                "seed": board.seed,
                "counts": dict(board.counts),
            }
        )

    async def _restart(self, request: Request) -> Response:
        order = await self._order(request, RestartOrder)
        await self._conductor.restart(forget=order.forget)
        return answer({"epoch": self._conductor.history.epoch})

    async def _disconnect(self, request: Request) -> Response:
        order = await self._order(request, WorkspaceOrder)
        return answer({"disconnected": await self._conductor.disconnect(order.workspace)})

    async def _forget(self, request: Request) -> Response:
        order = await self._order(request, WorkspaceOrder)
        forgotten = await self._conductor.forget(order.workspace, order.through)
        return answer({"forgotten": forgotten})

    async def _drain(self, request: Request) -> Response:
        order = await self._order(request, DrainOrder)
        await self._conductor.drain(order.retry_after_s, order.address)
        return answer({"drained": True})

    def _allow(self, request: Request) -> None:
        given = bearer(request).encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._token.reveal().encode()):
            raise OperatorRefused

    async def _order(self, request: Request, shape: type[T]) -> T:
        self._allow(request)
        return await body_of(request, shape, _BODY_MAX)


def event_line(event: HistoryEvent) -> EventLine:
    """Make the listed form of a pushed event."""
    raw = msgspec.Raw(event.body)
    return EventLine(event.sequence, event.at_ms, event.event_id, event.kind, raw)


def token_line(record: TokenRecord, now_ms: int) -> TokenLine:
    """Make the listed form of a token."""
    return TokenLine(
        token_id=record.token_id,
        purpose=record.purpose,
        workspace=record.workspace,
        state=state_of(record, now_ms),
        issued_ms=record.issued_ms,
        expires_ms=record.expires_ms,
    )


def _numbered(order: SendOrder, number: int) -> str | None:
    if order.idempotency_key is None or order.count == 1:
        return order.idempotency_key
    return f"{order.idempotency_key}-{number + 1}"


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise BadRequest(f"{text[:20]!r} is not a whole number")
    return int(text)
