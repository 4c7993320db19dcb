"""JSON-RPC lines on standard input and output.

Promise: nothing but protocol leaves by standard output, whatever a library prints; a line that is
no message is answered with an error; ending never waits for a client that neither writes nor
reads. Refusal: no message is understood here.

The SDK's own streams are not used because their reading thread must be waited for: a SIGTERM would
take effect when the client closes its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import AsyncGenerator
from queue import SimpleQueue
from typing import Any, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from conductor_sidecar.http.bodies import decode_json
from conductor_sidecar.http.errors import Refusal

LINE_MAX_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 65536
LAST_WORDS_S = 1.0
"""How long a client that has ended its input is given to read what is left."""
Streams: TypeAlias = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
]


class Wire:
    """Two descriptors and the threads that block on them, which nobody has to wait for."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[list[bytes] | None] = asyncio.Queue(1)
        self._out: SimpleQueue[tuple[bytes, asyncio.Future[None]]] = SimpleQueue()

    def start(self) -> None:
        """Start both threads; they end with the process."""
        for target, name in ((self._read, "mcp-stdin"), (self._write, "mcp-stdout")):
            threading.Thread(target=target, name=name, daemon=True).start()

    async def lines(self) -> list[bytes] | None:
        """Return the next lines, without their ends; None at the end of input."""
        return await self._lines.get()

    async def write(self, line: bytes) -> None:
        """Write a line whole.

        Raises:
            OSError: Nobody reads any more.
        """
        written: asyncio.Future[None] = self._loop.create_future()
        self._out.put((line + b"\n", written))
        await written

    def _read(self) -> None:
        rest = bytearray()
        with contextlib.suppress(OSError):
            while chunk := os.read(self._source, CHUNK_BYTES):
                rest += chunk
                if b"\n" in chunk:
                    *lines, last = bytes(rest).split(b"\n")
                    rest = bytearray(last)
                    if not self._hand_over(lines):
                        return
                # What is too long is cut, which makes it no message and gets it an answer.
                del rest[LINE_MAX_BYTES + 1 :]
        self._hand_over([bytes(rest)])
        self._hand_over(None)

    def _hand_over(self, lines: list[bytes] | None) -> bool:
        """Wait until the loop has taken the lines; False: there is no loop any more."""
        putting = self._lines.put(lines)
        try:
            asyncio.run_coroutine_threadsafe(putting, self._loop).result()
        except (RuntimeError, asyncio.CancelledError, TimeoutError):
            putting.close()
            return False
        return True

    def _write(self) -> None:
        while True:
            line, written = self._out.get()
            failure: OSError | None = None
            try:
                while line:
                    line = line[os.write(self._target, line) :]
            except OSError as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_settle, written, failure)


def _settle(written: asyncio.Future[None], failure: OSError | None) -> None:
    if written.done():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)


def claim() -> tuple[int, int]:
    """Take standard input and output for the protocol alone.

    Returns their duplicates. After this, what reads standard input meets its end and what prints
    goes to standard error.
    """
    source, target = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3) for number in (0, 1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, target


@contextlib.asynccontextmanager
async def message_streams(wire: Wire) -> AsyncGenerator[Streams]:
    """Give the streams that a server runs on."""
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    sent = anyio.Event()

    async def receive() -> None:
        async with to_server:
            while (lines := await wire.lines()) is not None:
                for line in filter(None, map(bytes.strip, lines)):
                    await _take(line, to_server, wire)

    async def send() -> None:
        async with from_server:
            async for message in from_server:
                await wire.write(_encoded(message.message))
        sent.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, name="mcp.stdin")
        tasks.start_soon(send, name="mcp.stdout")
        yield incoming, outgoing
        with anyio.move_on_after(LAST_WORDS_S):
            await sent.wait()
        tasks.cancel_scope.cancel()


async def _take(
    line: bytes, to_server: MemoryObjectSendStream[SessionMessage | Exception], wire: Wire
) -> None:
    try:
        message = _decoded(line)
    except _NotAMessage as error:
        await wire.write(_encoded(error.answer))
        return
    await to_server.send(SessionMessage(message))


class _NotAMessage(Exception):
    """A line that is not JSON-RPC, and what to answer."""

    def __init__(self, code: int, message: str, request_id: RequestId | None = None) -> None:
        super().__init__(message)
        error = ErrorData(code=code, message=message)
        self.answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


def _decoded(line: bytes) -> JSONRPCMessage:
    if len(line) > LINE_MAX_BYTES:
        raise _NotAMessage(INVALID_REQUEST, f"A line is longer than {LINE_MAX_BYTES} bytes.")
    try:
        value = decode_json(line)
    except Refusal as error:
        raise _NotAMessage(PARSE_ERROR, error.message.replace("body", "line")) from None
    try:
        return jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError:
        raise _NotAMessage(INVALID_REQUEST, "Not a JSON-RPC 2.0 message.", _id(value)) from None


def _id(value: Any) -> RequestId | None:
    match value:
        case {"id": str() | int() as request_id} if not isinstance(request_id, bool):
            return request_id
        case _:
            return None


def _encoded(message: JSONRPCMessage) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode()
