"""`POST /v1/rotate`, on the control socket.

Promise: the answer comes when the new credential is in use, or says why it is not; no answer holds
a credential. Refusal: not served over TCP.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_sidecar.control import Control


def rotation_routes(control: Control) -> list[BaseRoute]:
    """Return the route; the control socket's application mounts it."""

    async def rotate(_: Request) -> Response:
        done = await control.rotate()
        return Response(msgspec.json.encode(done), media_type="application/json")

    return [Route("/v1/rotate", rotate, methods=["POST"])]
