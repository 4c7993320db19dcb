"""Issue 4, "MCP": the same tools for the client of the official SDK, over HTTP and stdio."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from real_world import CONDUCTOR, SECONDS, Sidecar, World
from tool_world import ALLOW, Door, effects, gear_world, journal, tool_call

KEY = "conductor.sidecar/idempotency-key"


@pytest.fixture(scope="module")
def one(shared: World) -> Sidecar:
    (shared.directory / "one").mkdir()
    (shared.directory / "one/conductor.toml").write_text('[pack.sidekick]\ntoolset = "full"\n')
    return gear_world(shared, "one", *ALLOW)


@contextlib.asynccontextmanager
async def over_http(sidecar: Sidecar, query: str = "") -> AsyncGenerator[Client]:
    door = Door(sidecar)
    headers = {"authorization": f"Bearer {door.token}"}
    url = f"http://127.0.0.1:{door.port}/mcp{query}"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=SECONDS, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def over_stdio(world: World, sidecar: Sidecar, *words: str) -> AsyncGenerator[Client]:
    program = StdioServerParameters(
        command=CONDUCTOR, args=["mcp", "-w", str(sidecar.workspace), *words],
        env={**world.env}, cwd=str(world.directory),
    )  # fmt: skip
    with open(os.devnull, "w") as errors:  # noqa: PTH123, ASYNC230  a sink, not a file
        async with Client(stdio_client(program, errlog=errors)) as client:
            yield client


async def listed(client: Client) -> dict[str, Any]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


async def test_both_ways_offer_the_same_tools_with_the_same_hints(
    shared: World, one: Sidecar
) -> None:
    async with over_http(one) as http, over_stdio(shared, one) as stdio:
        first, second = await listed(http), await listed(stdio)

    assert {name: of.model_dump() for name, of in first.items()} == {
        name: of.model_dump() for name, of in second.items()
    }
    assert {"sidekick_task_create", "sidekick_memory_recall", "gear_effect"} <= set(first)
    assert not {"gear_reserved", "strict_look", "gear_inside"} & set(first)
    recall, cancel = first["sidekick_memory_recall"], first["sidekick_task_cancel"]
    assert recall.annotations.read_only_hint is True
    assert cancel.annotations.read_only_hint is False
    assert cancel.annotations.destructive_hint is True
    assert first["sidekick_task_create"].annotations.destructive_hint is False
    assert recall.output_schema is not None


async def test_a_call_is_the_same_call_on_every_surface(shared: World, one: Sidecar) -> None:
    async with over_http(one) as http, over_stdio(shared, one) as stdio:
        made = await http.call_tool("sidekick_task_create", {"title": "Milk"})
        found = await stdio.call_tool("sidekick_task_list", {"search": "milk"})
        wrong = await stdio.call_tool("sidekick_task_create", {"title": ""})
        denied = await http.call_tool("strict_look", {})
        asked = await stdio.call_tool("gear_leave", {"n": 1})
        missing = await http.call_tool("sidekick_task_complete", {"id": "task-0"})

    assert made.structured_content["task"]["title"] == "Milk"
    assert [of["title"] for of in found.structured_content["items"]] == ["Milk"]
    codes = [of.structured_content["code"] for of in (wrong, denied, asked, missing)]
    assert codes == ["INVALID_INPUT", "POLICY_DENIED", "APPROVAL_REQUIRED", "NOT_FOUND"]
    assert all(of.is_error for of in (wrong, denied, asked, missing))
    seen = {
        (of["payload"]["surface"], of["actor"].split(":")[0])
        for of in journal(shared, one.workspace, "TOOL_CALL_FINISHED")
    }
    assert {("mcp", "token"), ("mcp", "local")} <= seen
    # Leave for this caller is given by hand, and the same call again is done.
    request_id = asked.structured_content["details"]["request_id"]
    granted = shared.command("approvals", "grant", request_id, "-w", str(one.workspace))
    assert granted.code == 0, granted.err
    async with over_stdio(shared, one) as stdio:
        assert not (await stdio.call_tool("gear_leave", {"n": 1})).is_error


async def test_a_key_has_one_effect_over_mcp_as_well(shared: World, one: Sidecar) -> None:
    before = effects(one.workspace)
    keyed: Any = {KEY: "k"}
    async with over_stdio(shared, one) as stdio:
        for _ in range(3):
            await stdio.call_tool("gear_effect", {"n": 1}, meta=keyed)
    typed = tool_call(shared, one.workspace, "gear:effect", {"n": 1}, "--key", "k")

    assert typed.json["metadata"]["replayed"] is True
    assert effects(one.workspace) == before + 1


@pytest.mark.parametrize(("query", "words"), [
    ("?tools=task:*,memory:recall", ("--tools", "task:*", "--tools", "memory:recall")),
    ("?tools=sidekick_task_*,sidekick_memory_recall",
     ("--tools", "sidekick_task_*", "--tools", "sidekick_memory_recall")),
])  # fmt: skip
async def test_a_selection_is_offered_and_nothing_else_can_be_called(
    shared: World, one: Sidecar, query: str, words: tuple[str, ...]
) -> None:
    async with over_http(one, query) as http, over_stdio(shared, one, *words) as stdio:
        for client in (http, stdio):
            names = set(await listed(client))
            refused = await client.call_tool(
                "sidekick_memory_store", {"type": "fact", "content": "x"}
            )

            assert {of for of in names if "task" not in of} == {"sidekick_memory_recall"}
            assert refused.is_error
    done = tool_call(shared, one.workspace, "memory:recall", {})
    assert done.json["data"]["count"] == 0


async def test_core_is_what_a_client_asks_for_and_full_what_is_configured(
    shared: World, one: Sidecar
) -> None:
    async with over_stdio(shared, one) as stdio:
        full = {of for of in await listed(stdio) if of.startswith("sidekick_")}
    async with over_stdio(shared, one, "--toolset", "core") as stdio:
        core = {of for of in await listed(stdio) if of.startswith("sidekick_")}

    assert (len(full), len(core)) == (23, 16)
    assert core < full
    assert "sidekick_task_cancel" not in core


async def test_without_a_daemon_the_tools_are_listed_and_a_call_says_what_to_type(
    world: World,
) -> None:
    workspace = world.directory / "alone"
    workspace.mkdir()
    alone = Sidecar(workspace, None)  # type: ignore[arg-type]  # nothing runs
    async with over_stdio(world, alone) as stdio:
        assert "sidekick_task_create" in await listed(stdio)
        answer = await stdio.call_tool("sidekick_task_create", {"title": "x"})
        assert answer.is_error
        assert "conductor sidecar" in str(answer.content)
        assert not (workspace / ".sidekick").exists()
        sidecar = world.loopback("alone", "--log-level", "error")
        answer = await stdio.call_tool("sidekick_task_create", {"title": "x"})
        assert not answer.is_error
        # A daemon that was started again is found as well.
        sidecar.kill()
        sidecar = world.sidecar(workspace, "--adapter", "memory", "--log-level", "error")
        answer = await stdio.call_tool("sidekick_task_create", {"title": "y"})
        assert not answer.is_error, answer.content


@pytest.mark.parametrize("headers", [
    {"authorization": "Bearer wrong"}, {"host": "evil.example"}, {"origin": "https://evil.example"},
])  # fmt: skip
async def test_the_door_to_mcp_is_guarded(one: Sidecar, headers: dict[str, str]) -> None:
    door = Door(one)
    sent = {
        "authorization": f"Bearer {door.token}", "content-type": "application/json",
        "accept": "application/json, text/event-stream", **headers,
    }  # fmt: skip
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"http://127.0.0.1:{door.port}/mcp", headers=sent, json=body)

    assert answer.status_code in {401, 403, 421}
    assert "sidekick_" not in answer.text
