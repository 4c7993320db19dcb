"""Ending a wait from outside: `POST /.flows/resume/{token}`.

Promise: whoever has the token of a wait, and nobody else, may end it, once; the run goes on, and
its outcome is the answer. Refusal: nothing is told about a token that is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.types import Receive, Scope, Send

from conductor_flows.durable.errors import CheckpointNotFound, TokenUnknown
from conductor_flows.durable.records import Checkpoint
from conductor_flows.durable.resume import Signal
from conductor_flows.execute.outcomes import Outcome
from conductor_flows.host.errors import Draining, WaitOver
from conductor_flows.host.hosting import Host
from conductor_flows.host.web.exchange import Exchange, Place
from conductor_flows.host.web.gate import Gate
from conductor_flows.host.web.measuring import Meter
from conductor_flows.host.web.reading import check_type, decode, read_body
from conductor_flows.host.web.route import BODY_MAX, Route
from conductor_flows.host.web.site import Site

RESUME: Final = "/.flows/resume/{token}"
AT_ONCE: Final = 64
WAIT_S: Final = 5.0
_PLAIN: Final = re.compile(r"[!-~]{1,200}")


class ResumeEndpoint:
    """An ASGI application."""

    def __init__(self, routes: Sequence[Route], site: Site) -> None:
        """Prepare for flows that keep checkpoints.

        Args:
            routes: All of the site.
            site: That it is part of.
        """
        hosts = list({id(route.host): route.host for route in routes}.values())
        self._secretive = {route.host.flow.id for route in routes if not route.tells_token}
        self._hosts = {host.flow.id: host for host in hosts if host.durability is not None}
        self._places = {id(host.durability): host.durability for host in hosts}
        self._site = site
        flow = hosts[0].flow.name if len(hosts) == 1 else "*"
        recorder = hosts[0].services.recorder if hosts else None
        gate, meter = Gate(AT_ONCE, AT_ONCE, WAIT_S), Meter(recorder, flow, RESUME)
        self._place = Place(site, flow, gate, meter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(self._place, scope, receive, send)
        await exchange.serve(lambda: self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        if self._site.guests.draining:
            raise Draining
        token: str = exchange.scope["path_params"]["token"]
        body = await read_body(
            exchange.receive, exchange.headers, BODY_MAX, self._site.choices.body_s
        )
        if body:
            check_type(exchange.headers)
        signal = Signal(decode(body), token)
        host, record = await self._found(token)
        exchange.run_id = _header_of(record.run_id)
        exchange.tells_token = record.flow_id not in self._secretive

        async def go_on() -> Outcome:
            try:
                return await host.resume(record.checkpoint_id, signal=signal)
            except CheckpointNotFound:
                raise WaitOver from None

        await exchange.run(go_on)

    async def _found(self, token: str) -> tuple[Host, Checkpoint]:
        """Find the run that a token belongs to.

        Raises:
            TokenUnknown: 404; TokenUsed: 410; WaitOver: 410: the run has ended without it.
        """
        for durability in self._places.values():
            if durability is None or durability.signals is None or durability.store is None:
                continue
            try:
                ticket = await durability.signals.peek(token)
            except TokenUnknown:
                continue
            try:
                record = await durability.store.get(ticket.checkpoint_id)
            except CheckpointNotFound:
                raise WaitOver from None
            if record.flow_id in self._hosts:
                return self._hosts[record.flow_id], record
        raise TokenUnknown


def _header_of(run_id: str) -> bytes:
    # Another way in may have begun the run, under an id that is no header and no id of an event.
    return run_id.encode() if _PLAIN.fullmatch(run_id) else b""
