"""Tools that misbehave: the call ends with a code, and the next one runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.tool_output import ToolOutput, succeeded


def code(output: ToolOutput) -> str | None:
    return None if output.error is None else output.error.code


class Refuses(BaseException):
    """Not even an Exception, and without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error",
    [ValueError("bad"), SystemExit(3), Refuses(), asyncio.CancelledError(), RecursionError()],
)
async def test_whatever_a_tool_raises_ends_its_call_with_a_code(
    world: Any, error: BaseException
) -> None:
    async def run(_given: Any, ctx: Any) -> ToolOutput:
        raise error

    world.tool("a:b", run)
    output = await world.call("a:b")
    assert "TOOL_EXECUTION_FAILED" == code(output)
    assert [("failure", "TOOL_EXECUTION_FAILED")] == world.results_of()


async def test_a_failure_says_what_and_where(world: Any) -> None:
    async def run(_given: Any, ctx: Any) -> ToolOutput:
        raise ValueError("the disk is on fire")

    world.tool("a:b", run)
    output = await world.call("a:b")
    assert "ValueError: the disk is on fire" in output.error.message
    assert "test_faults.py" in output.error.message


async def test_a_plain_function_is_no_tool_but_its_answer_counts(world: Any) -> None:
    def plain(_given: Any, ctx: Any) -> Any:
        return {"success": True}

    world.tool("a:b", plain)
    assert "INVALID_OUTPUT" == code(await world.call("a:b"))


async def test_a_tool_that_changes_its_input_changes_nobody_else_s(world: Any) -> None:
    async def greedy(given: Any, ctx: Any) -> ToolOutput:
        given["list"].append("mine")
        given["new"] = given
        return succeeded()

    world.tool("a:b", greedy)
    given = {"list": [1]}
    assert (await world.call("a:b", given)).success
    assert {"list": [1]} == given


async def test_a_tool_that_prints_prints_and_its_answer_is_untouched(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def loud(_given: Any, ctx: Any) -> ToolOutput:
        print("loud")  # noqa: T201  that is the case
        return succeeded({"n": 1})

    world.tool("a:b", loud)
    assert {"n": 1} == (await world.call("a:b")).data


async def test_a_hanging_tool_ends_at_its_deadline_and_its_slot_is_free_again(world: Any) -> None:
    async def hang(given: Any, ctx: Any) -> ToolOutput:
        await asyncio.Event().wait()
        return succeeded()

    world.tool("a:hang", hang, deadline_s=0.02)
    world.tool("a:echo")
    world.settings = HostSettings(max_concurrency=1)
    for _ in range(3):
        assert "TOOL_TIMEOUT" == code(await world.call("a:hang"))
    assert (await world.call("a:echo")).success
    assert ("failure", "TOOL_TIMEOUT") == world.results_of()[0]


async def test_a_tool_that_swallows_its_cancellation_frees_its_slot_all_the_same(
    world: Any,
) -> None:
    freed = asyncio.Event()

    async def stubborn(_given: Any, ctx: Any) -> ToolOutput:
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                continue
        return succeeded()

    world.tool("a:stubborn", stubborn, deadline_s=0.02)
    world.tool("a:echo")
    world.settings = HostSettings(max_concurrency=1)
    assert "TOOL_TIMEOUT" == code(await world.call("a:stubborn"))
    assert (await world.call("a:echo")).success
    assert ["tool_stuck"] == [entry.event for entry in world.log.entries]
    freed.set()


async def test_calls_beyond_the_limit_wait_their_turn_within_their_deadline(world: Any) -> None:
    running, most = 0, 0
    gate = asyncio.Event()

    async def count(_given: Any, ctx: Any) -> ToolOutput:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return succeeded()

    world.tool("a:count", count)
    world.tool("a:brief", count, deadline_s=0.01)
    world.settings = HostSettings(max_concurrency=2)
    calls = [asyncio.ensure_future(world.call("a:count")) for _ in range(10)]
    while running < 2:  # noqa: ASYNC110  counts, no event
        await asyncio.sleep(0)
    assert "TOOL_TIMEOUT" == code(await world.call("a:brief"))
    gate.set()
    assert all(output.success for output in await asyncio.gather(*calls))
    assert 2 == most


async def test_a_caller_that_goes_away_cancels_the_tool_and_the_evidence_is_finished(
    world: Any,
) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_given: Any, ctx: Any) -> ToolOutput:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return succeeded()

    world.tool("a:hang", hang)
    call = asyncio.ensure_future(world.call("a:hang", key="k"))
    await began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await cancelled.wait()
    await world.host.close()
    assert [("failure", "CALL_INTERRUPTED")] == world.results_of()
    # The effect may have happened: the key keeps that answer.
    assert "CALL_INTERRUPTED" == code(await world.restarted().call(request("a:hang", "k")))


