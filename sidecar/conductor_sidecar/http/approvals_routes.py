"""Approvals on the control socket: list, show, grant, deny.

Promise: a decision answers with the approval as it is now, and one that came too late with 409 and
what it had become. Refusal: not served over TCP: whoever calls tools there cannot give itself
leave.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_sdk.approval import ApprovalState
from conductor_sidecar.approvals import approval_json
from conductor_sidecar.control import Control, Decision
from conductor_sidecar.errors import RequestInvalid
from conductor_sidecar.http.small_body import small_body
from conductor_state.errors import ApprovalDecided

BODY_MAX = 16 * 1024
LIMIT_MAX = 10_000
STATES = get_args(ApprovalState)


def approval_routes(control: Control) -> list[BaseRoute]:
    """Return the routes; the control socket's application mounts them."""
    routes = ApprovalRoutes(control)
    return [
        Route("/v1/approvals", routes.list, methods=["GET"]),
        Route("/v1/approvals/{request_id}", routes.show, methods=["GET"]),
        Route("/v1/approvals/{request_id}/grant", routes.grant, methods=["POST"]),
        Route("/v1/approvals/{request_id}/deny", routes.deny, methods=["POST"]),
    ]


class ApprovalRoutes:
    """The requests, one method each."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def list(self, request: Request) -> Response:
        """List approvals, newest first; `?state=` may stand several times."""
        query = request.query_params
        states = query.getlist("state")
        for state in states:
            if state not in STATES:
                raise RequestInvalid(f"{state[:40]!r} is not one of: {', '.join(STATES)}")
        found = await self._control.desk.approvals.list(states, _limit(query.get("limit", "100")))
        return _json({"approvals": [approval_json(approval) for approval in found]})

    async def show(self, request: Request) -> Response:
        """Show one approval."""
        found = await self._control.desk.approvals.show(request.path_params["request_id"])
        return _json(approval_json(found))

    async def grant(self, request: Request) -> Response:
        """Give leave, once."""
        return await self._decide(request, granted=True)

    async def deny(self, request: Request) -> Response:
        """Refuse leave."""
        return await self._decide(request, granted=False)

    async def _decide(self, request: Request, *, granted: bool) -> Response:
        request_id: str = request.path_params["request_id"]
        decision = await small_body(request, Decision, BODY_MAX)
        try:
            decided = await self._control.decide(request_id, granted=granted, decision=decision)
        except ApprovalDecided as error:
            return _json({"error": error.as_json()}, 409)
        return _json(approval_json(decided))


def _limit(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX)):
        return min(max(1, int(text)), LIMIT_MAX)
    raise RequestInvalid(f"{text[:40]!r} is not a number from 1 to {LIMIT_MAX}")


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
