"""The control-plane calls `/api/v1/…`, as a sidecar without a link makes them.

Promise: a call is answered for the workspace of its credential only, and an event is listed in
`accepted_ids` only when it is durable. Refusal: this conductor hands out no work and no budget;
its heartbeat answers the time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conductor_sdk.clock import from_epoch_ms, wire_time
from conductor_server.approvals import (
    ApprovalDecision,
    ApprovalQuery,
    ApprovalRequest,
    Approvals,
)
from conductor_server.errors import BadRequest, ForeignWorkspace
from conductor_server.http_wire import answer, bearer, body_of
from conductor_server.hub import EmbeddedConductor
from conductor_server.rotation import version_of
from conductor_server.tokens import Issued

SYNC_INTERVAL_S = 30


class _Named(Protocol):
    @property
    def workspace_id(self) -> str | None: ...


_B = TypeVar("_B", bound=_Named)


class _Workspace(msgspec.Struct, frozen=True):
    workspace_id: str | None = None


class _Enrolling(msgspec.Struct, frozen=True):
    rotate: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """A version of the credential, 0 for a new one; None: this is an enrollment."""


class _Record(msgspec.Struct, frozen=True):
    metric: str
    value: float
    timestamp: str
    tags: dict[str, str | float | bool] = {}


class _Telemetry(msgspec.Struct, frozen=True):
    workspace_id: str
    records: list[_Record]


class _Evidence(msgspec.Struct, frozen=True):
    workspace_id: str
    evidence_refs: list[str]


class _Events(msgspec.Struct, frozen=True):
    workspace_id: str
    events: list[msgspec.Raw]


class _Agent(msgspec.Struct, frozen=True):
    workspace_id: str
    org_id: str
    agent_id: str
    token_hint: str | None = None


class _Heartbeat(msgspec.Struct, frozen=True):
    workspace_id: str
    session_id: str
    agent_id: str | None = None
    wu_id: str | None = None
    health: dict[str, Any] = {}


class Rejected(msgspec.Struct, frozen=True):
    """An event that was not taken, and why."""

    event_id: str
    reason: str | None


class EventsTaken(msgspec.Struct, frozen=True):
    """The answer of `events`."""

    accepted: int
    accepted_ids: list[str]
    rejected: list[Rejected]


class Policies(msgspec.Struct, frozen=True):
    """The answer of `policies`."""

    default_decision: Literal["allow", "deny"] = "allow"
    rules: list[dict[str, str]] = []


class ControlPlane:
    """The routes, over one conductor."""

    def __init__(self, conductor: EmbeddedConductor) -> None:
        self._conductor = conductor
        self._limit = conductor.settings.limits.max_frame_bytes
        self._approvals = Approvals(conductor.clock)

    def routes(self) -> list[Route]:
        """Return the routes below `/api/v1`."""
        calls: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "telemetry": self._telemetry,
            "evidence": self._evidence,
            "events": self._events,
            "authenticate": self._authenticate,
            "heartbeat": self._heartbeat,
            "approvals/request": self._request_approval,
            "approvals/resolve": self._resolve_approval,
            "approvals/list": self._list_approvals,
        }
        return [
            Route("/api/v1/health", self._health, methods=["GET"]),
            Route("/api/v1/enrollments", self._enroll, methods=["POST"]),
            Route("/api/v1/policies", self._policies, methods=["GET", "POST"]),
            Route("/api/v1/config", self._config, methods=["GET", "POST"]),
            *(Route(f"/api/v1/{name}", call, methods=["POST"]) for name, call in calls.items()),
        ]

    async def _health(self, request: Request) -> Response:
        del request
        return answer({"status": "ok", "epoch": self._conductor.history.epoch})

    async def _enroll(self, request: Request) -> Response:
        conductor = self._conductor
        conductor.admit()
        asked = await body_of(request, _Enrolling, self._limit)
        if asked.rotate is not None:
            return await self._rotate(bearer(request), asked.rotate)
        issued = await conductor.enroll(bearer(request))
        workspace = issued.record.workspace
        own = f"{_origin(request, 'ws')}/link"
        link = own if conductor.link_for is None else conductor.link_for(workspace)
        return answer({**_granted(issued), "subject": workspace, "link": link})

    async def _rotate(self, credential: str, version: int) -> Response:
        """Give a sidecar its next credential, or hear that it is in use."""
        conductor = self._conductor
        record = await conductor.rotations.authenticate(credential)
        issued = await conductor.rotations.fetch(record, version)
        if issued is None:
            return answer({"version": version})
        return answer(_granted(issued))

    async def _policies(self, request: Request) -> Response:
        await self._call(request, _Workspace)
        return answer(Policies(self._conductor.settings.default_decision))

    async def _config(self, request: Request) -> Response:
        subject, _ = await self._call(request, _Workspace)
        control_plane = {
            "endpoint": _origin(request, "http"),
            "sync_interval": SYNC_INTERVAL_S,
            "policy_mode": "tighten-only",
        }
        return answer({"id": subject, "control_plane": control_plane})

    async def _telemetry(self, request: Request) -> Response:
        _, telemetry = await self._call(request, _Telemetry)
        return answer({"accepted": len(telemetry.records)})

    async def _evidence(self, request: Request) -> Response:
        _, evidence = await self._call(request, _Evidence)
        return answer({"accepted": len(evidence.evidence_refs)})

    async def _events(self, request: Request) -> Response:
        subject, pushed = await self._call(request, _Events)
        most = self._conductor.settings.limits.max_batch_events
        if len(pushed.events) > most:
            raise BadRequest(f"{len(pushed.events)} events, at most {most}")
        results = await self._conductor.accept(subject, pushed.events)
        taken = [r.event_id for r in results if r.status != "rejected"]
        rejected = [Rejected(r.event_id, r.reason) for r in results if r.status == "rejected"]
        return answer(EventsTaken(len(taken), taken, rejected))

    async def _authenticate(self, request: Request) -> Response:
        _, agent = await self._call(request, _Agent)
        return answer(
            {
                "workspace_id": agent.workspace_id,
                "org_id": agent.org_id,
                "agent_id": agent.agent_id,
                "token": bearer(request),
            }
        )

    async def _heartbeat(self, request: Request) -> Response:
        await self._call(request, _Heartbeat)
        return answer(
            {
                "status": "ok",
                "server_time": wire_time(self._conductor.clock.now()),
                "next_heartbeat_ms": SYNC_INTERVAL_S * 1000,
            }
        )

    async def _request_approval(self, request: Request) -> Response:
        _, asked = await self._call(request, ApprovalRequest)
        return answer(self._approvals.request(asked))

    async def _resolve_approval(self, request: Request) -> Response:
        _, decided = await self._call(request, ApprovalDecision)
        return answer(self._approvals.resolve(decided))

    async def _list_approvals(self, request: Request) -> Response:
        _, query = await self._call(request, ApprovalQuery)
        return answer(self._approvals.page(query))

    async def _call(self, request: Request, shape: type[_B]) -> tuple[str, _B]:
        """Authenticate, then read the body, then compare the workspace that it names."""
        record = await self._conductor.rotations.authenticate(bearer(request))
        body = await body_of(request, shape, self._limit)
        if body.workspace_id not in (None, record.workspace):
            raise ForeignWorkspace(f"{body.workspace_id!r} is not {record.workspace!r}")
        return record.workspace, body


def _granted(issued: Issued) -> dict[str, object]:
    expires_ms = issued.record.expires_ms
    return {
        "credential": issued.text.reveal(),
        "version": version_of(issued.record),
        "expires_at": None if expires_ms is None else wire_time(from_epoch_ms(expires_ms)),
    }


def _origin(request: Request, scheme: str) -> str:
    """Return the address under which the caller reached this conductor."""
    secure = "s" if request.url.scheme == "https" else ""
    return f"{scheme}{secure}://{request.url.netloc}"
