"""HTTP/1.1 on TCP, read more strictly than the server library reads it.

Promise: a request that two readers could understand differently is refused and the connection
closed: folded or bare lines, two lengths, a length and a coding, control characters in a header; a
head that is long or slow in coming too. Refusal: nothing is decided here about who asks for what.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from conductor_sidecar.http.answers import HEADERS, envelope
from conductor_sidecar.http.denials import Denials, Kind

_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_REQUEST = re.compile(rb"[A-Z]{1,16} [\x21-\x7e]+ HTTP/1\.[01]")
_UNANSWERED = frozenset({h11.IDLE, h11.SEND_RESPONSE})
_quiet = logging.getLogger("uvicorn.error.tcp")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take."""

    head_bytes: int = 16 * 1024
    headers: int = 64
    head_s: float = 10.0
    connections: int = 256


class _Connection(h11.Connection):
    """Looks at a request's head before the library does."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(h11.SERVER, bounds.head_bytes)
        self._bounds = bounds
        self.status = 400
        """Of the answer to what `next_event` raised."""

    @property
    def begun(self) -> bool:
        """Whether some of a head has come."""
        return bool(self.trailing_data[0])

    def next_event(self) -> Any:
        """Return the next event.

        Raises:
            h11.RemoteProtocolError: The head or the body is not to be trusted.
        """
        try:
            if self.their_state is h11.IDLE:
                _check_head(self.trailing_data[0], self._bounds)
            return super().next_event()
        except h11.RemoteProtocolError as error:
            hint = error.error_status_hint
            self.status = hint if hint in {421, 431} else 400
            raise


class StrictProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None, *,
        bounds: Bounds, denials: Denials,
    ) -> None:  # fmt: skip
        super().__init__(config, server_state, app_state, _loop)
        self._strict = _Connection(bounds)
        self.conn = self._strict
        # The library warns of each bad request: an attacker would write our log.
        self.logger = _quiet
        self._bounds = bounds
        self._denials = denials
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's own
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            self._denials.count(Kind("TOO_MANY_CONNECTIONS", 0))
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that has begun must come to its end in time."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._forget_head()
        elif self._head is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what could not be read; the library's text would not say more."""
        match self._strict.status:
            case 421:
                self._refuse(421, "HOST_REFUSED", "There is not exactly one Host header.")
            case 431:
                self._refuse(431, "HEADERS_TOO_LARGE", "The request's head is too large.")
            case _:
                self._refuse(400, "REQUEST_MALFORMED", msg)

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self._bounds.head_s, self._head_is_late)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _head_is_late(self) -> None:
        self._head = None
        if self.transport.is_closing():
            return
        if self._strict.begun:
            self._refuse(408, "HEAD_TOO_SLOW", "The request's head did not come in time.")
        else:
            self.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._denials.count(Kind(code, status))
        if self.cycle is not None:  # pyright: ignore[reportUnnecessaryComparison]  None at first
            # Whatever waits for this request must not answer it as well.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in _UNANSWERED and not self.transport.is_closing():
            body = envelope(code, message)
            headers = {"content-type": "application/json", "connection": "close",
                       "content-length": str(len(body)), **HEADERS}  # fmt: skip
            self._send(h11.Response(status_code=status, headers=list(headers.items())))
            self._send(h11.Data(data=body))
            self._send(h11.EndOfMessage())
        self.transport.close()

    def _send(self, event: h11.Event) -> None:
        self.transport.write(self.conn.send(event) or b"")


def strict_protocol(bounds: Bounds, denials: Denials) -> type[asyncio.Protocol]:
    """Return what the server makes its connections with."""
    _quiet.setLevel(logging.ERROR)
    make: Callable[..., StrictProtocol] = partial(StrictProtocol, bounds=bounds, denials=denials)
    # The server only calls it; its annotation says class.
    return cast("type[asyncio.Protocol]", make)


def _check_head(data: bytes, bounds: Bounds) -> None:
    """Refuse a head as soon as it is seen to be wrong.

    Raises:
        h11.RemoteProtocolError: With the status as hint.
    """
    end = _END.search(data)
    if (end.end() if end else len(data)) > bounds.head_bytes:
        raise h11.RemoteProtocolError("head too long", error_status_hint=431)
    if end is None:
        return
    first, *lines = data[: end.start()].split(b"\r\n")
    if end.group() != b"\r\n\r\n" or not _REQUEST.fullmatch(first):
        raise h11.RemoteProtocolError("bad request line")
    if not all(map(_LINE.fullmatch, lines)):
        raise h11.RemoteProtocolError("bad header line")
    if len(lines) > bounds.headers:
        raise h11.RemoteProtocolError("too many headers", error_status_hint=431)
    names = [line.partition(b":")[0].lower() for line in lines]
    lengths = [line for line in lines if line.lower().startswith(b"content-length:")]
    if len(lengths) + names.count(b"transfer-encoding") > 1 or b"," in b"".join(lengths):
        raise h11.RemoteProtocolError("two lengths")
    if b"transfer-encoding" in names and first.endswith(b"1.0"):
        raise h11.RemoteProtocolError("a coding in HTTP/1.0")
    if names.count(b"host") != 1:
        raise h11.RemoteProtocolError("not one Host", error_status_hint=421)
