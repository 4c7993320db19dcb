"""Serving users' flows on an address.

Promise: what cannot be served is said before requests are accepted, and everything is closed at the
end. Refusal: no authentication and no TLS: a proxy has those.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import click

from conductor_flows.capabilities.bindings.spec import Binding
from conductor_flows.cli.aside import aside
from conductor_flows.cli.failing import explained
from conductor_flows.cli.provided import Kept, bindings_for, kept_for
from conductor_flows.cli.ready import Ready
from conductor_flows.cli.specs import program_of
from conductor_flows.cli.telling import tell_failures
from conductor_flows.durable.services import Durability
from conductor_flows.execute.measures import Recorder
from conductor_flows.execute.program import Program
from conductor_flows.execute.services import Services
from conductor_flows.host.errors import AddressRefused
from conductor_flows.host.hosting import Host
from conductor_flows.host.services import serving
from conductor_flows.host.web.application import WebHost, application
from conductor_flows.host.web.route import routes_of
from conductor_flows.host.web.serving import bind
from conductor_flows.host.web.serving import serve as serve_on
from conductor_flows.host.web.site import Choices
from conductor_sdk.errors import ConductorError
from conductor_sdk.terminal_text import clean

BACKLOG: Final = 2048
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What was asked for."""

    specs: tuple[str, ...]
    addr: str
    binds: tuple[str, ...] = ()
    lock: Path | None = None
    store: str | None = None
    path: Path | None = None
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    """Over what the routes say."""
    choices: Choices = field(default_factory=Choices)
    metrics: tuple[str, int] | None = None
    """Where what was measured is served."""
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Flow:
    spec: str
    program: Program
    bindings: tuple[Binding, ...]
    kept: Kept | None

    @property
    def given(self) -> tuple[tuple[Binding, ...], Kept | None]:
        return self.bindings, self.kept


def serve(offer: Offer) -> None:
    """Serve until somebody stops it.

    Raises:
        ConductorError: A flow cannot be loaded or served, or the address is not to be had.
    """
    flows: list[_Flow] = []
    for spec in offer.specs:
        program = program_of(spec)
        bindings = bindings_for(program.flow, spec, offer.binds, offer.lock)
        kept = kept_for(program.flow, bindings, offer.store, offer.path)
        flows.append(_Flow(spec, program, bindings, kept))
    tell_failures()
    with aside():
        asyncio.run(_serve(offer, flows))


async def _serve(offer: Offer, flows: Sequence[_Flow]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        measured, metrics = stack.enter_context(_measured(offer.metrics))
        hosts = await stack.enter_async_context(_hosted(flows, measured))
        routes = [replace(route, **offer.limits) for host in hosts for route in routes_of(host)]
        web = application(routes, choices=offer.choices)
        listener = stack.enter_context(bind(offer.addr))
        _warn(hosts, flows, str(listener.getsockname()[0]))
        stop = asyncio.Event()
        telling = asyncio.create_task(_tell_of_stopping(web, stop), name="flow.telling")
        stack.callback(telling.cancel)
        ready = Ready(web.routes, metrics, as_json=offer.as_json)
        await serve_on(web, listener, ready=ready.say, stop=stop)


async def _tell_of_stopping(web: WebHost, stop: asyncio.Event) -> None:
    await stop.wait()
    if len(web.site.guests):
        click.echo("flows: letting requests finish; again to stop at once", err=True)


@contextlib.contextmanager
def _measured(address: tuple[str, int] | None) -> Generator[tuple[Recorder | None, str | None]]:
    """Give a recorder and the address of what it records, where somebody asked for it."""
    if address is None:
        yield None, None
        return
    from conductor_flows.cli.measured import Measured

    measured, host = Measured(), f"[{address[0]}]" if ":" in address[0] else address[0]
    with contextlib.ExitStack() as stack:
        try:
            port = stack.enter_context(measured.served(*address))
        except (OSError, OverflowError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise AddressRefused(f"--metrics-addr {host}:{address[1]}: {said}") from None
        yield measured.recorder, f"http://{host}:{port}/metrics"


@contextlib.asynccontextmanager
async def _hosted(flows: Sequence[_Flow], recorder: Recorder | None) -> AsyncGenerator[list[Host]]:
    """Give the hosts; flows that are bound alike share what is bound."""
    async with contextlib.AsyncExitStack() as stack:
        kept: dict[Kept | None, Durability | None] = {None: None}
        made: list[tuple[_Flow, Services]] = []
        hosts: list[Host] = []
        for flow in flows:
            if flow.kept not in kept and flow.kept is not None:
                opened = flow.kept.opened()
                kept[flow.kept] = await stack.enter_async_context(opened)
            like = (found for other, found in made if other.given == flow.given)
            services = next(like, None)
            if services is None:
                services = await stack.enter_async_context(
                    serving(
                        bindings=flow.bindings, durability=kept[flow.kept], recorder=recorder
                    )
                )  # fmt: skip
                made.append((flow, services))
            hosts.append(Host(flow.program, services, name="web_starlette"))
        yield hosts


def _warn(hosts: Sequence[Host], flows: Sequence[_Flow], address: str) -> None:
    for host, flow in zip(hosts, flows, strict=True):
        try:
            host.preflight()
        except ConductorError as error:
            explained(error, flow.spec, host.flow, as_json=True)
            told = f"[{error.code}] {host.flow.name}: {error.message}; {error.hint}"
            click.echo(clean(told), err=True)
    if not ipaddress.ip_address(address).is_loopback:
        click.echo(f"whoever reaches {address} can run these flows", err=True)
