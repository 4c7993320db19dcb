"""Where a daemon is reached: its control socket, and tools over TCP where that is configured.

Promise: the socket is there for the same user while the block lasts; nothing listens on TCP unless
`http.listen` names an address, and what is not used is not imported. Refusal: no request is
answered here.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from conductor_sdk.workspace import Workspace, bind_control_socket, remove_control_socket
from conductor_sidecar.control import Control
from conductor_sidecar.packs import BoundPacks
from conductor_sidecar.settings import Settings
from conductor_sidecar.stores import Stores
from conductor_sidecar.tools import LateListings, local_caller

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from conductor_handlers.toolhost.records import Caller
    from conductor_sidecar.mcp.endpoint import McpEndpoint
    from conductor_sidecar.observatory import Observatory


class Served:
    """What is served, as far as settings, packs and tools make it."""

    def __init__(self) -> None:
        self._makers: list[Callable[[Settings], McpEndpoint]] = []
        self._endpoints: list[McpEndpoint] = []
        self._retired: list[McpEndpoint] = []

    def add(self, endpoint: McpEndpoint, again: Callable[[Settings], McpEndpoint]) -> None:
        """Take note of what is served, and of how to put another in its place."""
        self._makers.append(again)
        self._endpoints.append(endpoint)

    def renew(self, settings: Settings) -> None:
        """Serve other settings, packs and tools; requests that have begun end as they began."""
        made = [make(settings) for make in self._makers]
        self._retired += self._endpoints
        self._endpoints = made

    async def retire(self) -> None:
        """End the MCP sessions of what is not served any more."""
        while self._retired:
            await self._retired.pop().close()

    async def close(self) -> None:
        """End every MCP session."""
        self._retired += self._endpoints
        self._endpoints, self._makers = [], []
        await self.retire()


@contextlib.asynccontextmanager
async def serving(
    workspace: Workspace, settings: Settings, stores: Stores, control: Control, packs: BoundPacks,
    handed: socket.socket | None = None, *, observed: Observatory,
    more: Sequence[BaseRoute] = (), served: Served,
) -> AsyncGenerator[str | None]:  # fmt: skip
    """Serve for the length of a block; gives the address of the TCP surface, None without one.

    A listening socket that the service manager has `handed` over takes the place of `http.listen`.

    Raises:
        ControlSocketTaken: Something else stands where the socket belongs.
        ListenFailed: The address of the configuration cannot be had.
        ListenRefused: It is not of this machine, and that is not allowed.
    """
    async with contextlib.AsyncExitStack() as stack:
        local = _control_socket(workspace, settings, stores, control, observed, more, served)
        await stack.enter_async_context(local)
        if settings.http.listen is None and handed is None:
            yield None
        else:
            tcp = _tcp(workspace, settings, stores, control, packs, handed, observed, served)
            yield await stack.enter_async_context(tcp)


@contextlib.asynccontextmanager
async def _control_socket(
    workspace: Workspace, settings: Settings, stores: Stores, control: Control,
    observed: Observatory, more: Sequence[BaseRoute], served: Served,
) -> AsyncGenerator[None]:  # fmt: skip
    from starlette.applications import Starlette

    from conductor_sidecar.http.approvals_routes import approval_routes
    from conductor_sidecar.http.exchange import Exchange
    from conductor_sidecar.http.rotation_routes import rotation_routes
    from conductor_sidecar.http.server import SocketServer
    from conductor_sidecar.http.surface import Surface
    from conductor_sidecar.http.upkeep_routes import upkeep_routes
    from conductor_sidecar.http.watch_routes import watch_routes

    caller = local_caller()
    watching = [*watch_routes(observed, local=True), *rotation_routes(control), *more]
    routes = [*approval_routes(control), *upkeep_routes(workspace, stores), *watching]
    app = Exchange(Starlette())

    def make(settings: Settings) -> McpEndpoint:
        endpoint, mcp = _mcp(settings, control, lambda _: caller)
        app.app = Surface(control, [*routes, mcp]).app()
        return endpoint

    served.add(make(settings), make)
    listener = bind_control_socket(workspace, lock_held=True)
    server = SocketServer(app)
    try:
        await server.start(listener)
        yield
    finally:
        await served.close()
        await server.stop()
        listener.close()
        remove_control_socket(workspace)


@contextlib.asynccontextmanager
async def _tcp(
    workspace: Workspace, settings: Settings, stores: Stores, control: Control, packs: BoundPacks,
    handed: socket.socket | None, observed: Observatory, served: Served,
) -> AsyncGenerator[str | None]:  # fmt: skip
    from conductor_sidecar.http.access import caller_of
    from conductor_sidecar.http.hooks import PREFIX
    from conductor_sidecar.http.listener import TcpSurface
    from conductor_sidecar.http.watch_routes import open_paths, watch_routes

    watching = watch_routes(observed, local=False)

    def made(settings: Settings) -> tuple[TcpSurface, McpEndpoint]:
        endpoint, mcp = _mcp(settings, control, caller_of)
        hooks = _hooks(settings, packs)
        surface = TcpSurface(
            control.tools, workspace, settings.http, stores.journal, stores.clock,
            [mcp, *hooks, *watching],
            signed=(PREFIX,) if hooks else (), open_paths=open_paths(observed),
        )  # fmt: skip
        return surface, endpoint

    surface, endpoint = made(settings)
    async with surface.listening(handed) as listening:

        def again(settings: Settings) -> McpEndpoint:
            surface, endpoint = made(settings)
            if listening is not None:
                listening.renew(surface)
            return endpoint

        served.add(endpoint, again)
        try:
            yield None if listening is None else listening.url
        finally:
            await served.close()


def _hooks(settings: Settings, packs: BoundPacks) -> list[BaseRoute]:
    from conductor_sidecar.http.hooks import Hooks, hook_routes

    hooks = {
        pack.slug: Hooks(pack.pack.webhooks, packs.rooms[pack.slug].own)
        for pack in packs.registry.packs
    }
    return hook_routes(hooks, body_max=settings.http.body_max_bytes)


def _mcp(
    settings: Settings, control: Control, caller: Callable[[Any], Caller]
) -> tuple[McpEndpoint, BaseRoute]:
    from starlette.routing import Route

    from conductor_sidecar.mcp.endpoint import McpEndpoint

    endpoint = McpEndpoint(
        control.tools, caller, patterns=settings.mcp.tools, known=LateListings(control.tools.known),
        body_max_bytes=settings.http.body_max_bytes,
    )  # fmt: skip
    return endpoint, Route("/mcp", endpoint)
