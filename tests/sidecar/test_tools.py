"""The tool host in a daemon: recovery, draining, forgetting, and what packs are given."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import tool_pack
from conductor_handlers.toolhost.records import Caller, Request
from conductor_sdk.clock import ManualClock, SystemClock
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.tool_output import ToolOutput
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_journal, open_stores, workspace_lock
from conductor_sidecar.call_history import MARK, JournalCalls
from conductor_sidecar.offline import assembled, tools_without_daemon
from conductor_sidecar.settings import ApprovalsSettings, Settings, ToolPolicy, ToolsSettings
from conductor_sidecar.tools import Tools, host_settings, local_caller
from conductor_state.journal import SqliteJournal
from conductor_state.lock import WorkspaceBusy
from installed import install

ME = Caller("ann", "socket")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace beside the pack of tools, with a fresh bench."""
    installed = install(tmp_path / "installed", packs={"tool_pack": "tool_pack:pack"})
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(tool_pack, "bench", tool_pack.Bench())
    (tmp_path / "work").mkdir()
    return resolve_workspace(tmp_path / "work")


async def call(tools: Tools, name: str, given: Any = None, key: str | None = None) -> ToolOutput:
    return await tools.host.call(Request(name, given or {}, ME, key))


async def entries(workspace: Workspace) -> list[tuple[str, str]]:
    journal = open_journal(workspace)
    try:
        return [(entry.event_type, entry.actor) for entry in await journal.tail()]
    finally:
        await journal.close()


async def test_a_call_without_a_daemon_leaves_the_same_evidence(workspace: Workspace) -> None:
    async with tools_without_daemon(workspace, Settings()) as tools:
        output = await call(tools, "bench:echo", {"n": 1})
    assert {"given": {"n": 1}, "calls": 1} == output.data
    assert [("TOOL_CALL_STARTED", "ann"), ("TOOL_CALL_FINISHED", "ann")] == await entries(workspace)


async def test_an_answer_is_given_again_by_its_key_over_processes(workspace: Workspace) -> None:
    answers = []
    for _ in range(2):
        async with tools_without_daemon(workspace, Settings()) as tools:
            answers.append((await call(tools, "bench:echo", {"n": 1}, key="k")).data)
    assert [{"given": {"n": 1}, "calls": 1}] * 2 == answers


async def test_while_somebody_has_the_workspace_no_tools_are_opened(workspace: Workspace) -> None:
    workspace.create()
    lock = workspace_lock(workspace, "test")
    await lock.acquire(0.0)
    try:
        with pytest.raises(WorkspaceBusy):
            async with tools_without_daemon(workspace, Settings()):
                pass
    finally:
        lock.release()


async def test_a_packs_tables_and_entries_are_one_commit_and_its_calls_go_through_the_host(
    workspace: Workspace,
) -> None:
    async with tools_without_daemon(workspace, Settings()) as tools:
        output = await call(tools, "bench:note", {"text": "hello"})
    assert output.data is not None
    assert (2, True) == (output.data["sequence"], output.data["inner"])
    assert [
        ("TOOL_CALL_STARTED", "ann"), ("NOTED", "ann"),
        ("TOOL_CALL_STARTED", "pack:tool-pack"), ("TOOL_CALL_FINISHED", "pack:tool-pack"),
        ("TOOL_CALL_FINISHED", "ann"),
    ] == await entries(workspace)  # fmt: skip


async def test_what_a_dead_process_left_running_is_closed_and_answered(
    workspace: Workspace,
) -> None:
    facts = {"call_id": "call-1", "tool": "bench:wait", "pack": "tool-pack", "surface": "socket"}
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        await stores.journal.append("TOOL_CALL_STARTED", "ann", facts)
        await stores.journal.append("TOOL_CALL_STARTED", "ann", {**facts, "call_id": "call-2"})
        await stores.journal.append("TOOL_CALL_FINISHED", "ann", {**facts, "call_id": "call-2"})
    async with tools_without_daemon(workspace, Settings()) as tools:
        assert 0 == await tools.recover()  # opening did it, once
    async with tools_without_daemon(workspace, Settings()):
        pass
    found = await entries(workspace)
    assert [("TOOL_CALL_INTERRUPTED", "ann")] == found[3:]


