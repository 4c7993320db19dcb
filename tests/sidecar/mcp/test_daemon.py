"""MCP on a whole sidecar: its control socket, its TCP surface, its end."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import notes_pack
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from notes_world import (
    BOTH_ERAS,
    HEADERS,
    PATIENCE_S,
    connected,
    open_session,
    pack_installed,
    program,
    raw,
)

from conductor_sdk.client import connect
from conductor_sdk.manifest_tools import NetworkScope
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.serve import serve
from conductor_sidecar.settings import (
    DrainSettings,
    HttpSettings,
    LinkSettings,
    McpSettings,
    PacksSettings,
    ReconnectSettings,
    Settings,
    ToolsSettings,
)

NETWORK = NetworkScope(type="network", posture="full")
OTHERS = ["acme-demo", "sidekick", "plan"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = pack_installed(tmp_path / "installed")
    monkeypatch.syspath_prepend(str(directory))
    return directory


@pytest.fixture
def workspace(short_path: Path, installed: Path) -> Workspace:
    (short_path / "conductor.toml").write_text(f"[packs]\ndisabled = {OTHERS}\n")
    return resolve_workspace(short_path)


@contextlib.asynccontextmanager
async def sidecar(workspace: Workspace, **sections: Any) -> AsyncGenerator[None]:
    settings = Settings(
        link=LinkSettings(adapter="memory"), packs=PacksSettings(disabled=OTHERS),
        reconnect=ReconnectSettings(first_spread_s=0.02, cap_s=0.1), **sections,
    )  # fmt: skip
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(workspace, settings, stop, ready=ready), name="sidecar")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ready.wait()
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task


@contextlib.asynccontextmanager
async def over_tcp(workspace: Workspace, url: str, mode: str) -> AsyncGenerator[Client]:
    token = workspace.http_token.read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


async def address(workspace: Workspace) -> str:
    status = await connect(workspace.root).status()
    return f"{status['http']}/mcp"


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_tools_are_called_over_the_control_socket(
    workspace: Workspace, mode: str, desk: notes_pack.Desk
) -> None:
    async with sidecar(workspace), connected(workspace, mode) as client:
        result = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert {"title": "Milk", "count": 1} == result.structured_content
    ((actor, surface),) = desk.callers
    assert actor.startswith("local:")
    assert "mcp" == surface


async def test_tools_are_called_through_the_program(
    workspace: Workspace, installed: Path, desk: notes_pack.Desk
) -> None:
    async with sidecar(workspace), Client(program(installed, workspace.root)) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert "notes_note_add" in tools
    assert not result.is_error
    assert ["Milk"] == desk.titles


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_over_tcp_only_what_is_allowed_is_offered_and_called(
    workspace: Workspace, mode: str, desk: notes_pack.Desk
) -> None:
    http = HttpSettings(listen="127.0.0.1:0", allow_tools=["note:list", "note:add"])
    mcp = McpSettings(tools=["note:list"])
    async with sidecar(workspace, http=http, mcp=mcp):
        url = await address(workspace)
        async with over_tcp(workspace, url, mode) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            good = await client.call_tool("notes_note_list", {})
            bad = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert {"notes_note_list"} == tools
    assert not good.is_error
    assert "TOOL_NOT_ALLOWLISTED" == bad.structured_content["code"]
    assert [] == desk.titles


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": ""}, 401),
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"content-type": "text/plain"}, 415),
    ],
)
async def test_over_tcp_the_guard_stands_before_it(
    workspace: Workspace, headers: dict[str, str], status: int
) -> None:
    async with sidecar(workspace, http=HttpSettings(listen="127.0.0.1:0", allow_tools=["*"])):
        url = await address(workspace)
        token = workspace.http_token.read_text().strip()
        sent = {
            "authorization": f"Bearer {token}", "content-type": "application/json",
            "accept": "application/json, text/event-stream", **headers,
        }  # fmt: skip
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(url, headers=sent, content=b"{}")

    assert status == answer.status_code


async def test_streams_and_calls_hold_up_the_end_no_longer_than_the_drain(
    workspace: Workspace, desk: notes_pack.Desk, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    async with raw(workspace) as http:
        drain = DrainSettings(deadline_s=0.2)
        async with sidecar(workspace, tools=ToolsSettings(scopes=[NETWORK]), drain=drain):
            session = HEADERS | {"mcp-session-id": await open_session(http)}
            wait = {"name": "notes_note_wait", "arguments": {}}
            body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": wait}
            call = asyncio.create_task(http.post("/mcp", headers=session, json=body))
            stream = asyncio.create_task(http.get("/mcp", headers=session))
            async with asyncio.timeout(PATIENCE_S):
                await desk.waiting.wait()
        ended = await asyncio.gather(call, stream)

    assert [200, 200] == [answer.status_code for answer in ended]
    assert 1 == desk.cancelled
    assert [] == [one.message for one in caplog.records if one.name == "uvicorn.error"]
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert set() == {name for name in left if name.startswith(("mcp", "http", "_shutdown"))}


def test_the_daemon_starts_without_the_sdk() -> None:
    modules = "conductor_sidecar.serve, conductor_sidecar.surfaces, conductor_sidecar.mcp.endpoint"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}\nprint('mcp' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "False\n" == ran.stdout
