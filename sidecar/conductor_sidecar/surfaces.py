"""Where a daemon is reached: its control socket, and tools over TCP where that is configured.

Promise: the socket is there for the same user while the block lasts; nothing listens on TCP unless
`http.listen` names an address, and what is not used is not imported. Refusal: no request is
answered here.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

from conductor_sdk.workspace import Workspace, bind_control_socket, remove_control_socket
from conductor_sidecar.control import Control
from conductor_sidecar.packs import BoundPacks
from conductor_sidecar.settings import Settings
from conductor_sidecar.stores import Stores
from conductor_sidecar.tools import local_caller

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from conductor_handlers.toolhost.records import Caller
    from conductor_sidecar.mcp.endpoint import McpEndpoint


@contextlib.asynccontextmanager
async def serving(
    workspace: Workspace, settings: Settings, stores: Stores, control: Control, packs: BoundPacks,
    handed: socket.socket | None = None,
) -> AsyncGenerator[str | None]:  # fmt: skip
    """Serve for the length of a block; gives the address of the TCP surface, None without one.

    A listening socket that the service manager has `handed` over takes the place of `http.listen`.

    Raises:
        ControlSocketTaken: Something else stands where the socket belongs.
        ListenFailed: The address of the configuration cannot be had.
        ListenRefused: It is not of this machine, and that is not allowed.
    """
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_control_socket(workspace, settings, control))
        if settings.http.listen is None and handed is None:
            yield None
        else:
            tcp = _tcp(workspace, settings, stores, control, packs, handed)
            yield await stack.enter_async_context(tcp)


@contextlib.asynccontextmanager
async def _control_socket(
    workspace: Workspace, settings: Settings, control: Control
) -> AsyncGenerator[None]:
    from conductor_sidecar.http.approvals_routes import approval_routes
    from conductor_sidecar.http.server import SocketServer
    from conductor_sidecar.http.surface import Surface

    caller = local_caller()
    endpoint, mcp = _mcp(settings, control, lambda _: caller)
    app = Surface(control, [*approval_routes(control), mcp]).app()
    listener = bind_control_socket(workspace, lock_held=True)
    server = SocketServer(app)
    try:
        await server.start(listener)
        yield
    finally:
        await endpoint.close()
        await server.stop()
        listener.close()
        remove_control_socket(workspace)


@contextlib.asynccontextmanager
async def _tcp(
    workspace: Workspace, settings: Settings, stores: Stores, control: Control, packs: BoundPacks,
    handed: socket.socket | None,
) -> AsyncGenerator[str | None]:  # fmt: skip
    from conductor_sidecar.http.access import caller_of
    from conductor_sidecar.http.hooks import PREFIX
    from conductor_sidecar.http.listener import TcpSurface

    endpoint, mcp = _mcp(settings, control, caller_of)
    hooks = _hooks(settings, packs)
    surface = TcpSurface(
        control.tools, workspace, settings.http, stores.journal, stores.clock, [mcp, *hooks],
        signed=(PREFIX,) if hooks else (),
    )  # fmt: skip
    async with surface.listening(handed) as listening:
        try:
            yield None if listening is None else listening.url
        finally:
            await endpoint.close()


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
        control.tools, caller, patterns=settings.mcp.tools, known=control.tools.known(),
        body_max_bytes=settings.http.body_max_bytes,
    )  # fmt: skip
    return endpoint, Route("/mcp", endpoint)
