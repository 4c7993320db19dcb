"""The server's end of a WebSocket on a blocking socket: just enough, so that clients are slower.

Promise: a frame is built once, before anything is timed. Refusal: no fragments, no compression,
no pings.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct

from websockets.frames import apply_mask

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT = 1
_CLOSE = 8
_READ = 1 << 18


class PeerGone(Exception):
    """The client has closed."""


def text_frame(payload: bytes) -> bytes:
    """Build an unmasked text frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x81, size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x81, 126, size)
    else:
        head = struct.pack("!BBQ", 0x81, 127, size)
    return head + payload


class Connection:
    """One accepted client."""

    def __init__(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = client
        self._buffer = bytearray()

    def handshake(self) -> None:
        """Answer the upgrade request; the first subprotocol that is offered is chosen."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._fill()
        lines = bytes(self._buffer[:end]).split(b"\r\n")[1:]
        del self._buffer[: end + 4]
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)
        }
        digest = hashlib.sha1(headers[b"sec-websocket-key"] + _GUID).digest()
        answer = [
            b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
        ]  # fmt: skip
        if offered := headers.get(b"sec-websocket-protocol"):
            answer.append(b"Sec-WebSocket-Protocol: " + offered.split(b",")[0].strip())
        self.send(b"\r\n".join(answer) + b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Send bytes that are frames already.

        Raises:
            PeerGone: The client has closed.
        """
        try:
            self._socket.sendall(data)
        except OSError:
            raise PeerGone from None

    def receive(self) -> bytes:
        """Return the next text message.

        Raises:
            PeerGone: The client has closed.
        """
        while True:
            self._need(2)
            opcode, size, start = self._buffer[0] & 15, self._buffer[1] & 127, 2
            if size > 125:
                wide = 8 if size == 127 else 2
                self._need(2 + wide)
                size, start = int.from_bytes(self._buffer[2 : 2 + wide]), 2 + wide
            self._need(start + 4 + size)
            mask = bytes(self._buffer[start : start + 4])
            payload = bytes(self._buffer[start + 4 : start + 4 + size])
            del self._buffer[: start + 4 + size]
            if opcode == _CLOSE:
                raise PeerGone
            if opcode == _TEXT:
                return apply_mask(payload, mask)

    def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            self._fill()

    def _fill(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except OSError:
            raise PeerGone from None
        if not data:
            raise PeerGone
        self._buffer += data
