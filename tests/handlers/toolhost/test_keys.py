"""Idempotency keys and approvals: one effect, one use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conductor_handlers.toolhost.policy import Rule
from conductor_handlers.toolhost.records import Caller
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

STRICT = {"type": "object", "properties": {"n": {"type": "integer"}}}


def code(output: ToolOutput) -> str | None:
    return None if output.error is None else output.error.code


class Counted:
    """A tool that counts its runs."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.runs = 0
        self.gate = gate

    async def __call__(self, given: Any, ctx: Any) -> ToolOutput:
        self.runs += 1
        if self.gate is not None:
            await self.gate.wait()
        return succeeded({"run": self.runs})


async def test_a_key_that_comes_again_gets_the_first_answer_and_has_no_effect(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool)
    first = await world.call("a:b", {"n": 1}, key="k")
    again = await world.call("a:b", {"n": 1}, key="k")
    assert {"run": 1} == first.data == again.data
    assert 1 == tool.runs
    assert again.metadata["replayed"] is True
    assert "replayed" not in first.metadata
    assert again.metadata["call_id"] != first.metadata["call_id"]
    assert world.last("TOOL_CALL_FINISHED")["replayed"] is True


async def test_the_order_of_an_input_s_keys_does_not_make_it_another(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool)
    await world.call("a:b", {"a": 1, "b": 2}, key="k")
    assert (await world.call("a:b", {"b": 2, "a": 1}, key="k")).success
    assert 1 == tool.runs


async def test_a_key_belongs_to_its_caller_and_its_tool(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool)
    world.tool("a:c", tool)
    await world.call("a:b", key="k")
    await world.call("a:c", key="k")
    await world.call("a:b", key="k", caller=Caller("somebody else", "http"))
    assert 3 == tool.runs


async def test_a_key_with_another_input_is_a_conflict(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool)
    await world.call("a:b", {"n": 1}, key="k")
    assert "IDEMPOTENCY_CONFLICT" == code(await world.call("a:b", {"n": 2}, key="k"))
    assert 1 == tool.runs


async def test_of_fifty_calls_with_one_key_one_runs_and_the_others_are_told_so(world: Any) -> None:
    gate = asyncio.Event()
    tool = Counted(gate)
    world.tool("a:b", tool)
    calls = [asyncio.ensure_future(world.call("a:b", key="k")) for _ in range(50)]
    while sum(call.done() for call in calls) < 49:  # noqa: ASYNC110  counts, no event
        await asyncio.sleep(0)
    gate.set()
    codes = [code(output) for output in await asyncio.gather(*calls)]
    assert (1, 49) == (codes.count(None), codes.count("CALL_IN_PROGRESS"))
    assert 1 == tool.runs
    assert (await world.call("a:b", key="k")).metadata["replayed"]


async def test_a_failure_of_the_tool_is_kept_as_well(world: Any) -> None:
    runs: list[int] = []

    async def fail(_given: Any, ctx: Any) -> ToolOutput:
        runs.append(1)
        raise ValueError("after the effect")

    world.tool("a:b", fail)
    for _ in range(2):
        assert "TOOL_EXECUTION_FAILED" == code(await world.call("a:b", key="k"))
    assert [1] == runs


async def test_a_call_that_was_not_run_leaves_its_key_free(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool, input_schema=STRICT, required_approvals=["demo:b"])
    assert "INVALID_INPUT" == code(await world.call("a:b", {"n": "x"}, key="k"))
    asked = await world.call("a:b", {"n": 1}, key="k")
    assert "APPROVAL_REQUIRED" == code(asked)
    await world.decide(asked, granted=True)
    assert (await world.call("a:b", {"n": 1}, key="k")).success
    assert (await world.call("a:b", {"n": 1}, key="k")).metadata["replayed"]
    assert 1 == tool.runs


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\0"])
async def test_a_key_that_is_no_key_is_refused(world: Any, key: str) -> None:
    world.tool("a:b")
    assert "INVALID_INPUT" == code(await world.call("a:b", key=key))


async def test_a_key_whose_call_died_with_the_daemon_answers_that_and_does_not_run_again(
    world: Any,
) -> None:
    tool = Counted()
    world.tool("a:b", tool)
    await world.results.claim("me", "a:b", "k", EMPTY_HASH, 0)
    await world.host.recover(world.evidence)
    assert "CALL_INTERRUPTED" == code(await world.call("a:b", key="k"))
    assert 0 == tool.runs


EMPTY_HASH = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


