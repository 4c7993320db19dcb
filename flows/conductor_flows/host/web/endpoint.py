"""A route of a flow: what is read of a request, and the run that it begins.

Promise: the payload is the body, or for a request without one the query and the parameters of the
path; nothing runs before all of it was read. Refusal: a run that is over is not begun again for a
client that comes back to its stream: it gets 204, which tells it to stop.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from conductor_flows.execute.runner import Invocation
from conductor_flows.host.errors import Draining
from conductor_flows.host.web.exchange import Exchange, Place
from conductor_flows.host.web.gate import Gate
from conductor_flows.host.web.live import parse_event_id
from conductor_flows.host.web.measuring import Meter
from conductor_flows.host.web.metadata import extensions_of, labels_of
from conductor_flows.host.web.query import QueryShape
from conductor_flows.host.web.reading import check_head, check_type, decode, read_body, read_query
from conductor_flows.host.web.route import Route
from conductor_flows.host.web.site import Site

BODYLESS: Final = frozenset({"GET", "DELETE"})
"""Methods whose payload is the query where there is no body."""


class Endpoint:
    """An ASGI application for one route."""

    def __init__(self, route: Route, site: Site) -> None:
        """Prepare a route.

        Args:
            route: Checked.
            site: That it is part of.
        """
        self._route = route
        self._site = site
        flow = route.host.flow
        recorder = route.host.services.recorder
        self._place = Place(
            site, flow.name, Gate(route.concurrency, route.waiting, route.wait_s),
            Meter(recorder, flow.name, route.path), resumable_s=route.resumable_s,
            tells_token=route.tells_token, tell=route.host.services.tell,
        )  # fmt: skip
        site.live.append(self._place.live)
        trigger = next(node for node in flow.nodes if node.alias == route.trigger)
        handler = route.host.runner.program.handlers.get(trigger.identifier)
        self._shape = QueryShape({} if handler is None else handler.takes.schema())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(self._place, scope, receive, send)
        await exchange.serve(lambda: self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        if self._site.guests.draining:
            raise Draining
        last = parse_event_id(exchange.headers.get(b"last-event-id"))
        if last is not None:
            await self._come_back(exchange, *last)
            return
        invocation = await self._read(exchange)
        await exchange.run(lambda: self._route.host.invoke(invocation))

    async def _come_back(self, exchange: Exchange, run_id: bytes, after: int) -> None:
        run = self._place.live.get(run_id) if self._route.resumable_s else None
        if run is None or run.has_all(after):
            await exchange.send({"type": "http.response.start", "status": 204, "headers": []})
            await exchange.send({"type": "http.response.body"})
            return
        exchange.run_id = run_id
        await exchange.follow(run, after)

    async def _read(self, exchange: Exchange) -> Invocation:
        route, scope, headers = self._route, exchange.scope, exchange.headers
        check_head(scope["headers"])
        labels = labels_of(scope, headers)
        query = read_query(scope["query_string"])
        body = await read_body(
            exchange.receive, headers, route.max_body_bytes, self._site.choices.body_s
        )
        payload: Any
        if body:
            check_type(headers)
            payload = decode(body)
        elif scope["method"] in BODYLESS:
            payload = self._shape.payload(query, scope["path_params"])
        else:
            payload = None
        run_id = f"run-{uuid.uuid4()}"
        exchange.run_id = run_id.encode()
        labels["lf.run_id"] = run_id
        trust = self._site.choices.trust_auth_user
        extensions = extensions_of(scope, query, trust_auth_user=trust)
        return Invocation(
            payload, ends=route.ends, deadline_s=route.deadline_s, labels=labels,
            extensions=extensions,
        )  # fmt: skip