async def test_the_next_start_does_not_look_at_what_was_looked_through(
    workspace: Workspace,
) -> None:
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        await stores.journal.append("TOOL_CALL_STARTED", "ann", {"call_id": "odd", "tool": 1})
        assert [] == await stores.calls.open_calls()
        facts = {"call_id": "call-1", "tool": "t:x", "pack": "p", "surface": "http"}
        await stores.journal.append("TOOL_CALL_STARTED", "ann", facts)
        assert ["call-1"] == [found.call_id for found in await stores.calls.open_calls()]
        await stores.journal.append("TOOL_CALL_FINISHED", "ann", facts)
        await stores.journal.append("TOOL_CALL_FINISHED", "ann", {"call_id": "odd"})
        await stores.calls.look_on()
        assert [] == await stores.calls.open_calls()
    # Another journal in its place makes the mark worthless, not the calls invisible.
    workspace.journal_db.unlink()
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        await stores.journal.append("TOOL_CALL_STARTED", "bob", {**facts, "call_id": "call-9"})
        assert ["bob"] == [found.actor for found in await stores.calls.open_calls()]


class Kept(dict[str, str]):
    """Marks in a dict."""

    async def get(self, name: str) -> str | None:  # type: ignore[override]  the port's
        return super().get(name)

    async def put(self, name: str, value: str) -> None:
        self[name] = value


async def test_the_mark_stands_before_the_oldest_open_call_or_at_the_end(tmp_path: Path) -> None:
    journal, marks = SqliteJournal(tmp_path / "journal.db"), Kept()
    calls = JournalCalls(journal, marks)
    facts = {"call_id": "call-1", "tool": "t:x", "pack": "p", "surface": "http"}
    try:
        for event_type in ("NOTED", "TOOL_CALL_STARTED", "NOTED"):
            await journal.append(event_type, "ann", facts)
        await calls.look_on()
        assert 1 == json.loads(marks[MARK])["sequence"]
        await journal.append("TOOL_CALL_FINISHED", "ann", facts)
        await calls.look_on()
        assert 4 == json.loads(marks[MARK])["sequence"]
        await journal.append("TOOL_CALL_STARTED", "ann", {**facts, "call_id": "call-2"})
        assert ["call-2"] == [call.call_id for call in await calls.open_calls()]
        beyond = {**json.loads(marks[MARK]), "sequence": 5}
        marks[MARK] = json.dumps(beyond)
        assert [] == await calls.open_calls()
        marks[MARK] = "damaged"
        assert ["call-2"] == [call.call_id for call in await calls.open_calls()]
    finally:
        await journal.close()


async def test_a_running_call_finishes_within_the_drain(workspace: Workspace) -> None:
    async with tools_without_daemon(workspace, Settings()) as tools:
        running = asyncio.create_task(call(tools, "bench:wait"), name="call")
        await _until(lambda: bool(tool_pack.bench.inputs))
        closing = asyncio.create_task(tools.close(30.0), name="close")
        await asyncio.sleep(0)
        refused = await call(tools, "bench:echo")
        tool_pack.bench.gate.set()
        await closing
        assert (await running).success
    assert refused.error is not None
    assert ("TOOL_UNAVAILABLE", ["done"]) == (refused.error.code, tool_pack.bench.ended)


async def test_a_call_that_outlasts_the_drain_is_ended_with_evidence(workspace: Workspace) -> None:
    async with tools_without_daemon(workspace, Settings()) as tools:
        running = asyncio.create_task(call(tools, "bench:wait"), name="call")
        await _until(lambda: bool(tool_pack.bench.inputs))
        await tools.close(0.0)
        output = await running
    assert output.error is not None
    assert ("CALL_INTERRUPTED", ["cancelled"]) == (output.error.code, tool_pack.bench.ended)
    assert "TOOL_CALL_FINISHED" == (await entries(workspace))[-1][0]


