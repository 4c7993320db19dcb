"""The embedded conductor on a TCP port: link, enrollment, control plane and operator calls.

Promise: `serve` listens when it yields and has let go of every connection when it returns.
Refusal: it listens on this machine only, unless it is told otherwise; it installs no signal
handler and configures no logging.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Generator

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_server.control_plane import ControlPlane
from conductor_server.errors import BadRequest, NotFound, NotLoopback, WrongMethod
from conductor_server.http_wire import refusal
from conductor_server.hub import EmbeddedConductor
from conductor_server.link_endpoint import LinkEndpoint
from conductor_server.operator_api import OperatorApi

_BACKLOG = 128
_SHUTDOWN_S = 5
_TICK_S = 0.1
_TICKS = 864_000


class Address(msgspec.Struct, frozen=True):
    """Where a conductor listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address that `conductor enroll` takes."""
        return f"http://{self._authority}"

    @property
    def link(self) -> str:
        """The address of the link."""
        return f"ws://{self._authority}/link"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Server(uvicorn.Server):
    """A server that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Ask it to stop, now rather than at its next tick."""
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % _TICKS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._leaving.wait()


def application(conductor: EmbeddedConductor, operator_token: Secret | None = None) -> Starlette:
    """Build the ASGI application; without a token there are no operator calls."""
    link = LinkEndpoint(conductor)
    routes: list[BaseRoute] = [
        WebSocketRoute("/link", link),
        Route("/link", link),
        *ControlPlane(conductor).routes(),
    ]
    if operator_token is not None:
        routes += OperatorApi(conductor, operator_token).routes()
    return Starlette(
        routes=routes,
        exception_handlers={ConductorError: _refused, HTTPException: _refused_by_router},
    )


@contextlib.asynccontextmanager
async def serve(
    conductor: EmbeddedConductor,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    operator_token: Secret | None = None,
    allow_remote: bool = False,
) -> AsyncGenerator[Address]:
    """Serve a conductor while the context is open.

    Args:
        conductor: Its links are closed when the context ends; its history is not.
        host: A literal address or a name of this machine.
        port: 0 takes a free one; the yielded address names it.
        operator_token: Opens `/dev/…`; None: there are no such calls.
        allow_remote: Allows an address that other machines can reach.

    Raises:
        NotLoopback: The address is reachable from elsewhere and that was not allowed.
        OSError: The port is taken.
    """
    listener = _listen(host, port, allow_remote=allow_remote)
    server = _Server(_config(conductor, application(conductor, operator_token)))
    address = Address(*listener.getsockname()[:2])
    running = asyncio.create_task(server.serve([listener]), name="conductor-server")
    try:
        ready = asyncio.create_task(server.listening.wait(), name="conductor-server-ready")
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.done():
            running.result()
        yield address
    finally:
        await conductor.close()
        server.leave()
        await running
        listener.close()


def _config(conductor: EmbeddedConductor, app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        # Larger frames reach the session, which answers them with a code before it closes.
        ws_max_size=2 * conductor.settings.limits.max_frame_bytes,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        http="h11",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )


def _listen(host: str, port: int, *, allow_remote: bool) -> socket.socket:
    family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if not allow_remote and not ipaddress.ip_address(target[0]).is_loopback:
        raise NotLoopback(str(target[0]))
    # Named as TCP: otherwise asyncio leaves Nagle's delay on, 40 ms for some answers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def _refused(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, ConductorError):
        raise error
    return refusal(error)


async def _refused_by_router(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    match error.status_code:
        case 404:
            return refusal(NotFound(request.url.path))
        case 405:
            return refusal(WrongMethod(f"{request.method} {request.url.path}"))
        case _:
            return refusal(BadRequest(error.detail))