async def test_a_tool_that_needs_leave_asks_for_it_once_and_runs_once_it_is_given(
    world: Any,
) -> None:
    tool = Counted()
    world.tool("a:b", tool, required_approvals=["demo:b"])
    first = await world.call("a:b", {"n": 1})
    again = await world.call("a:b", {"n": 1})
    assert "APPROVAL_REQUIRED" == code(first) == code(again)
    request_id = first.error.details["request_id"]
    assert request_id == again.error.details["request_id"]
    assert ["demo:b"] == first.error.details["approvals"]
    assert 1 == world.types().count("APPROVAL_REQUESTED")
    assert ("denied", "APPROVAL_REQUIRED") == world.results_of()[0]
    await world.decide(first, granted=True)
    assert (await world.call("a:b", {"n": 1})).success
    assert "APPROVAL_REQUIRED" == code(await world.call("a:b", {"n": 1}))
    assert 1 == tool.runs
    assert ["APPROVAL_REQUESTED", "APPROVAL_USED", "APPROVAL_REQUESTED"] == [
        kind for kind in world.types() if kind.startswith("APPROVAL_")
    ]
    assert request_id == world.last("APPROVAL_USED")["request_id"]


async def test_leave_is_for_one_input_one_tool_and_one_caller(world: Any) -> None:
    world.tool("a:b", required_approvals=["demo:b"])
    world.tool("a:c", required_approvals=["demo:b"])
    asked = await world.call("a:b", {"n": 1})
    await world.decide(asked, granted=True)
    assert "APPROVAL_REQUIRED" == code(await world.call("a:b", {"n": 2}))
    assert "APPROVAL_REQUIRED" == code(await world.call("a:c", {"n": 1}))
    other = Caller("somebody else", "socket")
    assert "APPROVAL_REQUIRED" == code(await world.call("a:b", {"n": 1}, caller=other))
    assert (await world.call("a:b", {"n": 1})).success


async def test_of_fifty_calls_with_one_leave_one_runs(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool, required_approvals=["demo:b"])
    asked = await world.call("a:b", {"n": 1})
    await world.decide(asked, granted=True)
    outputs = await asyncio.gather(*(world.call("a:b", {"n": 1}) for _ in range(50)))
    codes = [code(output) for output in outputs]
    assert (1, 49) == (codes.count(None), codes.count("APPROVAL_REQUIRED"))
    assert 1 == tool.runs
    assert 1 == world.types().count("APPROVAL_USED")
    assert 2 == world.types().count("APPROVAL_REQUESTED")


async def test_a_no_is_said_with_its_reason_and_runs_nothing(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool, required_approvals=["demo:b"])
    asked = await world.call("a:b")
    await world.decide(asked, granted=False, reason="too risky")
    output = await world.call("a:b")
    assert "APPROVAL_DENIED" == code(output)
    assert "too risky" in output.error.message
    assert ("denied", "APPROVAL_DENIED") == world.results_of()[-1]
    assert 0 == tool.runs
    world.clock.advance(3601)
    assert "APPROVAL_REQUIRED" == code(await world.call("a:b"))


async def test_an_invalid_input_asks_nobody_for_leave(world: Any) -> None:
    world.tool("a:b", input_schema=STRICT, required_approvals=["demo:b"])
    assert "INVALID_INPUT" == code(await world.call("a:b", {"n": "x"}))
    assert [] == await world.approvals.approvals(now_ms=0)


async def test_a_rule_of_the_workspace_can_ask_for_leave_and_a_deny_goes_before_it(
    world: Any,
) -> None:
    world.tool("a:b")
    world.tool("a:c")
    world.settings = HostSettings(
        rules=(Rule("ask", "approval_required", "a:*", "look first"), Rule("no", "deny", "a:c"))
    )
    output = await world.call("a:b")
    assert ("APPROVAL_REQUIRED", ["ask"]) == (code(output), output.error.details["approvals"])
    assert "POLICY_DENIED" == code(await world.call("a:c"))


async def test_a_preview_needs_leave_like_the_real_thing(world: Any) -> None:
    world.tool("a:b", required_approvals=["demo:b"])
    assert "APPROVAL_REQUIRED" == code(await world.call("a:b", {"dry_run": True}))


async def test_nothing_is_run_where_the_use_of_leave_cannot_be_journaled(world: Any) -> None:
    tool = Counted()
    world.tool("a:b", tool, required_approvals=["demo:b"])
    asked = await world.call("a:b")
    await world.decide(asked, granted=True)
    world.evidence.refuse = {"APPROVAL_USED"}
    assert "EVIDENCE_FAILED" == code(await world.call("a:b"))
    assert 0 == tool.runs


async def test_who_decides_reads_what_it_is_about(world: Any) -> None:
    world.tool("a:b", required_approvals=["demo:b"])
    await world.call("a:b", {"path": "x" * 2000})
    [approval] = await world.approvals.approvals(states=["pending"], now_ms=0)
    assert approval.request.summary.startswith('a:b {"path":"xxx')
    assert 500 == len(approval.request.summary)


async def test_a_failed_answer_of_the_pack_is_replayed_as_it_was(world: Any) -> None:
    async def missing(_given: Any, ctx: Any) -> ToolOutput:
        return failed("NOT_FOUND", "no such task", details={"id": "t"})

    world.tool("a:b", missing)
    first = await world.call("a:b", key="k")
    again = await world.call("a:b", key="k")
    assert first.error == again.error
