"""Tools over TCP: the listening socket, and everything between it and the tool host.

Promise: nothing listens unless it is configured, only on this machine unless that is said
explicitly, and what listens is guarded. Refusal: no request is served here, and no TLS; a proxy in
front brings it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute

from conductor_handlers.toolhost.ports import Evidence
from conductor_handlers.toolhost.records import Caller
from conductor_sdk.clock import Clock
from conductor_sdk.workspace import Workspace
from conductor_sidecar.http.access import EVERYBODY, Callers, Tools, guarded
from conductor_sidecar.http.answers import HEADERS, envelope
from conductor_sidecar.http.denials import WINDOW_S, Denials
from conductor_sidecar.http.errors import ListenFailed, ListenRefused
from conductor_sidecar.http.exchange import Exchange
from conductor_sidecar.http.guard import Guard, Rules
from conductor_sidecar.http.hosts import allowed_hosts, allowed_origins
from conductor_sidecar.http.prepared import Prepared
from conductor_sidecar.http.server import LastResort, SocketServer
from conductor_sidecar.http.strict import Bounds, strict_protocol
from conductor_sidecar.http.tokens import Authenticator
from conductor_sidecar.http.tools import ToolSurface, http_refused
from conductor_sidecar.settings import HttpSettings

BACKLOG = 128
MOVED = envelope("NOT_SERVED_HERE", "Nothing is served at this address.")
INTERNAL = envelope("INTERNAL_ERROR", "The request failed.")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where tools are served over TCP."""

    host: str
    """As in a URL: an IPv6 address in brackets."""
    port: int
    denials: Denials
    renew: Callable[[TcpSurface], None]
    """Lets another surface serve what comes from now on, on the same socket."""
    begin: Callable[[], None]
    """Lets requests begin that were held."""
    decline: Callable[[], None]
    """Answers 503 to requests that were held, and to what comes from now on."""
    patient: Callable[[int], None]
    """Sets the seconds that running requests have at the end."""

    @property
    def url(self) -> str:
        """Where a client begins."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TcpSurface:
    """What is served over TCP. `listening` serves it."""

    host: Tools
    workspace: Workspace
    settings: HttpSettings
    journal: Evidence
    clock: Clock
    routes: Sequence[BaseRoute] = ()
    """Further routes behind the same guard, as `Mount("/mcp", …)`."""
    signed: tuple[str, ...] = ()
    """Beginnings of paths whose routes check a signature themselves, as `/hooks/`."""
    open_paths: frozenset[str] = frozenset()
    """Paths that a GET needs no credential for, as those of health."""
    bounds: Bounds = field(default_factory=Bounds)
    body_s: float = 10.0
    """Seconds that a request's body may take."""
    window_s: float = WINDOW_S
    """Seconds within which alike denials share an entry of the journal."""

    @contextlib.asynccontextmanager
    async def listening(
        self, listener: socket.socket | None = None, *, held: bool = False
    ) -> AsyncGenerator[Listening | None]:
        """Serve for the length of a block; None where no address is configured.

        Args:
            listener: A bound socket that somebody hands over, in place of `http.listen`; it is
                closed at the end.
            held: Connections are taken, and their requests wait for `Listening.begin`.

        Raises:
            ListenRefused: The address is not of this machine, and that is not allowed.
            ListenFailed: The address cannot be had.
            PrivateFileRefused: A file of credentials is open to others.
            CredentialsDamaged: A file of credentials does not hold what it should.
        """
        if listener is None and self.settings.listen is None:
            yield None
            return
        bound = self._bind() if listener is None else listener
        try:
            host, port = _checked(bound, allow_remote=self.settings.allow_remote)
            authenticator = Authenticator(self.workspace, self.clock)
            authenticator.prepare()
            denials = Denials(self.journal, self.clock, window_s=self.window_s)
            app = Exchange(self._app(authenticator, denials, host, port), held=held)

            def renew(surface: TcpSurface) -> None:
                app.app = surface._app(authenticator, denials, host, port)

            def decline() -> None:
                app.app = Response(MOVED, 503, HEADERS, "application/json")
                app.begin()

            async with _served(SocketServer(app, strict_protocol(self.bounds, denials)), denials,
                               bound) as server:  # fmt: skip
                patient = partial(setattr, server, "grace_s")
                yield Listening(host, port, denials, renew, app.begin, decline, patient)
        finally:
            bound.close()

    def _app(
        self, authenticator: Authenticator, denials: Denials, host: str, port: int
    ) -> Prepared:
        surface = ToolSurface(self.host, guarded, body_max=self.settings.body_max_bytes)
        app = Starlette(
            routes=[*surface.routes(), *self.routes],
            exception_handlers={HTTPException: http_refused},
            middleware=[Middleware(LastResort, INTERNAL)],
        )
        app.router.redirect_slashes = False
        callers = Callers(
            self.settings.allow_tools,
            lambda: [listing.name for listing in self.host.listings(EVERYBODY)],
        )

        def authenticate(token: bytes) -> Caller | None:
            credential = authenticator.identify(token)
            return None if credential is None else callers.of(credential)

        rules = Rules(
            allowed_hosts(host, port, self.settings.allowed_hosts),
            allowed_origins(self.settings.allowed_origins),
            self.settings.body_max_bytes, self.body_s, signed=self.signed,
            open_paths=self.open_paths,
        )  # fmt: skip
        return Prepared(Guard(app, rules, denials, authenticate), self.host, self.open_paths)

    def _bind(self) -> socket.socket:
        address = self.settings.listen or ""
        host, port = whereabouts(address) or ("", "")
        # Asked before binding: not for a moment is another address open.
        check_loopback(host, allow_remote=self.settings.allow_remote)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Named as TCP: otherwise asyncio leaves Nagle's delay on, 40 ms for some answers.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((host, int(port)))
            bound.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            bound.close()
            raise ListenFailed(f"{address}: {error}") from None
        return bound


