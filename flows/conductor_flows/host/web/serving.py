"""A web host on a socket of this machine.

Promise: only this machine is served unless an address says otherwise; a request that has begun when
SIGTERM or SIGINT comes is finished, if it can be in time; a client that sends its head slowly, or
says nothing, does not hold a connection for long; what a run does to its context reaches no other
request of the connection. Refusal: nothing is printed: whoever serves is told the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import resource
import signal
import socket
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from conductor_flows.host.errors import AddressRefused
from conductor_flows.host.web.application import WebHost
from conductor_flows.host.web.way import Flow, Way

HEAD_S: Final = 10.0
STALL_S: Final = 60.0
TAKEN_MIN: Final = 64 * 1024
"""What a client has to take of an answer in that time, while there is more of it."""
HEAD_MAX: Final = 32 * 1024
CONNECTIONS_MAX: Final = 1024
FILES_KEPT: Final = 128
"""Of the files that this process may have open: those that are not for connections."""
BACKLOG: Final = 1024
_quiet: Final = logging.getLogger("conductor_flows.host.connections")


class BoundedProtocol(H11Protocol):
    """One connection, whose heads must come to their end in time, as must bodies nobody reads."""

    def __init__(
        self, *given: Any, head_s: float, connections_max: int, context: contextvars.Context,
        **named: Any,
    ) -> None:  # fmt: skip
        super().__init__(*given, **named)
        # Whoever writes the end of an answer begins the next request; else it would inherit his.
        self._context = context
        # The library warns of each bad request: an attacker would write our log.
        self.logger = _quiet
        self._head_s = head_s
        self._connections_max = connections_max
        self._head: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's own
        """Accept a connection, unless there are too many."""
        super().connection_made(Way(transport))
        self.flow = Flow(self.transport, self.conn)
        if len(self.connections) > self._connections_max:
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        waits = self.conn.their_state is h11.IDLE or self._unread
        if not waits or self.transport.is_closing():
            self._forget_head()
        elif self._head is None:
            self._expect_head()

    @property
    def _unread(self) -> bool:
        """Whether a body still comes, though its request has been answered."""
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def handle_events(self) -> None:
        """Begin what has come, each in the context of the server."""
        self._context.copy().run(super().handle_events)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request; if it was answered already, only the connection ends."""
        if self.cycle:  # whoever works on what came before that is not heard any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            with contextlib.suppress(h11.LocalProtocolError):  # a HEAD takes no text
                super().send_400_response(msg)
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent, but not for ever."""
        super().pause_writing()
        if self._stalled is None:
            self._expect_less()

    def _expect_less(self) -> None:
        untaken = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(STALL_S, self._look, untaken)

    def _look(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < TAKEN_MIN:
            self.transport.abort()
        else:
            self._expect_less()

    def resume_writing(self) -> None:
        """Go on writing."""
        self._unstalled()
        super().resume_writing()

    def _unstalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_head()
        self._unstalled()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self._head_s, self.transport.close)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class _Server(uvicorn.Server):
    """A server that leaves signals to `serve`, and says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._listening()


async def serve(
    app: WebHost, addr: str | socket.socket = "127.0.0.1:8080", *,
    ready: Callable[[str], None] | None = None, stop: asyncio.Event | None = None,
    signals: bool = True, head_s: float = HEAD_S, connections_max: int = CONNECTIONS_MAX,
) -> None:  # fmt: skip
    """Serve until told to stop.

    On SIGTERM, SIGINT or `stop` new requests get 503, running ones `Choices.drain_s` to end; a
    second signal ends them at once.

    Args:
        app: What is served; timers fire while it is.
        addr: `host:port`, `[ipv6]:port`, `:port` or `port`; without a host this machine only, and
            with port 0 any that is free. Or a socket that listens; it is closed at the end.
        ready: Told the URL once requests are accepted.
        stop: Set to stop.
        signals: Whether signals stop it; possible in the main thread only.
        head_s: How long a connection may take for the head of a request.
        connections_max: How many connections there may be; fewer where the process may not open so
            many files, and some beside them.

    Raises:
        AddressRefused: It is no address, or it is taken.
    """
    _quiet.setLevel(logging.ERROR)
    listener = bind(addr) if isinstance(addr, str) else addr
    stop = stop or asyncio.Event()
    url = _url(listener)
    config = _config(app, partial(
        BoundedProtocol, head_s=head_s, connections_max=_affordable(connections_max),
        context=contextvars.copy_context(),
    ))  # fmt: skip
    server = _Server(config, lambda: ready(url) if ready is not None else None)
    with contextlib.closing(listener), _signals(app, stop, wanted=signals):
        stopping = asyncio.create_task(_stopped(app, server, stop), name="flow.stopping")
        try:
            await server.serve(sockets=[listener])
        finally:
            stopping.cancel()
            await asyncio.wait({stopping})


def _affordable(connections_max: int) -> int:
    # Without files left, no node could open one, and no checkpoint be written.
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return connections_max
    return min(connections_max, max(files - FILES_KEPT, files // 2))


def _config(app: WebHost, protocol: Callable[..., asyncio.Protocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", ws="none", proxy_headers=False,
        # The server only calls it; its annotation says class.
        http=cast("type[asyncio.Protocol]", protocol), server_header=False, backlog=BACKLOG,
        timeout_keep_alive=30, timeout_graceful_shutdown=1, h11_max_incomplete_event_size=HEAD_MAX,
    )  # fmt: skip


async def _stopped(app: WebHost, server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    # Drained while connections are still taken: what comes gets an answer, and is not cut off.
    try:
        await app.drain()
    finally:
        server.should_exit = True


@contextlib.contextmanager
def _signals(app: WebHost, stop: asyncio.Event, *, wanted: bool) -> Generator[None]:
    loop, taken = asyncio.get_running_loop(), list[signal.Signals]()

    def told() -> None:
        if stop.is_set():
            app.site.guests.send_all_away()
        stop.set()

    try:
        for each in (signal.SIGTERM, signal.SIGINT) if wanted else ():
            loop.add_signal_handler(each, told)
            taken.append(each)
    except (RuntimeError, ValueError):
        pass  # another thread than the main one: whoever owns that has the signals
    try:
        yield
    finally:
        for each in taken:
            loop.remove_signal_handler(each)


def bind(addr: str) -> socket.socket:
    """Return a listening socket.

    Raises:
        AddressRefused: It is no address, or it is taken.
    """
    text = addr.strip()
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port[:6]) > 65535:  # noqa: PLR2004  # the last port
        raise AddressRefused(f"{addr!r} has no port from 0 to 65535")
    if colon and ":" in host and "[" not in text:
        raise AddressRefused(f"{addr!r}: write an IPv6 address in brackets, as [::1]:8080")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        return _listening(found[0][0], found[0][4][:2])
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise AddressRefused(f"{addr}: {said}") from None


def _listening(family: int, where: tuple[Any, ...]) -> socket.socket:
    # Named as TCP: asyncio turns Nagle's delay off only then, which else holds the body of an
    # answer back until the client has acknowledged the head (40 ms).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
