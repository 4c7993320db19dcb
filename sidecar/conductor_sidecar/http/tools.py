"""Requests about tools: list, describe, call. The same on the control socket and over TCP.

Promise: whoever is not allowed a tool learns neither whether it exists nor what the body would have
done; every answer is the one envelope. Refusal: no permission is decided here but that of a name,
and nothing of a body becomes a scope or an identity.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_handlers.toolhost.records import Caller, Request
from conductor_sidecar.http.access import Tools, may_call
from conductor_sidecar.http.answers import json_answer, output_answer, refusal_answer
from conductor_sidecar.http.bodies import idempotency_key, parse_call, read_body
from conductor_sidecar.http.errors import Refusal
from conductor_sidecar.logs import get_logger

BODY_MAX = 4 * 1024 * 1024
NAME_MAX = 160
"""The longest name that a manifest allows; nothing longer is looked for."""
_ROUTER = {
    404: ("ROUTE_NOT_FOUND", "There is no such request."),
    405: ("METHOD_NOT_ALLOWED", "The method is not allowed here."),
}
Endpoint = Callable[[HttpRequest], Awaitable[Response]]


class ToolSurface:
    """The requests, one method each."""

    def __init__(
        self, host: Tools, caller_of: Callable[[HttpRequest], Caller], *, body_max: int = BODY_MAX
    ) -> None:
        """Serve a host's tools.

        Args:
            host: The tool host.
            caller_of: Who sends a request: authenticated already.
            body_max: Bytes of a body.
        """
        self._host = host
        self._caller_of = caller_of
        self._body_max = body_max

    def routes(self) -> list[BaseRoute]:
        """Return the routes, for any application."""
        return [
            Route("/tools", _answered(self._list), methods=["GET"]),
            Route("/tools/{name}", _answered(self._one), methods=["GET", "POST"]),
            Route("/openapi.json", _answered(self._openapi), methods=["GET"]),
        ]

    async def _list(self, request: HttpRequest) -> Response:
        await self._host.ready()
        return json_answer({"tools": self._host.listings(self._caller_of(request))})

    async def _one(self, request: HttpRequest) -> Response:
        name: str = request.path_params["name"]
        caller = self._caller_of(request)
        if not may_call(caller, name):
            raise Refusal(403, "TOOL_NOT_ALLOWLISTED", "This caller may not use that tool.")
        if len(name) > NAME_MAX:
            raise Refusal(404, "TOOL_NOT_FOUND", "There is no such tool.")
        if request.method != "POST":
            await self._host.ready()
            return self._describe(caller, name)
        key = idempotency_key(request.headers.getlist("idempotency-key"))
        body = parse_call(await read_body(request.stream(), self._body_max))
        output = await self._host.call(Request(
            name, body.input, caller, key, body.run_id, body.task_id, body.session_id
        ))  # fmt: skip
        return output_answer(request.scope, output)

    def _describe(self, caller: Caller, name: str) -> Response:
        for listing in self._host.listings(caller):
            if listing.name == name:
                return json_answer(listing)
        raise Refusal(404, "TOOL_NOT_FOUND", "There is no such tool.")

    async def _openapi(self, request: HttpRequest) -> Response:
        from conductor_sidecar.http.openapi import openapi_document

        await self._host.ready()
        return json_answer(openapi_document(self._host.listings(self._caller_of(request))))


async def http_refused(request: HttpRequest, error: Exception) -> Response:
    """Answer what the router refused, with the envelope."""
    return refusal_answer(request.scope, _of_router(error))


def _of_router(error: Exception) -> Refusal:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    code, message = _ROUTER.get(status, ("REQUEST_REFUSED", "The request was refused."))
    return Refusal(status, code, message, headers=headers)


def _answered(endpoint: Endpoint) -> Endpoint:
    """Turn refusals and what nobody thought of into answers."""

    async def answer(request: HttpRequest) -> Response:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            return refusal_answer(request.scope, refusal)
        except HTTPException as error:
            return refusal_answer(request.scope, _of_router(error))
        except ClientDisconnect:
            raise  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001  its text may hold anything; its type is enough
            name = type(error).__name__
            get_logger(part="http").error("request_failed", error=name)
            failure = Refusal(500, "INTERNAL_ERROR", f"The request failed ({name}).")
            return refusal_answer(request.scope, failure)

    return answer
