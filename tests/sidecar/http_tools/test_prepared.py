"""The loop does not wait while packs say which tools they have; only who asks for tools does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from conductor_handlers.toolhost.records import Caller
from conductor_sidecar.http.prepared import Prepared
from conductor_sidecar.http.tools import ToolSurface
from tool_server import ScriptedTools
from virtual_time import turns


class Slow(ScriptedTools):
    """Tools that are not known yet."""

    def __init__(self) -> None:
        super().__init__()
        self.found = asyncio.Event()

    async def ready(self) -> None:
        await self.found.wait()


async def test_a_request_waits_for_the_tools_and_what_needs_none_does_not() -> None:
    tools, passed = Slow(), list[str]()

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(scope["path"])

    served: Any = Prepared(app, tools, {"/healthz"})
    asking = asyncio.create_task(served({"type": "http", "path": "/tools"}, None, None))
    await served({"type": "http", "path": "/healthz"}, None, None)
    await turns()
    assert ["/healthz"] == passed
    tools.found.set()
    await asking
    assert ["/healthz", "/tools"] == passed


@pytest.mark.parametrize("path", ["/tools", "/tools/task:list", "/openapi.json"])
async def test_the_control_socket_waits_for_them_too(path: str) -> None:
    tools, sent = Slow(), list[Any]()
    app = Starlette(routes=ToolSurface(tools, lambda _: Caller("me", "cli", None)).routes())
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asking = asyncio.create_task(app(scope, receive, send))
    await turns()
    assert [] == sent
    tools.found.set()
    await asking
    assert 200 == sent[0]["status"]
