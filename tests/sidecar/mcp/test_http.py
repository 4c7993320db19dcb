"""MCP over streamable HTTP: the control socket, TCP, sessions and their ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import notes_pack
import pytest
from mcp import Client
from notes_world import (
    ACTOR,
    BOTH_ERAS,
    HANDSHAKE,
    HEADERS,
    PATIENCE_S,
    NotesHost,
    connected,
    daemon,
    notes_host,
    open_session,
    raw,
    tcp,
    until,
)
from starlette.types import Message

from conductor_handlers.toolhost.records import Caller
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.mcp.endpoint import McpEndpoint

META = {
    "io.modelcontextprotocol/protocolVersion": "2099-01-01",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
def workspace(short_path: Path) -> Workspace:
    return resolve_workspace(short_path)


@pytest.fixture
async def notes(workspace: Workspace) -> AsyncIterator[NotesHost]:
    async with notes_host(workspace.root) as made:
        yield made


@pytest.fixture
async def served(workspace: Workspace, notes: NotesHost) -> AsyncIterator[Workspace]:
    endpoint = McpEndpoint(notes.host, lambda _: ACTOR)
    async with daemon(workspace, endpoint):
        yield workspace


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_tools_are_called_over_the_control_socket(
    served: Workspace, mode: str, desk: notes_pack.Desk
) -> None:
    async with connected(served, mode) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert {"notes_note_add", "notes_note_list"} < tools
    assert {"title": "Milk", "count": 1} == result.structured_content
    assert ["Milk"] == desk.titles


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_tools_are_called_over_tcp(mode: str, notes: NotesHost) -> None:
    async with tcp(McpEndpoint(notes.host, lambda _: ACTOR)) as url, Client(url, mode=mode) as it:
        result = await it.call_tool("notes_note_add", {"title": "Milk"})

    assert {"title": "Milk", "count": 1} == result.structured_content


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_the_address_selects_tools(served: Workspace, mode: str) -> None:
    query = "?tools=note:add,note:list&tools=note:find"
    async with connected(served, mode, query) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}

    assert {"notes_note_add", "notes_note_list", "notes_note_find"} == tools


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_cancelled_request_cancels_the_call(
    served: Workspace, mode: str, desk: notes_pack.Desk
) -> None:
    async with connected(served, mode) as client:
        call = asyncio.create_task(client.call_tool("notes_note_wait", {}))
        async with asyncio.timeout(PATIENCE_S):
            await desk.waiting.wait()
        call.cancel()
        await until(lambda: desk.cancelled == 1)
        result = await client.call_tool("notes_note_add", {"title": "after"})

    assert not result.is_error


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_fifty_calls_at_once_all_answer(
    served: Workspace, mode: str, desk: notes_pack.Desk
) -> None:
    async with connected(served, mode) as client:
        results = await asyncio.gather(
            *(client.call_tool("notes_note_add", {"title": str(n)}) for n in range(50))
        )

    assert {str(n) for n in range(50)} == {one.structured_content["title"] for one in results}
    assert 50 == len(desk.titles)


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_client_that_asked_hears_that_a_call_still_runs(
    served: Workspace, mode: str, desk: notes_pack.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []
    import conductor_sidecar.mcp.server as slow

    monkeypatch.setattr(slow, "PROGRESS_S", 0.01)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with connected(served, mode) as client:
        call = asyncio.create_task(
            client.call_tool("notes_note_wait", {}, progress_callback=on_progress)
        )
        await until(lambda: len(heard) > 2)
        call.cancel()
        await until(lambda: desk.cancelled == 1)

    assert sorted(heard) == heard


async def test_a_hundred_sessions_leave_nothing_behind(served: Workspace) -> None:
    async def visit(http: httpx2.AsyncClient, number: int) -> None:
        held = HEADERS | {"mcp-session-id": await open_session(http)}
        params = {"name": "notes_note_add", "arguments": {"title": "x"}}
        call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        answer = await http.post("/mcp", headers=held, json=call)
        assert '"isError":false' in answer.text
        await http.delete("/mcp", headers=held)

    asyncio.get_running_loop().set_debug(False)  # a hundred at once are slow enough
    async with raw(served) as http:
        await visit(http, 0)
        tasks, objects = len(asyncio.all_tasks()), alive()
        await asyncio.gather(*(visit(http, number) for number in range(1, 101)))
        await until(lambda: len(asyncio.all_tasks()) <= tasks)

        assert {} == {name: n for name, n in alive().items() if n > objects.get(name, 0)}


def alive() -> dict[str, int]:
    """Objects of the SDK's and of our MCP classes."""
    gc.collect()
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return dict(
        Counter(name for name in names if name.startswith(("mcp.", "conductor_sidecar.mcp")))
    )


