"""`POST /hooks/<slug>/<name>`: requests from outside for packs, which check their signatures.

Promise: a receiver is given the body's bytes as they came, and what it answers is what is sent;
whatever it raises is 500 without a word more. Refusal: no signature is checked here, and no bearer
token is asked for: only routes of packs that declare receivers exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_sdk.context import PackContext
from conductor_sdk.webhook import ANY_NAME, WebhookReceiver
from conductor_sidecar.http.answers import json_answer, refusal_answer
from conductor_sidecar.http.bodies import read_body
from conductor_sidecar.http.errors import Refusal
from conductor_sidecar.logs import get_logger

PREFIX = "/hooks/"
"""Of every path here; the guard asks for no bearer token below it."""
BODY_MAX = 4 * 1024 * 1024
_WITHHELD = frozenset({"authorization", "cookie", "proxy-authorization"})
_OURS = frozenset({"content-type", "content-length", "connection", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Hooks:
    """The receivers of one pack."""

    receivers: Mapping[str, WebhookReceiver]
    """As `Pack.webhooks`."""
    context: PackContext


def hook_routes(hooks: Mapping[str, Hooks], *, body_max: int = BODY_MAX) -> list[BaseRoute]:
    """Return the routes of packs by slug; none where no pack declares a receiver."""
    declared = {slug: one for slug, one in hooks.items() if one.receivers}
    if not declared:
        return []
    return [Route("/hooks/{slug}/{name}", _Receiving(declared, body_max).receive, methods=["POST"])]


class _Receiving:
    def __init__(self, hooks: Mapping[str, Hooks], body_max: int) -> None:
        self._hooks = hooks
        self._body_max = body_max

    async def receive(self, request: Request) -> Response:
        """Give one request to its receiver."""
        try:
            return await self._received(request)
        except Refusal as refusal:
            return refusal_answer(request.scope, refusal)

    async def _received(self, request: Request) -> Response:
        slug, name = request.path_params["slug"], request.path_params["name"]
        hooks = self._hooks.get(slug)
        receiver = None if hooks is None else _receiver(hooks.receivers, name)
        if hooks is None or receiver is None:
            raise Refusal(404, "ROUTE_NOT_FOUND", "There is no such request.")
        body = await read_body(request.stream(), self._body_max)
        try:
            answer = await receiver(name, _headers(request), body, hooks.context)
        except Exception as error:  # noqa: BLE001  foreign code: anything may come
            kind = type(error).__name__
            get_logger(part="http").error("webhook_failed", pack=slug, error=kind)
            raise Refusal(500, "INTERNAL_ERROR", "The request failed.") from None
        headers = {key: text for key, text in answer.headers.items() if key.lower() not in _OURS}
        return json_answer(answer.body, answer.status, headers)


def _receiver(receivers: Mapping[str, WebhookReceiver], name: str) -> WebhookReceiver | None:
    # The key `*` is no name: whoever asks for it literally gets the same receiver by the rule.
    return receivers.get(name) or receivers.get(ANY_NAME)


def _headers(request: Request) -> Mapping[str, str]:
    """Return the headers that a signature may need; credentials for us are not the pack's."""
    return {name: text for name, text in request.headers.items() if name not in _WITHHELD}
