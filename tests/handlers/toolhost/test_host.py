"""The order of one call, and the evidence that each end of it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from conductor_handlers.toolhost.policy import Question, Rule
from conductor_handlers.toolhost.records import Caller
from conductor_handlers.toolhost.settings import WHOLE_WORKSPACE, HostSettings
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.pack_errors import ScopeDenied
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

READ = {"type": "path", "pattern": ".demo/**", "access": "read"}
WRITE = {"type": "path", "pattern": ".demo/**", "access": "write"}
STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
READ_ONLY = (PathScope(type="path", pattern="**", access="read"),)


def code(output: ToolOutput) -> str | None:
    return None if output.error is None else output.error.code


async def test_a_success_leaves_a_started_and_a_finished_entry_and_one_event(world: Any) -> None:
    world.tool("task:create", input_schema=STRICT)
    output = await world.call("task:create", {"n": 1}, run_id="run-1", task_id="t-1")
    assert output.success
    assert {"n": 1} == output.data
    assert ["TOOL_CALL_STARTED", "TOOL_CALL_FINISHED"] == world.types()
    started, finished = world.last("TOOL_CALL_STARTED"), world.last("TOOL_CALL_FINISHED")
    assert ["read:.demo/**"] == started["scopes"]["requested"] == started["scopes"]["enforced"]
    assert ("demo", "1.2.3", "socket") == (
        started["pack"], started["pack_version"], started["surface"]
    )  # fmt: skip
    assert ("run-1", "t-1") == (started["run_id"], finished["task_id"])
    assert started["call_id"] == finished["call_id"] == (output.metadata or {})["call_id"]
    assert ("success", 64) == (finished["result"], len(finished["output_hash"]))
    assert [{"policy_id": "workspace.default", "decision": "allow"}] == finished["decisions"]
    assert started["input_hash"] == finished["input_hash"]
    [event] = world.events.pushed
    assert ("agent-runtime:tool_called", "ws-1") == (event.kind, event.from_)
    assert {
        "call_id": started["call_id"], "tool": "task:create", "pack": "demo", "actor": "me",
        "surface": "socket", "outcome": "success", "duration_ms": 0,
        "input_hash": started["input_hash"],
    } == event.payload  # fmt: skip


async def test_no_input_is_in_the_evidence_only_its_hash(world: Any) -> None:
    world.tool("task:create")
    await world.call("task:create", {"secret": "hunter2"})
    assert "hunter2" not in repr(world.evidence.entries)
    assert "hunter2" not in repr(world.events.pushed)


async def test_the_clock_that_is_handed_in_gives_every_duration(world: Any) -> None:
    async def slow(_given: Any, ctx: Any) -> ToolOutput:
        ctx.clock.advance(1.5)
        return succeeded()

    world.tool("a:b", slow)
    assert world.host is not None
    world.harnesses[0].context.clock = world.clock
    await world.call("a:b")
    assert 1500 == world.last("TOOL_CALL_FINISHED")["duration_ms"]


async def test_an_unknown_tool_leaves_no_trace(world: Any) -> None:
    world.tool("a:b")
    assert "TOOL_NOT_FOUND" == code(await world.call("a:c"))
    assert [] == world.types() + world.events.pushed


async def test_a_tool_for_packs_only_is_not_found_on_any_surface(world: Any) -> None:
    world.tool("a:inner", internal_only=True)
    for surface in ("socket", "http", "mcp"):
        output = await world.call("a:inner", caller=Caller("me", surface))
        assert "TOOL_NOT_FOUND" == code(output)
    assert [] == world.host.listings(Caller("me", "socket"))
    assert (await world.call("a:inner", caller=Caller("pack:x", "pack"))).success


async def test_what_the_caller_may_not_call_is_refused_before_it_is_looked_up(world: Any) -> None:
    world.tool("task:create")
    world.tool("memory:store")
    caller = Caller("me", "http", tools=("task:*",))
    assert (await world.call("task:create", caller=caller)).success
    for name in ("memory:store", "memory:none"):
        assert "TOOL_NOT_ALLOWLISTED" == code(await world.call(name, caller=caller))
    assert "TOOL_NOT_ALLOWLISTED" == code(
        await world.call("task:create", caller=Caller("me", "http", tools=()))
    )
    assert [("success", None), ("denied", "TOOL_NOT_ALLOWLISTED")] == world.results_of()[:2]
    assert ["task:create"] == [one.name for one in world.host.listings(caller)]


async def test_a_reserved_path_is_refused_though_every_layer_allows_it(world: Any) -> None:
    scope = {"type": "path", "pattern": ".lumenflow/state/**", "access": "write"}
    world.tool("a:b", required_scopes=[scope])
    world.settings = HostSettings(scopes=(*WHOLE_WORKSPACE, PathScope.model_validate(scope)))
    output = await world.call("a:b")
    assert "SCOPE_DENIED" == code(output)
    assert ".lumenflow" in output.error.message
    assert [".lumenflow/state/**"] == output.error.details["reserved_scopes"]
    finished = world.last("TOOL_CALL_FINISHED")
    assert "denied" == finished["result"]
    assert [{"policy_id": "kernel.scope.reserved-path", "decision": "deny"}] == finished[
        "decisions"
    ]


@pytest.mark.parametrize(
    "pattern",
    ["[.]lumenflow/**", ".l*/**", "**/.lumenflow/**", "././.lumenflow/**", ".LUMENFLOW/**",
     "{.lumenflow,x}/**", ".lumenflow*/**", "docs/../.lumenflow/**"],
)  # fmt: skip
async def test_no_spelling_of_a_declared_scope_gets_a_tool_to_the_reserved_path(
    world: Any, pattern: str
) -> None:
    scope = PathScope(type="path", pattern=pattern, access="write")
    world.tool("a:b", required_scopes=[scope.model_dump()])
    world.settings = HostSettings(scopes=(*WHOLE_WORKSPACE, scope))
    assert "SCOPE_DENIED" == code(await world.call("a:b"))


async def test_a_tool_outside_of_the_workspace_s_scopes_is_denied(world: Any) -> None:
    world.tool("a:b", required_scopes=[WRITE])
    world.settings = HostSettings(
        scopes=(PathScope(type="path", pattern="docs/**", access="write"),)
    )
    output = await world.call("a:b")
    assert "SCOPE_DENIED" == code(output)
    assert {"missing": ["write:.demo/**"], "allowed": ["write:docs/**"]} == output.error.details
    assert "kernel.scope.boundary" == world.last("TOOL_CALL_FINISHED")["decisions"][0]["policy_id"]


async def test_a_tool_that_writes_is_denied_where_only_reading_is_left(world: Any) -> None:
    """X21: a partial intersection is none."""
    world.tool("task:create", required_scopes=[READ, WRITE])
    output = await world.call("task:create", caller=Caller("me", "http", scopes=READ_ONLY))
    assert "SCOPE_DENIED" == code(output)
    assert ["write:.demo/**"] == output.error.details["missing"]
    assert (await world.call("task:create")).success
    assert [] == world.host.listings(Caller("me", "http", scopes=READ_ONLY))


async def test_a_tool_s_files_reach_as_far_as_the_caller_s_scopes_and_no_further(
    world: Any,
) -> None:
    async def store(given: Mapping[str, Any], ctx: Any) -> ToolOutput:
        ctx.files.write_bytes(given["path"], b"x")
        return succeeded({"scopes": [scope.pattern for scope in ctx.scopes]})

    (world.root / ".demo/mine").mkdir(parents=True)
    world.tool("a:store", store, required_scopes=[WRITE])
    mine = (PathScope(type="path", pattern=".demo/mine/**", access="write"),)
    caller = Caller("me", "http", scopes=mine)
    output = await world.call("a:store", {"path": ".demo/mine/f"}, caller=caller)
    assert {"scopes": [".demo/mine/**"]} == output.data
    output = await world.call("a:store", {"path": ".demo/f"}, caller=caller)
    assert "SCOPE_DENIED" == code(output)
    assert ("failure", "SCOPE_DENIED") == world.results_of()[-1]
    assert (await world.call("a:store", {"path": ".demo/f"})).success


async def test_policy_is_asked_before_the_input_is_looked_at(world: Any) -> None:
    world.tool("a:b", input_schema=STRICT)
    world.settings = HostSettings(rules=(Rule("no-b", "deny", "a:*", "not today"),))
    output = await world.call("a:b", {"n": "nonsense"})
    assert "POLICY_DENIED" == code(output)
    assert "not today" in output.error.message
    assert [("denied", "POLICY_DENIED")] == world.results_of()
    assert "no-b" == world.last("TOOL_CALL_FINISHED")["decisions"][0]["policy_id"]


async def test_a_default_of_deny_denies_what_no_rule_allows(world: Any) -> None:
    world.tool("a:b")
    world.tool("c:d")
    world.settings = HostSettings(rules=(Rule("a", "allow", "a:*"),), default_decision="deny")
    assert (await world.call("a:b")).success
    assert "POLICY_DENIED" == code(await world.call("c:d"))
    assert ["a:b"] == [one.name for one in world.host.listings(Caller("me", "socket"))]


async def test_a_default_of_approval_asks_for_what_no_rule_allows(world: Any) -> None:
    world.tool("a:b")
    world.tool("c:d")
    world.settings = HostSettings(
        rules=(Rule("a", "allow", "a:*"),), default_decision="approval_required"
    )
    assert (await world.call("a:b")).success
    output = await world.call("c:d")
    assert "APPROVAL_REQUIRED" == code(output)
    assert ["workspace.default"] == output.error.details["approvals"]


async def test_one_pack_s_policy_never_governs_another_pack_s_tools(world: Any) -> None:
    world.tool("a:b", pack="strict")
    world.tool("c:d", pack="open")
    world.policy("strict", "strict.deny", "deny")
    assert "POLICY_DENIED" == code(await world.call("a:b"))
    assert (await world.call("c:d")).success


async def test_a_policy_of_another_trigger_is_silent(world: Any) -> None:
    world.tool("a:b")
    world.policy("demo", "p", "deny", trigger="on_completion")
    assert (await world.call("a:b")).success


async def test_a_condition_is_given_the_arguments_and_none_where_there_are_no_objects(
    world: Any,
) -> None:
    seen: list[Any] = []

    def look(question: Question) -> bool:
        seen.append(question.arguments)
        return False

    world.tool("a:b")
    world.settings = HostSettings(rules=(Rule("look", "deny", when=look),))
    await world.call("a:b", {"n": 1})
    await world.call("a:b", [1])
    assert [{"n": 1}, None] == seen


async def test_a_condition_that_fails_runs_nothing(world: Any) -> None:
    def broken(_question: Question) -> bool:
        raise RuntimeError("broken")

    world.tool("a:b")
    world.settings = HostSettings(rules=(Rule("broken", "deny", when=broken),))
    assert "TOOL_EXECUTION_FAILED" == code(await world.call("a:b"))
    assert [("failure", "TOOL_EXECUTION_FAILED")] == world.results_of()


@pytest.mark.parametrize(
    "given", [[1], "text", 3, {"n": "x"}, {}, {"n": 1, "m": 2}, {"n": object()}]
)
async def test_an_input_that_does_not_fit_is_a_failure_and_not_a_denial(
    world: Any, given: Any
) -> None:
    world.tool("a:b", input_schema=STRICT)
    output = await world.call("a:b", given)
    assert "INVALID_INPUT" == code(output)
    assert {"pointer", "message"} == output.error.details["problems"][0].keys()
    assert [("failure", "INVALID_INPUT")] == world.results_of()


async def test_an_answer_that_does_not_fit_is_invalid_output_though_the_effect_happened(
    world: Any,
) -> None:
    async def wrong(_given: Any, ctx: Any) -> ToolOutput:
        return succeeded({"n": "text"})

    world.tool("a:b", wrong, output_schema=STRICT)
    output = await world.call("a:b")
    assert "INVALID_OUTPUT" == code(output)
    assert "/n" == output.error.details["problems"][0]["pointer"]


async def test_a_pack_s_own_failure_passes_as_it_is(world: Any) -> None:
    async def missing(_given: Any, ctx: Any) -> ToolOutput:
        return failed("NOT_FOUND", "no such task", details={"id": "task-1"})

    world.tool("a:b", missing, output_schema=STRICT)
    output = await world.call("a:b")
    assert ("NOT_FOUND", {"id": "task-1"}) == (code(output), output.error.details)
    assert [("failure", "NOT_FOUND")] == world.results_of()


async def test_a_tool_that_cannot_be_imported_or_misses_its_environment_is_unavailable(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tool("a:gone", entry="no.such.module:tool")
    world.tool("a:env", required_env=["DEMO_TOKEN"])
    world.tool("a:schema", input_schema={"type": "strang"})
    for name in ("a:gone", "a:env", "a:schema"):
        assert "TOOL_UNAVAILABLE" == code(await world.call(name))
    monkeypatch.setenv("DEMO_TOKEN", "x")
    assert (await world.call("a:env")).success


async def test_a_tool_knows_its_call_and_its_pack(world: Any) -> None:
    async def who(_given: Any, ctx: Any) -> ToolOutput:
        call = ctx.call
        return succeeded({
            "tool": call.tool, "actor": call.actor, "surface": call.surface, "dry": call.dry_run,
            "task": call.task_id, "slug": ctx.slug, "own": ctx.pack,
            "left": ctx.deadline - asyncio.get_running_loop().time() > 20,
        })  # fmt: skip

    world.tool("a:who", who)
    output = await world.call("a:who", {"dry_run": True}, task_id="t-9")
    assert {
        "tool": "a:who", "actor": "me", "surface": "socket", "dry": True, "task": "t-9",
        "slug": "demo", "own": "own context of demo", "left": True,
    } == output.data  # fmt: skip


async def test_nothing_is_run_without_a_started_entry(world: Any) -> None:
    ran: list[int] = []

    async def run(_given: Any, ctx: Any) -> ToolOutput:
        ran.append(1)
        return succeeded()

    world.tool("a:b", run)
    world.evidence.refuse = {"TOOL_CALL_STARTED"}
    assert "EVIDENCE_FAILED" == code(await world.call("a:b"))
    assert [] == ran


async def test_an_answer_is_given_though_its_finished_entry_is_refused(world: Any) -> None:
    world.tool("a:b")
    world.evidence.refuse = {"TOOL_CALL_FINISHED"}
    assert (await world.call("a:b", {"n": 1})).success
    assert ["tool_evidence_refused"] == [entry.event for entry in world.log.entries]
    assert 1 == len(world.events.pushed)


async def test_a_denial_is_given_though_its_finished_entry_is_refused(world: Any) -> None:
    world.tool("a:b", required_scopes=[WRITE])
    world.evidence.refuse = {"TOOL_CALL_FINISHED"}
    output = await world.call("a:b", caller=Caller("me", "http", scopes=READ_ONLY))
    assert "SCOPE_DENIED" == code(output)


async def test_what_a_crash_left_open_is_closed_once_at_the_next_start(world: Any) -> None:
    world.tool("a:b")
    world.evidence.refuse = {"TOOL_CALL_FINISHED"}
    lost = (await world.call("a:b")).metadata["call_id"]
    world.evidence.refuse = set()
    await world.call("a:b")
    host = world.restarted()
    assert 1 == await host.recover(world.evidence)
    assert 0 == await host.recover(world.evidence)
    assert lost == world.last("TOOL_CALL_INTERRUPTED")["call_id"]
    assert ("interrupted", lost) == (
        world.events.pushed[-1].payload["outcome"], world.events.pushed[-1].payload["call_id"]
    )  # fmt: skip


async def test_the_same_call_is_the_same_event(world: Any) -> None:
    world.tool("a:b")
    await world.call("a:b")
    await world.call("a:b")
    first, second = world.events.pushed
    assert first.event_id != second.event_id
    world.evidence.entries = world.evidence.entries[:1]  # its end was lost; the event was not
    await world.restarted().recover(world.evidence)
    assert first.event_id == world.events.pushed[-1].event_id


async def test_listings_name_schemas_scopes_and_approvals(world: Any) -> None:
    world.tool(
        "task:cancel", title="Cancel", description="Ends a task.", permission="write",
        required_scopes=[READ, WRITE], required_approvals=["demo:task_cancel"], destructive=True,
        idempotent=True, input_schema=STRICT, output_schema=STRICT,
    )  # fmt: skip
    world.tool("demo:init")
    world.settings = HostSettings(rules=(Rule("ask", "approval_required", "demo:*"),))
    first, second = world.host.listings(Caller("me", "mcp"))
    assert ("demo:init", "demo_init", ["ask"]) == (
        first.name, first.mcp_name, first.required_approvals
    )  # fmt: skip
    assert {"type": "object", "additionalProperties": True} == first.input_schema
    assert [READ, WRITE] == second.required_scopes
    assert STRICT == second.input_schema == second.output_schema
    assert ("Cancel", "Ends a task.", "write", "demo_task_cancel") == (
        second.title, second.description, second.permission, second.mcp_name
    )  # fmt: skip
    assert (True, True, ["demo:task_cancel"]) == (
        second.destructive, second.idempotent, second.required_approvals
    )  # fmt: skip


async def test_a_tool_may_not_raise_its_way_past_its_scopes(world: Any) -> None:
    async def deny(_given: Any, ctx: Any) -> ToolOutput:
        raise ScopeDenied("'x' is not in the call's read scopes")

    world.tool("a:b", deny)
    assert "SCOPE_DENIED" == code(await world.call("a:b"))


async def test_a_read_tool_on_an_empty_workspace_creates_nothing(world: Any) -> None:
    """X12: its evidence is the daemon's, so a read-only root is enough."""

    async def look(_given: Any, ctx: Any) -> ToolOutput:
        place = ctx.files.resolve(".demo/tasks.json", "read")
        return succeeded({"there": place.exists()})

    world.tool("a:look", look)
    before = sorted(world.root.rglob("*"))
    assert {"there": False} == (await world.call("a:look")).data
    assert before == sorted(world.root.rglob("*"))
    assert ["TOOL_CALL_STARTED", "TOOL_CALL_FINISHED"] == world.types()
