"""A daemon as its callers reach it: control socket and TCP, until the last call has its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tool_pack
from conductor_sdk.client import connect, connect_http
from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_journal, open_stores
from conductor_sidecar.pack_selection import selected_packs
from conductor_sidecar.serve import serve
from conductor_sidecar.settings import Settings
from installed import install

PATIENCE_S = 20.0
SECTIONS: dict[str, Any] = {
    "link": {"adapter": "memory"},
    "packs": {"disabled": ["acme-demo", "sidekick", "plan"]},
    "http": {"listen": "127.0.0.1:0", "allow_tools": ["bench:echo"]},
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    installed = install(
        tmp_path / "installed",
        packs={
            "tool_pack": "tool_pack:pack",
            "hooked": "tool_pack:hooked",
            "needy": "tool_pack:needy",
        },
    )
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(tool_pack, "bench", tool_pack.Bench())
    (tmp_path / "work").mkdir()
    return resolve_workspace(tmp_path / "work")


@asynccontextmanager
async def served(workspace: Workspace, **sections: Any) -> AsyncGenerator[asyncio.Event]:
    """Run a sidecar; the event stops it."""
    stop, ready = asyncio.Event(), asyncio.Event()
    settings = Settings.model_validate({**SECTIONS, **sections})
    task = asyncio.create_task(serve(workspace, settings, stop, ready=ready), name="sidecar")
    async with asyncio.timeout(PATIENCE_S):
        await ready.wait()
        try:
            yield stop
        finally:
            stop.set()
            await task


async def address(workspace: Workspace) -> str:
    found = (await connect(workspace.root).status())["http"]
    assert isinstance(found, str)
    return found


async def test_the_same_tools_answer_on_the_socket_and_over_tcp(workspace: Workspace) -> None:
    async with served(workspace):
        local = connect(workspace.root).tools
        token = workspace.http_token.read_text().strip()
        remote = connect_http(await address(workspace), token).tools
        assert ["bench:echo"] == [tool.name for tool in await remote.list()]
        assert {"bench:echo", "bench:leave"} < {tool.name for tool in await local.list()}
        answers = [await tools.call("bench:echo", {"n": 1}) for tools in (local, remote)]
        assert [1, 2] == [(answer.data or {})["calls"] for answer in answers]
        refused = await remote.call("bench:note", {"text": "x"})
        assert refused.error is not None
        assert "TOOL_NOT_ALLOWLISTED" == refused.error.code
        stranger = await connect_http(await address(workspace), "x" * 40).tools.call("bench:echo")
        assert not stranger.success


async def test_nothing_listens_on_tcp_unless_it_is_configured(workspace: Workspace) -> None:
    async with served(workspace, http={}):
        assert (await connect(workspace.root).status())["http"] is None
        assert not workspace.http_token.exists()


async def test_approvals_are_not_decided_over_tcp(workspace: Workspace) -> None:
    async with served(workspace):
        from conductor_sdk.client_wire import exchange

        token = workspace.http_token.read_text().strip()
        tools = connect_http(await address(workspace), token).tools
        answer = await asyncio.to_thread(
            exchange, tools._dial(5.0), "GET", "/v1/approvals", None, None, tools._token
        )
        assert 404 == answer.status


async def test_a_packs_receiver_gets_the_body_as_it_came(workspace: Workspace) -> None:
    from http.client import HTTPConnection

    async with served(workspace):
        url = await address(workspace)

        def post() -> tuple[int, bytes]:
            line = HTTPConnection(url.removeprefix("http://"), timeout=5)
            line.request(
                "POST", "/hooks/hooked/any", b'{"a" :1}', {"Content-Type": "application/json"}
            )
            response = line.getresponse()
            found = response.status, response.read()
            line.close()
            return found

        status, body = await asyncio.to_thread(post)
        assert (202, {"name": "any", "body": '{"a" :1}'}) == (status, msgspec.json.decode(body))


async def test_a_call_that_runs_while_the_daemon_stops_gets_its_answer(
    workspace: Workspace,
) -> None:
    async with served(workspace) as stop:
        tools = connect(workspace.root).tools
        running = asyncio.create_task(tools.call("bench:wait"), name="call")
        await _running()
        stop.set()
        await _refusing(tools)
        tool_pack.bench.gate.set()
        assert (await running).success
    assert ["done"] == tool_pack.bench.ended


async def test_a_call_that_outlasts_the_drain_is_told_that_it_was_interrupted(
    workspace: Workspace,
) -> None:
    async with served(workspace, drain={"deadline_s": 0.2}) as stop:
        running = asyncio.create_task(connect(workspace.root).tools.call("bench:wait"), name="call")
        await _running()
        stop.set()
        output = await running
    assert output.error is not None
    assert ("CALL_INTERRUPTED", ["cancelled"]) == (output.error.code, tool_pack.bench.ended)


async def test_what_a_crash_left_running_is_closed_before_anybody_can_call(
    workspace: Workspace,
) -> None:
    facts = {"call_id": "call-1", "tool": "bench:wait", "pack": "tool-pack", "surface": "http"}
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        await stores.journal.append("TOOL_CALL_STARTED", "ann", facts)
        await stores.results.claim("local:x", "bench:echo", "k", "h", 1)
    async with served(workspace):
        pass
    journal = open_journal(workspace)
    entries = await journal.tail()
    await journal.close()
    assert ["TOOL_CALL_STARTED", "TOOL_CALL_INTERRUPTED"] == [e.event_type for e in entries[:2]]
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        assert "done" == (await stores.results.claim("local:x", "bench:echo", "k", "h", 2)).state


def test_a_surface_is_there_while_the_pack_that_provides_it_is(workspace: Workspace) -> None:
    def refused(**packs: Any) -> dict[str, str]:
        registry = selected_packs(Settings.model_validate({"packs": packs}))
        return {each.name: each.problems[0].code for each in registry.refused}

    assert {} == refused()
    expected = {"needy": "SURFACE_UNAVAILABLE"}
    assert expected == refused(disabled=["hooked", "sidekick"])
    assert expected == refused(surfaces_disabled=["sidekick-channel"])


async def _running() -> None:
    """Wait until a tool runs."""
    while not tool_pack.bench.inputs:  # noqa: ASYNC110  set by the tool, in the same loop
        await asyncio.sleep(0.01)


async def _refusing(tools: Any) -> None:
    """Wait until new calls are refused: the drain has begun."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                output = await tools.call("bench:echo")
            except SidecarUnreachable:
                return
            if not output.success:
                return
