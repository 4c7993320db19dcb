"""`POST /v1/reload` on the control socket.

Promise: the answer is what changed, or why nothing did, with what would have. Refusal: not served
over TCP, and no setting is taken from a request.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_sdk.errors import ConductorError
from conductor_sidecar.http.small_body import small_body
from conductor_sidecar.reload.reloader import Reloader

BODY_MAX = 1024


class ReloadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/reload`; it may be empty."""

    dry_run: bool = False


def reload_routes(reloader: Reloader) -> list[BaseRoute]:
    """Return the route; the control socket's application mounts it."""

    async def reload(request: Request) -> Response:
        asked = await small_body(request, ReloadRequest, BODY_MAX)
        try:
            report = await reloader.reload(dry_run=asked.dry_run)
        except ConductorError as error:
            body = {"error": error.as_json()}
            return Response(msgspec.json.encode(body), 409, media_type="application/json")
        return Response(msgspec.json.encode(report), media_type="application/json")

    return [Route("/v1/reload", reload, methods=["POST"])]
