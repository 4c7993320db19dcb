"""The tools of a whole daemon: on its control socket for the same user, over TCP by credential."""

from __future__ import annotations

import asyncio
import getpass
import http.client
import json
import sys
from pathlib import Path
from typing import Any, Self

import pytest

import files_pack
from conductor_sdk.client import SocketConnection
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_journal
from conductor_sidecar.serve import serve
from conductor_sidecar.settings import HttpSettings, LinkSettings, PacksSettings, Settings
from installed import install
from own_port import own_port

PATIENCE_S = 20.0


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace beside the pack of files."""
    installed = install(tmp_path / "installed", packs={"files": "files_pack:PACK"})
    monkeypatch.syspath_prepend(str(installed))
    assert files_pack is sys.modules["files_pack"]
    root = tmp_path / "ws-1"
    (root / "shared").mkdir(parents=True)
    (root / "shared/fair.txt").write_text("fair")
    return resolve_workspace(root)


class Daemon:
    """`async with` waits until it is ready."""

    def __init__(self, workspace: Workspace, **http_settings: Any) -> None:
        self.workspace = workspace
        self.port = own_port()
        settings = Settings(
            link=LinkSettings(adapter="memory"),
            packs=PacksSettings(disabled=["acme-demo", "sidekick", "plan"]),
            http=HttpSettings(listen=f"127.0.0.1:{self.port}", **http_settings),
        )
        self._stop, self._ready = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(serve(workspace, settings, self._stop, ready=self._ready))

    async def __aenter__(self) -> Self:
        ready = asyncio.create_task(self._ready.wait())
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await self._task

    async def tcp(self, *request: Any, token: str | None = None) -> tuple[int, Any]:
        token = self.workspace.http_token.read_text().strip() if token is None else token
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        return await asyncio.to_thread(asked, connection, *request, token=token)

    async def local(self, *request: Any) -> tuple[int, Any]:
        connection = SocketConnection(self.workspace, PATIENCE_S)
        return await asyncio.to_thread(asked, connection, *request)


def asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: object = None, *,
    token: str | None = None,
) -> tuple[int, Any]:  # fmt: skip
    headers = (
        {"Content-Type": "application/json", "Connection": "close"} if body is not None else {}
    )
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


async def journaled(workspace: Workspace) -> list[tuple[str, str, dict[str, Any]]]:
    journal = open_journal(workspace)
    try:
        entries = await journal.latest(100)
        return [(one.event_type, one.actor, json.loads(one.payload)) for one in entries]
    finally:
        await journal.close()


READ = {"input": {"path": "shared/fair.txt"}}


async def test_the_same_user_calls_every_tool_on_the_control_socket(workspace: Workspace) -> None:
    async with Daemon(workspace) as daemon:
        status, answer = await daemon.local("POST", "/tools/files:read", READ)
        _, listed = await daemon.local("GET", "/tools")
        missing, refused = await daemon.local("GET", "/tools/files:read/x")

    assert (200, {"content": "fair"}) == (status, answer["data"])
    assert {"files:rate", "files:read", "files:write"} == {tool["name"] for tool in listed["tools"]}
    assert (404, "ROUTE_NOT_FOUND") == (missing, refused["error"]["code"])
    calls = [entry for entry in await journaled(workspace) if entry[0] == "TOOL_CALL_FINISHED"]
    assert [f"local:{getpass.getuser()}"] == [actor for _, actor, _ in calls]


async def test_over_tcp_nothing_is_allowed_until_it_is_configured(workspace: Workspace) -> None:
    async with Daemon(workspace) as daemon:
        assert (200, {"tools": []}) == await daemon.tcp("GET", "/tools")
        status, answer = await daemon.tcp("POST", "/tools/files:read", READ)

    assert (403, "TOOL_NOT_ALLOWLISTED") == (status, answer["error"]["code"])


async def test_over_tcp_calls_and_denials_are_in_the_journal(workspace: Workspace) -> None:
    async with Daemon(workspace, allow_tools=["files:read"]) as daemon:
        status, answer = await daemon.tcp("POST", "/tools/files:read", READ)
        for _ in range(30):
            assert 401 == (await daemon.tcp("GET", "/tools", token="x"))[0]
        assert 403 == (await daemon.tcp("POST", "/tools/files:write", {}))[0]
        assert 404 == (await daemon.tcp("GET", "/v1/status"))[0]

    entries = await journaled(workspace)
    assert (200, {"content": "fair"}) == (status, answer["data"])
    finished = [
        (actor, facts["surface"]) for kind, actor, facts in entries if kind == "TOOL_CALL_FINISHED"
    ]
    assert [("token:default", "http")] == finished
    denied: dict[tuple[str, str], int] = {}
    for kind, actor, facts in entries:
        if kind == "HTTP_REQUEST_DENIED":
            assert "sidecar" == actor
            key = facts["reason"], facts.get("caller", "")
            denied[key] = denied.get(key, 0) + facts["count"]
    assert {
        ("UNAUTHORIZED", ""): 30, ("TOOL_NOT_ALLOWLISTED", "token:default"): 1,
        ("ROUTE_NOT_FOUND", "token:default"): 1,
    } == denied  # fmt: skip
