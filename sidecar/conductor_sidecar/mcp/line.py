"""One MCP request after the other to the running daemon, over its control socket.

Promise: each request has a connection of its own, so a daemon that was restarted is found again by
the next one, and giving a request up cancels it there. Refusal: nothing is retried; a call whose
answer was lost may have had its effect.

It speaks the protocol version without a handshake: no session can be lost with the daemon.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any

import httpx2
import msgspec
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    encode_header_value,
)
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_MODERN_VERSION

from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import SOCKET_NAME, SOCKET_PATH_MAX, Workspace
from conductor_sidecar.mcp.errors import McpInterrupted, McpRefused

OnProgress = Callable[[Mapping[str, Any]], Awaitable[None]]
SILENCE_S = 60.0
"""A daemon that works says so every 15 s, however long a call takes."""
URL = "http://localhost/mcp"
_STOPPING = 503
_EVENT_MAX_BYTES = 64 * 1024 * 1024


class _Error(msgspec.Struct):
    code: int
    message: str
    data: Any = None


class _Reply(msgspec.Struct):
    """A JSON-RPC message that comes back: an answer, or a notification before it."""

    result: dict[str, Any] | None = None
    error: _Error | None = None
    method: str | None = None
    params: dict[str, Any] = {}


class DaemonLine:
    """Requests to the sidecar of one workspace."""

    def __init__(self, workspace: Workspace, version: str, tools: Sequence[str] = ()) -> None:
        self._workspace = workspace
        self._client = {"name": "conductor mcp", "version": version}
        self._query = {"tools": list(tools)}
        # Never used on a socket of this machine; the default one would read every CA certificate.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def request(
        self, method: str, params: Mapping[str, Any], on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Send one request and return its result; cancelling this cancels it in the daemon.

        Raises:
            SidecarUnreachable: Nothing listens there; nothing was sent.
            McpInterrupted: The answer was lost.
            McpRefused: It answers something else than MCP.
            MCPError: The daemon's error.
        """
        with _address(self._workspace) as address:
            transport = httpx2.AsyncHTTPTransport(uds=address, verify=self._tls)
            async with httpx2.AsyncClient(
                transport=transport, trust_env=False, timeout=SILENCE_S
            ) as client:
                try:
                    async with client.stream(
                        "POST", URL, params=self._query, headers=_headers(method, params),
                        content=self._body(method, params),
                    ) as response:  # fmt: skip
                        return await _answer(response, on_progress)
                except (httpx2.ConnectError, httpx2.ConnectTimeout):
                    raise SidecarUnreachable(self._workspace.shown) from None
                except httpx2.HTTPError as error:
                    raise McpInterrupted(type(error).__name__) from None

    def _body(self, method: str, params: Mapping[str, Any]) -> bytes:
        meta = {
            **params.get("_meta", {}),
            PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
            CLIENT_INFO_META_KEY: self._client,
            CLIENT_CAPABILITIES_META_KEY: {},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        return msgspec.json.encode(body)


def _headers(method: str, params: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        MCP_PROTOCOL_VERSION_HEADER: LATEST_MODERN_VERSION,
        MCP_METHOD_HEADER: method,
    }
    if "name" in params:
        headers[MCP_NAME_HEADER] = encode_header_value(params["name"])
    return headers


async def _answer(response: httpx2.Response, on_progress: OnProgress | None) -> dict[str, Any]:
    if response.status_code == _STOPPING:
        raise McpInterrupted("it is stopping")
    content_type = response.headers.get("content-type", "").partition(";")[0].strip()
    if content_type == "application/json":
        return _result(_reply(await response.aread(), response.status_code))
    if content_type == "text/event-stream":
        async for event in httpx2.EventSource(response, max_event_size=_EVENT_MAX_BYTES):
            reply = _reply(event.data.encode(), response.status_code)
            if reply.method is None:
                return _result(reply)
            if reply.method == "notifications/progress" and on_progress is not None:
                await on_progress(reply.params)
        raise McpInterrupted("the answer ended early")
    raise McpRefused(f"status {response.status_code}")


def _reply(data: bytes, status: int) -> _Reply:
    try:
        reply = msgspec.json.decode(data, type=_Reply)
    except msgspec.DecodeError:
        raise McpRefused(f"status {status}") from None
    if reply.result is None and reply.error is None and reply.method is None:
        raise McpRefused(f"status {status}")
    return reply


def _result(reply: _Reply) -> dict[str, Any]:
    if reply.error is not None:
        raise MCPError(reply.error.code, reply.error.message, reply.error.data)
    return reply.result or {}


@contextlib.contextmanager
def _address(workspace: Workspace) -> Generator[str]:
    """Give an address of the control socket that fits, valid inside the block."""
    plain = str(workspace.control_socket)
    if len(os.fsencode(plain)) <= SOCKET_PATH_MAX or sys.platform != "linux":
        yield plain
        return
    try:
        opened = os.open(workspace.state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise SidecarUnreachable(workspace.shown) from None
    try:
        yield f"/proc/self/fd/{opened}/{SOCKET_NAME}"
    finally:
        os.close(opened)
