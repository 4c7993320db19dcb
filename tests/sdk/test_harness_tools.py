"""The harness calls a pack's tools as the tool host would, and journals with its tables."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conductor_sdk.chain.canonical import PayloadRefused
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import StorageMisused
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.testing.tools import ToolCaller
from conductor_sdk.tool_output import ToolOutput, succeeded

MODULE = "harness_tests_tools"
WRITE = {"type": "path", "pattern": ".demo/**", "access": "write"}
STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}}


async def double(given: Mapping[str, Any], ctx: Any) -> ToolOutput:
    return succeeded({"n": given["n"] * 2, "actor": ctx.call.actor, "dry": ctx.call.dry_run})


async def relay(given: Mapping[str, Any], ctx: Any) -> ToolOutput:
    return await ctx.tools.call("a:double", given)


async def store(given: Mapping[str, Any], ctx: Any) -> ToolOutput:
    ctx.files.directory(".demo", "write").mkdir(exist_ok=True)
    ctx.files.write_bytes(given["path"], b"x")
    return succeeded()


async def broken(given: Mapping[str, Any], ctx: Any) -> ToolOutput:
    raise ValueError("broken")


def tool(name: str, **fields: Any) -> dict[str, Any]:
    entry = f"{MODULE}:{name.split(':')[1]}"
    return {"name": name, "entry": entry, "required_scopes": [WRITE], **fields}


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PackHarness]:
    module = ModuleType(MODULE)
    for function in (double, relay, store, broken):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, MODULE, module)
    tools = [
        tool("a:double", input_schema=STRICT), tool("a:relay"), tool("a:store"), tool("a:broken"),
        tool("b:double", required_approvals=["demo:double"]),
        tool("c:double", internal_only=True), tool("a:none"),
        tool("d:double", output_schema={"type": "object", "properties": {"n": {"type": "string"}}}),
    ]  # fmt: skip
    manifest = PackManifest.from_mapping({"id": "demo", "version": "1.0.0", "tools": tools})
    async with PackHarness(Pack(manifest)) as made:
        yield made


def code(output: ToolOutput) -> str | None:
    return None if output.error is None else output.error.code


async def test_a_tool_is_called_with_its_context(harness: PackHarness) -> None:
    output = await harness.call_tool("a:double", {"n": 2})
    assert {"n": 4, "actor": "tester", "dry": False} == output.data
    output = await harness.call_tool("a:double", {"n": 2}, caller=ToolCaller("me", "http"))
    assert output.data is not None
    assert "me" == output.data["actor"]


async def test_ctx_tools_calls_as_the_pack(harness: PackHarness) -> None:
    output = await harness.call_tool("a:relay", {"n": 2})
    assert {"n": 4, "actor": "pack:demo", "dry": False} == output.data
    assert "a:double" in harness.context.tools.names()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("a:unknown", {}, "TOOL_NOT_FOUND"), ("c:double", {"n": 1}, "TOOL_NOT_FOUND"),
        ("a:double", {"n": "x"}, "INVALID_INPUT"), ("a:double", {"n": 1, "m": 1}, "INVALID_INPUT"),
        ("a:broken", {}, "TOOL_EXECUTION_FAILED"), ("a:none", {}, "TOOL_UNAVAILABLE"),
        ("b:double", {"n": 1}, "APPROVAL_REQUIRED"), ("d:double", {"n": 1}, "INVALID_OUTPUT"),
        ("a:store", {"path": "elsewhere"}, "SCOPE_DENIED"),
        ("a:store", {"path": ".lumenflow/x"}, "SCOPE_DENIED"),
    ],
)  # fmt: skip
async def test_what_the_host_refuses_is_refused_here_with_its_code(
    harness: PackHarness, name: str, given: dict[str, Any], expected: str
) -> None:
    assert expected == code(await harness.call_tool(name, given))


async def test_an_approved_caller_gets_through(harness: PackHarness) -> None:
    assert (await harness.call_tool("b:double", {"n": 1}, caller=ToolCaller(approved=True))).success


async def test_files_are_written_within_the_scopes(harness: PackHarness) -> None:
    assert (await harness.call_tool("a:store", {"path": ".demo/f"})).success
    assert b"x" == (harness.context.workspace / ".demo/f").read_bytes()


async def test_a_key_gives_the_first_answer_again(harness: PackHarness) -> None:
    first = await harness.call_tool("a:double", {"n": 1}, key="k")
    assert first is await harness.call_tool("a:double", {"n": 1}, key="k")
    assert "IDEMPOTENCY_CONFLICT" == code(await harness.call_tool("a:double", {"n": 2}, key="k"))


async def test_tables_and_entries_are_committed_together(harness: PackHarness) -> None:
    def work(transaction: Any) -> Any:
        transaction.connection.execute("CREATE TABLE demo_items (id TEXT)")
        transaction.connection.execute("INSERT INTO demo_items VALUES ('a')")
        first = transaction.append("ITEM_ADDED", {"id": "a"})
        return first, transaction.append("ITEM_SEEN", {"id": "a"}, actor="me", task_id="t")

    first, second = await harness.context.journal.transaction(work)
    assert (1, 2) == (first.sequence, second.sequence)
    assert first.hash != second.hash
    assert [("ITEM_ADDED", "pack:demo"), ("ITEM_SEEN", "me")] == [
        (entry.event_type, entry.actor) for entry in harness.journal.entries
    ]
    assert 3 == await harness.context.journal.append("LATER", {})


async def test_a_transaction_that_fails_leaves_neither_tables_nor_entries(
    harness: PackHarness,
) -> None:
    journal = harness.context.journal
    await journal.transaction(lambda t: t.connection.execute("CREATE TABLE demo_items (id TEXT)"))

    def work(transaction: Any) -> None:
        transaction.connection.execute("INSERT INTO demo_items VALUES ('a')")
        transaction.append("ITEM_ADDED", {"id": "a"})
        raise KeyError("half way")

    with pytest.raises(KeyError):
        await journal.transaction(work)
    with pytest.raises(PayloadRefused):
        await journal.transaction(lambda t: t.append("ITEM_ADDED", {"weight": 0.5}))
    with pytest.raises(StorageMisused):
        await journal.transaction(lambda t: t.connection.commit())
    rows = await journal.transaction(
        lambda t: t.connection.execute("SELECT count(*) FROM demo_items").fetchone()
    )
    assert ((0,), []) == (rows, harness.journal.entries)


async def test_the_tables_can_be_had_in_a_file(tmp_path: Path) -> None:
    manifest = PackManifest.from_mapping({"id": "demo", "version": "1.0.0"})
    path = tmp_path / "journal.db"
    async with PackHarness(Pack(manifest), journal_path=path) as made:
        await made.context.journal.transaction(
            lambda t: t.connection.execute("CREATE TABLE demo_items (id TEXT)")
        )
    with sqlite3.connect(path) as connection:
        assert [("demo_items",)] == connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
