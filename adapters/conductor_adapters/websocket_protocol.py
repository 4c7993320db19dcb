"""One WebSocket connection: the Sans-I/O protocol of `websockets` inside an asyncio protocol.

Promise: whole text frames in order, bounded by the receive window plus one read of 128 KiB; the end
is told once, after the last frame; closing takes at most `close_timeout_s`, also when the peer is
gone or reading is paused. Refusal: no compression, no binary frames, no text that is not UTF-8, no
pings of its own (the session beats).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State

from conductor_adapters.link_end import ABNORMAL, CLOSED_HERE, LinkEnd, closed_by_peer
from conductor_adapters.transport import LinkOptions

READ_BYTES = 131_072
"""One read from the network; also how far a receive window may be overrun."""
_REASON_BYTES = 123
"""What a close frame holds beside its code."""
_FIRST_CONTROL_OPCODE = 8
_RESUME_AT = 0.5


class WebSocketLink(asyncio.BufferedProtocol):
    """A transport, and the asyncio protocol that feeds it. Bound to the loop that made it.

    `close(1006)` aborts: no closing handshake, unsent bytes are discarded.
    """

    def __init__(self, wire: ClientProtocol, options: LinkOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._options = options
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._network: asyncio.Transport | None = None
        self._frames: list[bytes] = []
        self._frames_bytes = 0
        self._partial: bytearray | None = None
        self._paused = False
        self._end: LinkEnd | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self.opened: asyncio.Future[Response | None] = self._loop.create_future()
        """The handshake's answer; None if what came is not one, or nothing came."""

    # What the consumer calls: the transport.

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for at least one frame; return everything that has arrived, at most `limit`.

        Cancelling loses no frame: frames are taken only in the step that returns them.

        Raises:
            LinkClosed: After the last frame that arrived has been returned.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        while not self._frames:
            if self._end is not None:
                raise self._end.error()
            if self._reader is not None:
                raise RuntimeError("another task is receiving on this link")
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if len(self._frames) <= limit:
            taken, self._frames, self._frames_bytes = self._frames, [], 0
        else:
            taken = self._frames[:limit]
            del self._frames[:limit]
            self._frames_bytes -= sum(map(len, taken))
        if self._paused and self._fill() <= _RESUME_AT:
            self._resume_reading()
        return taken

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write text frames in order, in one write; wait while the buffer is over its mark.

        Raises:
            LinkClosed: The frames may or may not have left.
        """
        self._raise_if_ended()
        send_text = self._wire.send_text
        for frame in frames:
            send_text(frame)
        self._flush()
        if self._drained is not None:
            # Shielded: the future belongs to the link, not to the task that is cancelled here.
            await asyncio.shield(self._drained)
            self._raise_if_ended()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and release everything within `close_timeout_s`. Idempotent, never raises."""
        self._frames, self._frames_bytes = [], 0
        if self._network is None:
            return
        opened, self._end = self._end is None, self._end or CLOSED_HERE
        if code == ABNORMAL or self._wire.state is State.CONNECTING:
            self._network.abort()
        elif opened:
            self._say_goodbye(self._network, code, reason)
        self._finish()
        await asyncio.shield(self._lost)

    # What the event loop calls: the asyncio protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake request, which the wire already holds."""
        self._network = cast("asyncio.Transport", transport)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the signature is asyncio's
        """Lend the read buffer to the event loop."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read, keep its frames, answer what wants an answer."""
        self._wire.receive_data(bytes(self._buffer[:nbytes]))
        self._process()

    def eof_received(self) -> None:
        """Tell the wire that nothing more comes; asyncio closes the connection on return."""
        self._wire.receive_eof()
        self._process()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the link for everybody who waits on it."""
        self._wire.receive_eof()
        self._network = None
        if self._end is None:
            self._end = self._describe(exc)
        if self._close_timer is not None:
            self._close_timer.cancel()
        for waiter in (self._lost, self.opened):
            if not waiter.done():
                waiter.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        """Make `send` wait."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let `send` go on."""
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.set_result(None)

    # Between the two.

    def _process(self) -> None:
        events = self._wire.events_received()
        if events and isinstance(events[0], Response):
            response = cast("Response", events.pop(0))
            if not self.opened.done():
                self.opened.set_result(response)
        if events and self._end is None:
            self._take(cast("list[Frame]", events))
        if self._wire.state is State.OPEN:
            if self._drained is None:
                self._flush()
            else:  # pongs for a peer that does not read them would pile up: they are dropped
                self._wire.data_to_send()
            if not self._paused and self._fill() >= 1 and self._network is not None:
                self._paused = True
                self._network.pause_reading()
        elif self._wire.state is State.CONNECTING:
            self._flush()
            if self._wire.handshake_exc is not None and not self.opened.done():
                self.opened.set_result(None)
        else:
            self._finish()
        self._wake()

    def _take(self, frames: list[Frame]) -> None:
        size = 0
        for frame in frames:
            if frame.opcode >= _FIRST_CONTROL_OPCODE:
                continue
            if frame.opcode is Opcode.TEXT and frame.fin:
                message = bytes(frame.data)
            else:
                joined = self._join(frame)
                if self._end is not None:
                    break
                if joined is None:
                    continue
                message = joined
            if not message.isascii() and not _is_utf8(message):
                self._refuse(CloseCode.INVALID_DATA, "text is not UTF-8")
                break
            self._frames.append(message)
            size += len(message)
        self._frames_bytes += size

    def _join(self, frame: Frame) -> bytes | None:
        """Collect a fragment; return the whole message with its last one."""
        if frame.opcode is Opcode.BINARY:
            self._refuse(CloseCode.UNSUPPORTED_DATA, "binary frames are not spoken here")
            return None
        if self._partial is None:
            self._partial = bytearray()
        self._partial += frame.data
        if not frame.fin:
            return None
        message, self._partial = bytes(self._partial), None
        return message

    def _refuse(self, code: CloseCode, reason: str) -> None:
        self._end = LinkEnd(f"refused: {reason}", code, clean=False)
        self._wire.fail(code, reason)

    def _say_goodbye(self, network: asyncio.Transport, code: int, reason: str) -> None:
        text = reason.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")
        try:
            self._wire.send_close(code, text)
        except ProtocolError:  # a code that no close frame may carry
            network.abort()

    def _finish(self) -> None:
        """Begin to end the link: say why, read on to see the peer's end, abort if it never comes.

        Reading is resumed for good: what still comes is discarded by the wire or by `_process`.
        """
        self._end = self._end or self._describe(None)
        self._partial = None
        self._flush()
        if self._network is not None:
            self._resume_reading()
            if self._close_timer is None:
                delay_s = self._options.close_timeout_s
                self._close_timer = self._loop.call_later(delay_s, self._network.abort)
        self._wake()

    def _describe(self, exc: Exception | None) -> LinkEnd:
        received, sent = self._wire.close_rcvd, self._wire.close_sent
        if received is not None and (sent is None or self._wire.close_rcvd_then_sent):
            return closed_by_peer(received.code, received.reason)
        if sent is not None:
            return LinkEnd(f"refused: {sent.reason}", sent.code, clean=False)
        detail = "the connection was lost" + (f": {exc}" if exc else "")
        return LinkEnd(detail, ABNORMAL, clean=False)

    def _flush(self) -> None:
        chunks = self._wire.data_to_send()
        if not chunks or self._network is None:
            return
        self._network.write(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if chunks[-1]:
            return
        # An empty chunk, always the last: half-close. TLS cannot, so it closes.
        if self._network.can_write_eof():
            self._network.write_eof()
        else:
            self._network.close()

    def _fill(self) -> float:
        """How full the receive window is: reading pauses at 1, goes on from a half."""
        options = self._options
        return max(
            len(self._frames) / options.receive_window,
            self._frames_bytes / options.receive_window_bytes,
        )

    def _resume_reading(self) -> None:
        if self._paused and self._network is not None:
            self._paused = False
            self._network.resume_reading()

    def _raise_if_ended(self) -> None:
        if self._end is not None:
            raise self._end.error()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done() and (self._frames or self._end):
            self._reader.set_result(None)
        if self._end is not None:
            self.resume_writing()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
