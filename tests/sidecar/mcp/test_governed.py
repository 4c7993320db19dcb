"""Calls over MCP are governed like any other: approvals, policies, keys and evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import notes_pack
import pytest
from mcp import Client
from mcp_types import CallToolResult
from notes_world import ACTOR, BOTH_ERAS, PATIENCE_S, NotesHost, notes_host, until

from conductor_handlers.toolhost.policy import Rule
from conductor_handlers.toolhost.records import Caller
from conductor_sdk.clock import SystemClock, epoch_ms
from conductor_sidecar.mcp.front import KEY, RUN, SESSION, TASK, HostFront
from conductor_sidecar.mcp.front import Client as Asking
from conductor_sidecar.mcp.present import PREFIX
from conductor_sidecar.mcp.server import build_server


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[NotesHost]:
    async with notes_host(tmp_path) as made:
        yield made


def server(notes: NotesHost, caller: Caller = ACTOR, *words: str) -> Any:
    return build_server(
        HostFront(notes.host, lambda _: Asking(caller, words), None, notes.known()), "1"
    )


def code(result: CallToolResult) -> str:
    assert result.is_error
    found: str = result.structured_content["code"]
    return found


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_an_approval_is_asked_for_given_and_used_once(
    notes: NotesHost, mode: str, desk: notes_pack.Desk
) -> None:
    desk.titles.append("Milk")
    async with Client(server(notes), mode=mode) as client:
        asked = await client.call_tool("notes_note_drop", {})
        request_id = asked.structured_content["details"]["request_id"]
        kept = list(desk.titles)
        now_ms = epoch_ms(SystemClock().now())
        await notes.approvals.decide(
            request_id, granted=True, by="local:boss", reason=None, now_ms=now_ms
        )
        done = await client.call_tool("notes_note_drop", {})
        again = await client.call_tool("notes_note_drop", {})

    assert ["APPROVAL_REQUIRED", "APPROVAL_REQUIRED"] == [code(asked), code(again)]
    assert not done.is_error
    assert (["Milk"], []) == (kept, desk.titles)


async def test_a_call_leaves_evidence_of_its_surface_and_actor(notes: NotesHost) -> None:
    async with Client(server(notes)) as client:
        await client.call_tool("notes_note_add", {"title": "Milk"})
    entries = await notes.journal.tail()
    (started,), (finished,) = await notes.traces("TOOL_CALL_STARTED"), await notes.finished()

    assert ["local:tester", "local:tester"] == [entry.actor for entry in entries]
    assert ("mcp", "success") == (started["surface"], finished["result"])
    assert "Milk" not in repr(entries)
    assert ["agent-runtime:tool_called"] == [event.kind for event in notes.pushed.events]


async def test_the_answer_names_its_call(notes: NotesHost) -> None:
    async with Client(server(notes)) as client:
        result = await client.call_tool("notes_note_add", {"title": "Milk"})
    (finished,) = await notes.finished()

    assert result.meta is not None
    assert finished["call_id"] == result.meta[PREFIX + "call_id"]


async def test_what_is_not_selected_cannot_be_called_and_that_is_written_down(
    notes: NotesHost, desk: notes_pack.Desk
) -> None:
    async with Client(server(notes, ACTOR, "note:list")) as client:
        result = await client.call_tool("notes_note_add", {"title": "Milk"})
    (finished,) = await notes.finished()

    assert "TOOL_NOT_ALLOWLISTED" == code(result) == finished["code"]
    assert [] == desk.titles


async def test_what_the_credential_does_not_hold_cannot_be_called(
    notes: NotesHost, desk: notes_pack.Desk
) -> None:
    async with Client(server(notes, Caller("token:one", "http", tools=("note:list",)))) as client:
        result = await client.call_tool("notes_note_add", {"title": "Milk"})

    assert "TOOL_NOT_ALLOWLISTED" == code(result)
    assert [] == desk.titles


async def test_what_the_policy_denies_is_not_listed_and_denied_with_evidence(
    tmp_path: Path,
) -> None:
    rule = Rule("no-adding", "deny", "note:add", "not today")
    async with notes_host(tmp_path, rules=(rule,)) as notes, Client(server(notes)) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("notes_note_add", {"title": "Milk"})
        (finished,) = await notes.finished()

    assert "notes_note_add" not in names
    assert "POLICY_DENIED" == code(result) == finished["code"]


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_the_same_key_has_one_effect(
    notes: NotesHost, mode: str, desk: notes_pack.Desk
) -> None:
    meta: Any = {KEY: "k-1"}
    async with Client(server(notes), mode=mode) as client:
        first = await client.call_tool("notes_note_add", {"title": "Milk"}, meta=meta)
        second = await client.call_tool("notes_note_add", {"title": "Milk"}, meta=meta)
        other = await client.call_tool("notes_note_add", {"title": "Eggs"}, meta=meta)

    assert first.structured_content == second.structured_content
    assert second.meta is not None
    assert second.meta[PREFIX + "replayed"]
    assert "IDEMPOTENCY_CONFLICT" == code(other)
    assert ["Milk"] == desk.titles


async def test_run_task_and_session_are_mentioned_in_the_evidence(notes: NotesHost) -> None:
    meta: Any = {RUN: "run-1", TASK: "task-2", SESSION: "session-3"}
    async with Client(server(notes)) as client:
        await client.call_tool("notes_note_add", {"title": "Milk"}, meta=meta)
        refused = await client.call_tool("notes_note_add", {"title": "x"}, meta={RUN: "\n"})  # type: ignore[typeddict-unknown-key]  # ours
    entry = (await notes.journal.tail())[0]

    assert all(word in repr(entry) for word in ("run-1", "task-2", "session-3"))
    assert "INVALID_INPUT" == code(refused)


@pytest.mark.parametrize("mode", BOTH_ERAS)
async def test_a_cancelled_call_has_its_end_in_the_journal(
    notes: NotesHost, mode: str, desk: notes_pack.Desk
) -> None:
    async with Client(server(notes), mode=mode) as client:
        call = asyncio.create_task(client.call_tool("notes_note_wait", {}))
        async with asyncio.timeout(PATIENCE_S):
            await desk.waiting.wait()
        call.cancel()
        await until(lambda: desk.cancelled == 1)
        await until(lambda: len(notes.pushed.events) == 1)
    (finished,) = await notes.finished()

    assert "CALL_INTERRUPTED" == finished["code"]
