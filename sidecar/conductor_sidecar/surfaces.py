"""Where a daemon is reached: its control socket, and tools over TCP where that is configured.

Promise: the socket is there for the same user while the block lasts; nothing listens on TCP unless
`http.listen` names an address, and what is not used is not imported. Refusal: no request is
answered here.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
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
    from conductor_sidecar.door import Door
    from conductor_sidecar.http.listener import TcpSurface
    from conductor_sidecar.mcp.endpoint import McpEndpoint
    from conductor_sidecar.observatory import Observatory


class Served:
    """What is served, as far as settings, packs and tools make it."""

    def __init__(self) -> None:
        self._makers: list[Callable[[Settings], McpEndpoint]] = []
        self._endpoints: list[McpEndpoint] = []
        self._retired: list[McpEndpoint] = []
        self._late: Callable[[], Door] | None = None
        self._door: Door | None = None

    @property
    def url(self) -> str | None:
        """Where tools are served over TCP; None: nowhere."""
        return None if self._door is None else self._door.url

    def add(self, endpoint: McpEndpoint, again: Callable[[Settings], McpEndpoint]) -> None:
        """Take note of what is served, and of how to put another in its place."""
        self._makers.append(again)
        self._endpoints.append(endpoint)

    async def open(self, door: Callable[[], Door], settings: Settings, *, handed: bool) -> None:
        """Take note of how the door to TCP is made, and open it where the settings want it.

        Raises:
            ListenFailed: The address of the configuration cannot be had.
            ListenRefused: It is not of this machine, and that is not allowed.
        """
        self._late = door
        if handed:
            self._door = door()
        await self.prepare(settings)
        await self.settle()

    async def prepare(self, settings: Settings) -> None:
        """Listen at another address, if the settings want it; `settle` or `undo` must follow.

        Raises:
            ListenFailed: It cannot be had; nothing has changed.
            ListenRefused: It is not of this machine, and that is not allowed; likewise.
        """
        if self._door is None and self._late is not None and settings.http.listen is not None:
            self._door = self._late()
        if self._door is not None:
            await self._door.prepare(settings)

    async def undo(self) -> None:
        """Leave the address that was prepared."""
        if self._door is not None:
            await self._door.undo()

    async def settle(self) -> None:
        """Leave what was served before."""
        try:
            if self._door is not None:
                await self._door.settle()
        finally:
            await self.retire()

    def renew(self, settings: Settings) -> None:
        """Serve other settings, packs and tools; requests that have begun end as they began."""
        if self._door is not None:
            self._door.renew(settings)
        made = [make(settings) for make in self._makers]
        self._retired += self._endpoints
        self._endpoints = made

    async def retire(self) -> None:
        """End the MCP sessions of what is not served any more."""
        while self._retired:
            await self._retired.pop().close()

    async def close(self) -> None:
        """End every MCP session, and leave TCP."""
        door, self._door, self._late = self._door, None, None
        try:
            if door is not None:
                await door.close()
        finally:
            self._retired += self._endpoints
            self._endpoints, self._makers = [], []
            await self.retire()


@contextlib.asynccontextmanager
async def serving(
    workspace: Workspace, settings: Settings, stores: Stores, control: Control, packs: BoundPacks,
    handed: socket.socket | None = None, *, observed: Observatory,
    more: Sequence[BaseRoute] = (), served: Served,
) -> AsyncGenerator[None]:  # fmt: skip
    """Serve for the length of a block.

    A listening socket that the service manager has `handed` over takes the place of `http.listen`.

    Raises:
        ControlSocketTaken: Something else stands where the socket belongs.
        ListenFailed: The address of the configuration cannot be had.
        ListenRefused: It is not of this machine, and that is not allowed.
    """
    local = _control_socket(workspace, settings, stores, control, observed, more, served)
    tcp = partial(_tcp, workspace, stores, control, packs, observed)

    def door() -> Door:
        from conductor_sidecar.door import Door

        return Door(tcp, handed)

    async with local:
        try:
            await served.open(door, settings, handed=handed is not None)
            yield
        finally:
            await served.close()


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
        await server.stop()
        listener.close()
        remove_control_socket(workspace)


def _tcp(
    workspace: Workspace, stores: Stores, control: Control, packs: BoundPacks,
    observed: Observatory, settings: Settings,
) -> tuple[TcpSurface, McpEndpoint]:  # fmt: skip
    from conductor_sidecar.http.access import caller_of
    from conductor_sidecar.http.hooks import PREFIX
    from conductor_sidecar.http.listener import TcpSurface
    from conductor_sidecar.http.watch_routes import open_paths, watch_routes

    endpoint, mcp = _mcp(settings, control, caller_of)
    hooks = _hooks(settings, packs)
    surface = TcpSurface(
        control.tools, workspace, settings.http, stores.journal, stores.clock,
        [mcp, *hooks, *watch_routes(observed, local=False)],
        signed=(PREFIX,) if hooks else (), open_paths=open_paths(observed),
    )  # fmt: skip
    return surface, endpoint


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
