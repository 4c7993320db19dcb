"""The MCP server in memory: what is listed, and what calls answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import notes_pack
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Tool
from notes_world import ACTOR, BOTH_ERAS, PATIENCE_S, NotesHost, notes_host

from conductor_handlers.toolhost.records import Caller
from conductor_sidecar.mcp.front import KEY, HostFront
from conductor_sidecar.mcp.front import Client as Asking
from conductor_sidecar.mcp.server import build_server


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[NotesHost]:
    async with notes_host(tmp_path) as made:
        yield made


Build = Callable[..., Any]


@pytest.fixture
def server(notes: NotesHost) -> Build:
    """Makes a server for a caller, its selection and the workspace's."""

    def build(caller: Caller = ACTOR, words: tuple[str, ...] = (), patterns: Any = None) -> Any:
        front = HostFront(notes.host, lambda _: Asking(caller, words), patterns, notes.known())
        return build_server(front, "1.2.3")

    return build


async def listed(mcp: Any, mode: str = "auto") -> dict[str, Tool]:
    async with Client(mcp, mode=mode) as client:
        return {tool.name: tool for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_tools_are_listed_with_what_their_manifest_says(server: Build, mode: str) -> None:
    tools = await listed(server(), mode)

    add, drop = tools["notes_note_add"], tools["notes_note_drop"]
    assert ("Add a note", "Adds a note.") == (add.title, add.description)
    assert ["title"] == add.input_schema["required"]
    assert "Drops all notes. Each call needs a person's approval." == drop.description
    hints = {
        name.removeprefix("notes_note_"): (
            tool.annotations.read_only_hint, tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint, tool.annotations.open_world_hint,
        )
        for name, tool in tools.items()
        if tool.annotations is not None
    }  # fmt: skip
    assert (False, False, False, False) == hints["add"]
    assert (False, True, False, False) == hints["drop"]
    assert (True, False, True, False) == hints["list"]
    assert (True, False, False, True) == hints["wait"]


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_schema_of_answers_is_told_where_it_says_something(
    server: Build, mode: str
) -> None:
    tools = await listed(server(), mode)

    assert {"notes_note_list"} == {name for name, tool in tools.items() if tool.output_schema}


async def test_internal_tools_are_not_listed(server: Build) -> None:
    assert "notes_note_hidden" not in await listed(server())


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_call_answers_the_data_twice(
    server: Build, mode: str, desk: notes_pack.Desk
) -> None:
    async with Client(server(), mode=mode) as client:
        result = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert {"title": "Milk", "count": 1} == result.structured_content
    assert ['{"count":1,"title":"Milk"}'] == [block.text for block in result.content]  # type: ignore[union-attr]  # texts only
    assert not result.is_error
    assert ["Milk"] == desk.titles


async def test_an_answer_with_a_schema_satisfies_the_client(
    server: Build, desk: notes_pack.Desk
) -> None:
    desk.titles.append("Milk")
    async with Client(server()) as client:
        result = await client.call_tool("notes_note_list", {})

    assert {"titles": ["Milk"]} == result.structured_content


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_failure_is_a_result_that_says_why(server: Build, mode: str) -> None:
    async with Client(server(), mode=mode) as client:
        result = await client.call_tool("notes_note_find", {"title": "Eggs"})

    expected = {"code": "NOT_FOUND", "message": "No such note.", "details": {"title": "Eggs"}}
    assert result.is_error
    assert expected == result.structured_content
    assert expected == msgspec.json.decode(result.content[0].text)  # type: ignore[union-attr]  # a text


async def test_input_is_checked_once_and_by_the_host(server: Build) -> None:
    async with Client(server()) as client:
        result = await client.call_tool("notes_note_add", {"title": 7})

    assert result.is_error
    assert "INVALID_INPUT" == result.structured_content["code"]
    assert "/title" == result.structured_content["details"]["problems"][0]["pointer"]


@pytest.mark.parametrize("name", ["no_such_tool", "note:add", "notes_note_hidden", "", "x" * 999])
async def test_a_tool_that_is_not_there_is_not_found(server: Build, name: str) -> None:
    async with Client(server()) as client:
        result = await client.call_tool(name, {})

    assert result.is_error
    assert "TOOL_NOT_FOUND" == result.structured_content["code"]
    assert len(result.structured_content["message"]) < 150


async def test_a_dry_run_changes_nothing(server: Build, desk: notes_pack.Desk) -> None:
    async with Client(server()) as client:
        result = await client.call_tool("notes_note_add", {"title": "Milk", "dry_run": True})

    assert {"title": "Milk", "dry_run": True} == result.structured_content
    assert [] == desk.titles


@pytest.mark.parametrize("value", [7, "", "x" * 300, "two\nlines", "kö"])
async def test_an_idempotency_key_that_is_none_is_refused(
    server: Build, value: object, desk: notes_pack.Desk
) -> None:
    async with Client(server()) as client:
        meta: Any = {KEY: value}
        result = await client.call_tool("notes_note_add", {"title": "Milk"}, meta=meta)

    assert "INVALID_INPUT" == result.structured_content["code"]
    assert [] == desk.titles


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {"add", "drop", "find", "list", "wait"}),
        (("note:add",), {"add"}),
        (("notes_note_*d*",), {"add", "drop", "find"}),
        (("note:add, note:list", "note:wait"), {"add", "list", "wait"}),
        (("nothing:*",), set()),
        (("",), set()),
    ],
)
async def test_a_client_sees_what_it_selects(
    server: Build, words: tuple[str, ...], expected: set[str]
) -> None:
    tools = await listed(server(words=words))

    names = {name.removeprefix("notes_note_") for name in tools if "very" not in name}
    assert expected == names


async def test_a_selection_beyond_measure_is_refused(server: Build) -> None:
    async with Client(server(words=("a*," * 300,))) as client:
        with pytest.raises(MCPError, match="at most 256 patterns"):
            await client.list_tools()


async def test_workspace_credential_and_client_each_narrow(server: Build) -> None:
    caller = Caller("token:one", "http", tools=("note:add", "note:list", "note:wait"))

    tools = await listed(server(caller, ("note:*i*",), patterns=["note:list", "note:find"]))

    assert {"notes_note_list"} == set(tools)


async def test_a_call_that_tells_of_its_progress_ends_all_the_same(server: Build) -> None:
    heard: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with asyncio.timeout(PATIENCE_S), Client(server(), mode="legacy") as client:
        given = {"title": "Milk"}
        result = await client.call_tool("notes_note_add", given, progress_callback=on_progress)

    assert not result.is_error
    assert [] == heard
    assert "mcp.progress" not in {task.get_name() for task in asyncio.all_tasks()}