async def test_old_answers_and_approvals_are_forgotten_by_their_own_windows(
    workspace: Workspace,
) -> None:
    clock = ManualClock()
    settings = Settings(tools=ToolsSettings(result_days=1), approvals=ApprovalsSettings(ttl_s=60))
    async with open_stores(workspace, settings, clock=clock) as stores:
        packs, tools = assembled(workspace, settings, stores)
        await call(tools, "bench:echo", {"n": 1}, key="k")
        await call(tools, "bench:leave")
        assert 1 == await stores.desk.approvals.pending()
        clock.advance(86_400 * 2)
        assert 1 == await tools.prune()  # the answer; the approval only after retention.days
        assert 1 == len(await stores.desk.approvals.list())
        clock.advance(86_400 * 6)
        assert 1 == await tools.prune()
        assert [] == await stores.desk.approvals.list()
        again = await call(tools, "bench:echo", {"n": 1}, key="k")
        assert again.data is not None
        assert 2 == again.data["calls"]
        await packs.close()


def test_the_settings_reach_the_host() -> None:
    scope = PathScope(type="path", pattern="docs/**", access="read")
    settings = Settings(
        tools=ToolsSettings(
            scopes=[scope], default_decision="deny", deadline_s=5, max_concurrency=2,
            policies=[ToolPolicy(tool="bench:*", decision="allow", reason="tests")],
        ),
        approvals=ApprovalsSettings(ttl_s=7),
    )  # fmt: skip
    found = host_settings(settings)
    [rule] = found.rules
    assert ((scope,), "deny", 5, 2, 7) == (
        found.scopes, found.default_decision, found.deadline_s, found.max_concurrency,
        found.approval_ttl_s,
    )  # fmt: skip
    assert ("workspace.1", "allow", "bench:*", "tests") == (
        rule.id, rule.decision, rule.tool, rule.reason,
    )  # fmt: skip


async def test_a_workspace_rule_and_scope_bind_every_caller(workspace: Workspace) -> None:
    rules = [ToolPolicy(tool="bench:missing", decision="deny", reason="not here")]
    scope = PathScope(type="path", pattern="elsewhere/**", access="read")
    codes = []
    for section in (ToolsSettings(policies=rules), ToolsSettings(scopes=[scope])):
        async with tools_without_daemon(workspace, Settings(tools=section)) as tools:
            output = await tools.host.call(Request("bench:missing", {}, local_caller()))
            codes.append(output.error.code if output.error else "")
    assert ["POLICY_DENIED", "SCOPE_DENIED"] == codes


async def test_of_an_unenrolled_workspace_nothing_is_queued(workspace: Workspace) -> None:
    async with tools_without_daemon(workspace, Settings()) as tools:
        await call(tools, "bench:echo")
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        assert 0 == (await stores.outbox.depth()).events


async def test_with_a_subject_the_call_is_queued_for_the_conductor(workspace: Workspace) -> None:
    settings = Settings.model_validate({"link": {"adapter": "memory"}})
    async with tools_without_daemon(workspace, settings) as tools:
        output = await call(tools, "bench:echo")
    async with open_stores(workspace, settings, clock=SystemClock()) as stores:
        [queued] = await stores.outbox.take(0, 10, 1_000_000)
    event = json.loads(queued.body)
    assert ("agent-runtime:tool_called", "work", "success") == (
        event["kind"], event["from"], event["payload"]["outcome"],
    )  # fmt: skip
    assert event["payload"]["call_id"] == (output.metadata or {})["call_id"]


async def _until(reached: Any) -> None:
    async with asyncio.timeout(10.0):
        while not reached():  # noqa: ASYNC110  any condition, of any object
            await asyncio.sleep(0.001)