async def test_a_session_ends_with_delete(served: Workspace) -> None:
    async with raw(served) as http:
        session = await open_session(http)
        held = HEADERS | {"mcp-session-id": session}
        ended = await http.delete("/mcp", headers=held)
        after = await http.post("/mcp", headers=held, json=HANDSHAKE)

    assert [200, 404] == [ended.status_code, after.status_code]


async def test_sessions_are_bounded_and_room_frees_up(
    workspace: Workspace, notes: NotesHost
) -> None:
    endpoint = McpEndpoint(notes.host, lambda _: ACTOR, sessions_max=2)
    async with daemon(workspace, endpoint), raw(workspace) as http:
        first = await open_session(http)
        await open_session(http)
        refused = await http.post("/mcp", headers=HEADERS, json=HANDSHAKE)
        await http.delete("/mcp", headers=HEADERS | {"mcp-session-id": first})
        again = await http.post("/mcp", headers=HEADERS, json=HANDSHAKE)

    assert [503, 200] == [refused.status_code, again.status_code]


async def test_an_idle_session_ends(workspace: Workspace, notes: NotesHost) -> None:
    endpoint = McpEndpoint(notes.host, lambda _: ACTOR, idle_s=0.05)
    async with daemon(workspace, endpoint), raw(workspace) as http:
        held = HEADERS | {"mcp-session-id": await open_session(http)}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        statuses: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            while statuses[-1:] != [404]:
                await asyncio.sleep(0.1)
                statuses.append((await http.post("/mcp", headers=held, json=ping)).status_code)

    assert 404 == statuses[-1]


async def test_a_session_belongs_to_the_actor_who_opened_it(
    workspace: Workspace, notes: NotesHost
) -> None:
    actor = "token:one"
    endpoint = McpEndpoint(notes.host, lambda _: Caller(actor, "http"))
    async with daemon(workspace, endpoint), raw(workspace) as http:
        held = HEADERS | {"mcp-session-id": await open_session(http)}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        own = await http.post("/mcp", headers=held, json=ping)
        actor = "token:two"
        foreign = await http.post("/mcp", headers=held, json=ping)

    assert [200, 404] == [own.status_code, foreign.status_code]


async def test_closing_ends_open_streams_and_running_calls(
    workspace: Workspace, notes: NotesHost, desk: notes_pack.Desk
) -> None:
    before = asyncio.all_tasks()
    endpoint = McpEndpoint(notes.host, lambda _: ACTOR)
    async with daemon(workspace, endpoint), connected(workspace, "legacy") as client:
        call = asyncio.create_task(client.call_tool("notes_note_wait", {}))
        async with asyncio.timeout(PATIENCE_S):
            await desk.waiting.wait()
        await endpoint.close()
        await until(lambda: desk.cancelled == 1)
        await asyncio.gather(call, return_exceptions=True)
        async with raw(workspace) as http:
            late = await http.post("/mcp", headers=HEADERS, json=HANDSHAKE)

    assert 503 == late.status_code
    await until(lambda: not (asyncio.all_tasks() - before))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, -32700),
        (b"{", 400, -32700),
        (b"nonsense", 400, -32700),
        (b'{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"ping"}', 400, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}', 400, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\\ud800"}}', 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (b"[" * 100_000, 400, -32700),
        (b"[]", 400, -32602),
        (b"7", 400, -32602),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32602),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', 400, -32600),
        (b'"' + b"x" * 5_000_000 + b'"', 413, -32600),
    ],
)
async def test_what_is_no_message_is_refused(
    served: Workspace, body: bytes, status: int, code: int
) -> None:
    async with raw(served) as http:
        answer = await http.post("/mcp", headers=HEADERS, content=body)

    assert status == answer.status_code
    assert code == answer.json()["error"]["code"]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"accept": "text/html"}, 406),
        ("POST", {"accept": "application/json"}, 406),
        ("POST", {"content-type": "text/plain"}, 400),
        ("POST", {"mcp-protocol-version": "1999-01-01"}, 400),
        ("POST", {"mcp-protocol-version": "2026-07-28", "accept": "text/html"}, 406),
        ("POST", {"mcp-session-id": "unknown"}, 404),
        ("GET", {}, 400),
        ("GET", {"mcp-session-id": "unknown"}, 404),
        ("DELETE", {"mcp-session-id": "unknown"}, 404),
        ("PUT", {}, 405),
        ("GET", {"mcp-protocol-version": "2026-07-28"}, 405),
    ],
)
async def test_requests_that_do_not_fit_are_refused(
    served: Workspace, method: str, headers: dict[str, str], status: int
) -> None:
    body = msgspec.json.encode(HANDSHAKE) if method == "POST" else b""
    async with raw(served) as http:
        answer = await http.request(method, "/mcp", headers=HEADERS | headers, content=body)

    assert status == answer.status_code


