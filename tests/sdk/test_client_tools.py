"""Tools from another process: the same answers over the control socket and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from answering import Answering, OnControlSocket, serving
from conductor_sdk.client import SidecarAnswered, connect, connect_http
from conductor_sdk.client_tools import RemoteTools, ToolInfo
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.secret import Secret
from conductor_sdk.tool_output import ToolFault, ToolOutput

LISTED = {
    "name": "task:create", "pack": "sidekick", "version": "1.0.0", "permission": "write",
    "input_schema": {"type": "object"}, "required_scopes": [], "mcp_name": "sidekick_task_create",
    "something_newer": 1,
}  # fmt: skip


class Answers(Answering):
    """Answers what a test says, and remembers what came."""

    def answer(self, body: Any) -> tuple[int, bytes]:
        headers = {name: self.headers[name] for name in ("Authorization", "Idempotency-Key")}
        self.server.requests.append((self.path, body, headers))
        status, answer = self.server.answer
        return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class World:
    """A server, and the tools as a client has them."""

    def __init__(self, server: Any, tools: RemoteTools) -> None:
        server.requests, server.answer = [], (200, {"success": True, "data": {"id": 1}})
        self.server = server
        self.tools = tools

    @property
    def last(self) -> Any:
        return self.server.requests[-1]


@pytest.fixture(params=["socket", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "socket":
        server: Any = OnControlSocket(tmp_path, Answers)
        made = World(server, connect(tmp_path).tools)
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        url = f"http://127.0.0.1:{server.server_port}"
        made = World(server, connect_http(url, Secret("cst_x")).tools)
    with serving(server):
        yield made


async def test_a_call_sends_input_key_and_context_and_gives_the_answer(world: World) -> None:
    output = await world.tools.call("task:create", {"title": "x"}, key="k", task_id="t")
    path, body, headers = world.last
    assert ToolOutput(success=True, data={"id": 1}) == output
    assert ("/tools/task%3Acreate", {"input": {"title": "x"}, "context": {"task_id": "t"}}) == (
        path, body,
    )  # fmt: skip
    assert "k" == headers["Idempotency-Key"]
    await world.tools.call("sidekick:status")
    assert ({"input": {}}, None) == (world.last[1], world.last[2]["Idempotency-Key"])


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 413])
async def test_a_refusal_is_an_answer_whatever_its_status(world: World, status: int) -> None:
    fault = {"code": "SCOPE_DENIED", "message": "no", "details": {"why": "x"}}
    world.server.answer = (status, {"success": False, "error": fault})
    output = await world.tools.call("task:create")
    assert (False, ToolFault("SCOPE_DENIED", "no", {"why": "x"})) == (output.success, output.error)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((502, b"<html>"), "status 502"),
        ((200, b"[]"), "status 200"),
        ((500, {"success": False}), "without an error"),
        ((400, {"error": {"code": "ODD", "message": "no"}}), "no"),
    ],
)
async def test_what_is_no_tool_host_is_told_apart(world: World, answer: Any, words: str) -> None:
    world.server.answer = answer
    with pytest.raises(SidecarAnswered, match=words):
        await world.tools.call("task:create")


async def test_the_tools_are_listed_and_newer_fields_do_no_harm(world: World) -> None:
    world.server.answer = (200, {"tools": [LISTED]})
    [found] = await world.tools.list()
    assert isinstance(found, ToolInfo)
    assert ("task:create", "sidekick_task_create", []) == (
        found.name, found.mcp_name, found.required_approvals,
    )  # fmt: skip
    world.server.answer = (401, {"success": False, "error": {"code": "BAD", "message": "who?"}})
    with pytest.raises(SidecarAnswered, match=r"who\? \[BAD\]"):
        await world.tools.list()


async def test_a_lost_answer_is_an_error_and_the_call_is_not_repeated(world: World) -> None:
    world.server.answer = (0, b"")
    with pytest.raises(SidecarUnreachable):
        await world.tools.call("task:create", key="k")
    assert 1 == len(world.server.requests)


async def test_the_token_goes_with_every_request_over_http(world: World) -> None:
    await world.tools.call("task:create")
    sent = world.last[2]["Authorization"]
    over_http = not isinstance(world.server, OnControlSocket)
    assert ("Bearer cst_x" if over_http else None) == sent


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    for tools in (connect(tmp_path).tools, connect_http("http://127.0.0.1:9", "t").tools):
        with pytest.raises(SidecarUnreachable):
            await tools.call("task:create")


@pytest.mark.parametrize(
    ("url", "token"),
    [("ftp://h", "t"), ("http://", "t"), ("nonsense", "t"), ("http://h?q=1", "t"),
     ("http://h", ""), ("http://h", "a b"), ("http://h", "a\nb"), ("http://h", "ü")],
)  # fmt: skip
def test_an_address_or_token_that_cannot_be_sent_is_refused(url: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"not an http address|one word"):
        connect_http(url, token)


def test_a_prefix_of_the_address_is_kept() -> None:
    tools = connect_http("https://proxy.example/sidecar/", "t").tools
    assert "/sidecar" == tools._prefix