async def test_a_caller_that_is_gone_before_the_tool_ran_leaves_its_key_free(world: Any) -> None:
    ran: list[int] = []
    waits = asyncio.Event()
    real = world.results.claim

    async def slow_claim(*args: Any) -> Any:
        await waits.wait()
        return await real(*args)

    async def run(_given: Any, ctx: Any) -> ToolOutput:
        ran.append(1)
        return succeeded()

    world.tool("a:b", run)
    world.results.claim = slow_claim
    call = asyncio.ensure_future(world.call("a:b", key="k"))
    while "TOOL_CALL_STARTED" not in world.types():  # noqa: ASYNC110  counts, no event
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    waits.set()
    await world.host.close()
    assert ([], [("failure", "CALL_INTERRUPTED")]) == (ran, world.results_of())
    assert (await world.restarted().call(request("a:b", "k"))).success


async def test_a_closed_host_takes_no_calls_and_finishes_those_it_has(world: Any) -> None:
    began = asyncio.Event()

    async def hang(_given: Any, ctx: Any) -> ToolOutput:
        began.set()
        await asyncio.Event().wait()
        return succeeded()

    world.tool("a:hang", hang)
    call = asyncio.ensure_future(world.call("a:hang"))
    await began.wait()
    await world.host.close()
    assert "CALL_INTERRUPTED" == code(await call)
    assert "TOOL_UNAVAILABLE" == code(await world.call("a:hang"))
    assert [("failure", "CALL_INTERRUPTED")] == world.results_of()


async def test_a_store_that_fails_before_the_tool_ran_means_that_it_is_not_run(world: Any) -> None:
    ran: list[int] = []

    async def run(_given: Any, ctx: Any) -> ToolOutput:
        ran.append(1)
        return succeeded()

    async def broken(*_args: Any) -> Any:
        raise OSError(5, "input/output error")

    world.tool("a:b", run)
    world.results.claim = broken
    assert "EVIDENCE_FAILED" == code(await world.call("a:b", key="k"))
    assert [] == ran
    assert [("failure", "EVIDENCE_FAILED")] == world.results_of()


async def test_many_calls_at_once_each_get_their_own_answer(world: Any) -> None:
    async def later(given: Any, ctx: Any) -> ToolOutput:
        for _ in range(given["n"] % 5):
            await asyncio.sleep(0)
        return succeeded({"n": given["n"], "call": ctx.call.call_id})

    world.tool("a:later", later)
    outputs = await asyncio.gather(*(world.call("a:later", {"n": n}) for n in range(200)))
    assert list(range(200)) == [output.data["n"] for output in outputs]
    assert 200 == len({output.data["call"] for output in outputs})
    assert all(output.data["call"] == output.metadata["call_id"] for output in outputs)
    assert 400 == len(world.types())


async def test_nothing_is_prepared_twice(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports, schemas, scopes and verdicts are worked out at the first call."""
    from conductor_handlers.toolhost import catalogue, gate

    world.tool("a:b", input_schema={"type": "object", "properties": {"n": {}}})
    await world.call("a:b", {"n": 1})

    def again(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("prepared again")

    for module, name in (
        (catalogue, "load_entry"), (catalogue, "Schema"), (gate, "judge"), (gate, "reach"),
        (gate, "WorkspaceFiles"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, again)
    for n in range(20):
        assert (await world.call("a:b", {"n": n})).success


def request(tool: str, key: str) -> Any:
    from conductor_handlers.toolhost.records import Caller, Request

    return Request(tool, {}, Caller("me", "socket"), key)