@contextlib.asynccontextmanager
async def _served(
    server: SocketServer, denials: Denials, bound: socket.socket
) -> AsyncGenerator[SocketServer]:
    """Serve for the length of a block; whatever ends it, what was denied is written."""
    denials.start()
    try:
        try:
            await server.start(bound)
            yield server
        finally:
            await server.stop()
    finally:
        await denials.stop()


def _checked(bound: socket.socket, *, allow_remote: bool) -> tuple[str, int]:
    """Return where a bound socket listens, as in a URL.

    Raises:
        ListenRefused: It is not a TCP socket, or not of this machine alone.
    """
    if bound.family not in {socket.AF_INET, socket.AF_INET6}:
        raise ListenRefused("the socket handed over is not TCP")
    # Connections inherit it; without, head and body of an answer wait 40 ms for each other.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, port = bound.getsockname()[:2]
    check_loopback(host, allow_remote=allow_remote)
    return (f"[{host}]" if bound.family == socket.AF_INET6 else str(host)), int(port)


def whereabouts(listen: str | None) -> tuple[str, str] | None:
    """Return host and port of `http.listen`: the same ones for the same address."""
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    # A name that has to be looked up could be anywhere tomorrow.
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    with contextlib.suppress(ValueError):  # whoever binds it says what is wrong with it
        host = str(ipaddress.ip_address(host))
    return host, str(int(port))


def check_loopback(host: str, *, allow_remote: bool) -> None:
    """Let an address of this machine pass, and any other if that is allowed.

    Raises:
        ListenRefused: It is neither.
    """
    try:
        loopback = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        raise ListenRefused(f"{host} is neither localhost nor an address") from None
    if not loopback and not allow_remote:
        hint = (
            "listen on 127.0.0.1; or, behind a proxy that brings TLS, set http.allow_remote = true"
        )
        raise ListenRefused(f"{host} can be reached from other machines", hint=hint)
