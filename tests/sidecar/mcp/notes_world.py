"""A tool host with the pack of these tests, and its MCP surface."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import notes_pack
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette

from conductor_handlers.registry import load_registry
from conductor_handlers.toolhost.catalogue import build_catalogue
from conductor_handlers.toolhost.host import HostPorts, ToolHost
from conductor_handlers.toolhost.records import Caller, Listing, PackRoom
from conductor_handlers.toolhost.settings import WHOLE_WORKSPACE, HostSettings
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent
from conductor_sdk.manifest_tools import NetworkScope
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.workspace import Workspace, bind_control_socket, remove_control_socket
from conductor_sidecar.http.server import SocketServer
from conductor_sidecar.mcp.endpoint import McpEndpoint
from conductor_state.memory.approvals import MemoryApprovals
from conductor_state.memory.journal import MemoryJournal
from conductor_state.memory.tool_results import MemoryToolResults
from installed import install

PATIENCE_S = 20.0
ACTOR = Caller("local:tester", "socket")
URL = "http://localhost/mcp"
BOTH_ERAS = ("auto", "legacy")


HANDSHAKE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}  # fmt: skip
HEADERS = {
    "accept": "application/json, text/event-stream", "content-type": "application/json",
}  # fmt: skip
SCOPES = (*WHOLE_WORKSPACE, NetworkScope(type="network", posture="full"))


class Pushed:
    """The outbox, as far as the host needs one."""

    def __init__(self) -> None:
        self.events: list[KernelEvent] = []

    async def publish(self, events: Sequence[KernelEvent]) -> list[PushReceipt]:
        self.events += events
        return [PushReceipt(event.event_id, event.kind, "queued") for event in events]


class NotesHost:
    """A tool host with the pack of these tests on in-memory stores."""

    def __init__(self, root: Path, **settings: Any) -> None:
        registry = load_registry(packs=[notes_pack.pack], installed=False, approval_providers=["*"])
        self.catalogue = build_catalogue(registry, {})
        assert not self.catalogue.problems, self.catalogue.problems
        self._harness = PackHarness(notes_pack.pack, workspace=root)
        room = PackRoom(self._harness.context, self._harness.pack_context)
        self.approvals, self.journal, self.pushed = MemoryApprovals(), MemoryJournal(), Pushed()
        ports = HostPorts(self.approvals, MemoryToolResults(), self.journal, self.pushed)
        self.host = ToolHost(
            self.catalogue, {notes_pack.SLUG: room}, ports,
            subject="ws-1", settings=HostSettings(scopes=SCOPES, **settings),
        )  # fmt: skip

    def known(self) -> list[Listing]:
        return [
            tool.listing
            for tool in self.catalogue.tools.values()
            if not tool.manifest.internal_only
        ]

    async def traces(self, event_type: str) -> list[Any]:
        """The payloads of a type that the journal holds, oldest first."""
        entries = await self.journal.tail()
        return [json.loads(one.payload) for one in entries if one.event_type == event_type]

    async def finished(self) -> list[Any]:
        """The ends of calls."""
        return await self.traces("TOOL_CALL_FINISHED")

    async def close(self) -> None:
        await self.host.close()
        await self._harness.close()


@contextlib.asynccontextmanager
async def notes_host(root: Path, **settings: Any) -> AsyncGenerator[NotesHost]:
    notes = NotesHost(root, **settings)
    await notes.journal.create()
    try:
        yield notes
    finally:
        await notes.close()


def application(endpoint: McpEndpoint) -> Starlette:
    app = Starlette(routes=[endpoint.route])
    app.router.redirect_slashes = False
    return app


@contextlib.asynccontextmanager
async def daemon(workspace: Workspace, endpoint: McpEndpoint) -> AsyncGenerator[None]:
    """Serve an endpoint on the control socket of a workspace, as the daemon does."""
    workspace.create()
    listener = bind_control_socket(workspace, lock_held=True)
    server = SocketServer(application(endpoint))
    await server.start(listener)
    try:
        yield
    finally:
        await endpoint.close()
        await server.stop()
        listener.close()
        remove_control_socket(workspace)


@contextlib.asynccontextmanager
async def tcp(endpoint: McpEndpoint) -> AsyncGenerator[str]:
    """Serve an endpoint on a port; gives the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = SocketServer(application(endpoint))
    await server.start(listener)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        await endpoint.close()
        await server.stop()
        listener.close()


@contextlib.asynccontextmanager
async def raw(workspace: Workspace) -> AsyncGenerator[httpx2.AsyncClient]:
    """An HTTP client on the control socket."""
    transport = httpx2.AsyncHTTPTransport(uds=str(workspace.control_socket), verify=False)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=PATIENCE_S, trust_env=False,
    ) as client:  # fmt: skip
        yield client


@contextlib.asynccontextmanager
async def connected(
    workspace: Workspace, mode: str = "auto", query: str = "", **options: Any
) -> AsyncGenerator[Client]:
    """The SDK's client over the control socket."""
    async with raw(workspace) as http:
        transport = streamable_http_client(URL + query, http_client=http)
        async with Client(transport, mode=mode, **options) as client:
            yield client


def program(installed: Path, workspace: Path, *arguments: str) -> StdioServerParameters:
    """`conductor mcp` as a client's configuration names it, beside the pack of these tests."""
    paths = [str(installed), str(Path(notes_pack.__file__).parent)]
    return StdioServerParameters(
        command=str(Path(sys.executable).parent / "conductor"),
        args=["mcp", "--workspace", str(workspace), *arguments],
        env={"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def pack_installed(directory: Path) -> Path:
    return install(directory, packs={"notes": "notes_pack:pack"})


async def until(reached: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110  any condition, of any object
            await asyncio.sleep(0.005)


async def open_session(http: httpx2.AsyncClient) -> str:
    answer = await http.post("/mcp", headers=HEADERS, json=HANDSHAKE)
    assert 200 == answer.status_code, answer.text
    found: Any = answer.headers["mcp-session-id"]
    return str(found)