async def test_an_unknown_protocol_version_is_told_the_known_ones(served: Workspace) -> None:
    body = HANDSHAKE | {"params": {**HANDSHAKE["params"], "protocolVersion": "1999-01-01"}}  # type: ignore[dict-item]  # JSON
    async with raw(served) as http:
        answer = await http.post("/mcp", headers=HEADERS, json=body)
        modern = HEADERS | {"mcp-protocol-version": "2099-01-01", "mcp-method": "tools/list"}
        ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
        refused = await http.post("/mcp", headers=modern, json=ask)

    assert "2025-11-25" in answer.text
    assert "2026-07-28" in refused.text


async def test_the_path_is_exact_and_nothing_redirects(served: Workspace) -> None:
    async with raw(served) as http:
        exact = await http.post("/mcp", headers=HEADERS, json=HANDSHAKE)
        slash = await http.post("/mcp/", headers=HEADERS, json=HANDSHAKE)
        below = await http.post("/mcp/x", headers=HEADERS, json=HANDSHAKE)

    assert [200, 404] == [exact.status_code, below.status_code]
    assert 404 == slash.status_code


async def test_a_client_that_hangs_up_before_the_body_is_whole_is_forgotten(
    served: Workspace,
) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    _, writer = await asyncio.open_unix_connection(str(served.control_socket))
    writer.write(head)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with connected(served) as client:
        assert (await client.list_tools()).tools


async def test_logging_is_left_as_it_is(served: Workspace) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    async with connected(served) as client:
        await client.list_tools()

    assert before == (root.level, list(root.handlers))


def test_the_sdk_is_not_imported_before_the_first_request() -> None:
    program = (
        "import sys, conductor_sidecar.mcp.endpoint as m\n"
        "m.McpEndpoint(None, None).route\n"
        "print('mcp' in sys.modules, 'mcp_types' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "False False\n" == ran.stdout


def test_the_first_request_imports_the_sdk_beside_the_event_loop() -> None:
    program = """
import asyncio, sys, threading
from conductor_sidecar.mcp.endpoint import McpEndpoint
from conductor_handlers.toolhost.records import Caller

importers = set()

class Spy:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mcp", "mcp_types", "httpx2"):
            importers.add(threading.current_thread() is threading.main_thread())

async def main():
    sys.meta_path.insert(0, Spy())
    endpoint = McpEndpoint(None, lambda _: Caller("a", "http"))
    sent = []
    scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": [], "query_string": b""}
    async def send(message):
        sent.append(message)
    async def receive():
        return {"type": "http.request", "body": b""}
    await endpoint(scope, receive, send)
    await endpoint.close()
    print(importers, sent[0]["status"])

asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "{False} 406\n" == ran.stdout


async def _posted(endpoint: McpEndpoint, bodies: asyncio.Queue[bytes]) -> list[Message]:
    """Post a body that comes in pieces, the last one empty; what was answered."""
    scope = {
        "type": "http", "method": "POST", "path": "/mcp", "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()],
    }  # fmt: skip
    said: list[Message] = []

    async def receive() -> Message:
        body = await bodies.get()
        return {"type": "http.request", "body": body, "more_body": bool(body)}

    async def send(message: Message) -> None:
        said.append(message)

    await endpoint(scope, receive, send)
    return said


async def test_a_body_that_comes_while_the_endpoint_is_closed_opens_nothing(
    notes: NotesHost,
) -> None:
    endpoint, bodies = McpEndpoint(notes.host, lambda _: ACTOR), asyncio.Queue[bytes]()
    asked = asyncio.create_task(_posted(endpoint, bodies))
    bodies.put_nowait(msgspec.json.encode(HANDSHAKE))
    await until(bodies.empty)
    await endpoint.close()
    bodies.put_nowait(b"")
    assert 503 == (await asked)[0]["status"]
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert [] == [name for name in names if name.startswith("mcp.")]


async def test_an_endpoint_that_could_not_be_opened_can_be_closed(
    notes: NotesHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, bodies = McpEndpoint(notes.host, lambda _: ACTOR), asyncio.Queue[bytes]()
    monkeypatch.setitem(sys.modules, "conductor_sidecar.mcp.sessions", None)
    bodies.put_nowait(msgspec.json.encode(HANDSHAKE))
    bodies.put_nowait(b"")
    with pytest.raises(ImportError):
        await _posted(endpoint, bodies)
    await endpoint.close()
