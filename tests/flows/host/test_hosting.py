"""Hooks surround every run of a host, whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conductor_flows.execute.errors import FlowError, NodeFailed, PortRefused
from conductor_flows.execute.outcomes import Streamed, Value
from conductor_flows.execute.runner import Invocation
from conductor_flows.execute.services import Services
from conductor_flows.host.errors import AnswerRefused
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.hosting import Host
from flow_web import back, counting, fail, program_of


class Told:
    """A hook that writes down what it is told."""

    def __init__(self, name: str = "a", log: list[Any] | None = None, *, says: Any = None) -> None:
        self.name = name
        self.log = [] if log is None else log
        self.says = says

    async def before_execute(self, call: Call) -> None:
        self.log.append(f"{self.name} before")
        if self.says is not None:
            raise self.says

    async def after_execute(self, call: Call, ended: Ended) -> None:
        self.log.append((f"{self.name} after", ended.outcome, type(ended.error), ended.pieces))


async def test_hooks_are_called_in_order_and_back_in_reverse() -> None:
    log: list[Any] = []
    host = Host(program_of(back), Services(), hooks=[Told("a", log), Told("b", log)])
    assert Value(1) == await host.invoke(Invocation(1))
    after = (Value(1), type(None), None)
    assert ["a before", "b before", ("b after", *after), ("a after", *after)] == log


async def test_a_hook_may_add_labels_and_extensions_that_nodes_see() -> None:
    async def show(_: Any, context: Any) -> Any:
        return [context.run.labels["tenant"], context.run.extensions["auth.user"]]

    class Adds(Told):
        async def before_execute(self, call: Call) -> None:
            call.labels["tenant"] = "t1"
            call.extensions["auth.user"] = {"id": 7}

    host = Host(program_of(show), Services(), hooks=[Adds()])
    assert Value(["t1", {"id": 7}]) == await host.invoke(Invocation(1))


async def test_a_hook_that_refuses_is_seen_by_those_before_it() -> None:
    log: list[Any] = []
    ran: list[Any] = []

    async def note(value: Any) -> Any:
        ran.append(value)

    hooks = [Told("a", log), Told("b", log, says=PermissionError("no")), Told("c", log)]
    host = Host(program_of(note), Services(), hooks=hooks)
    with pytest.raises(PermissionError):
        await host.invoke(Invocation(1))
    assert ["a before", "b before", ("a after", None, PermissionError, None)] == log
    assert [] == ran


async def test_a_failure_is_told() -> None:
    hook = Told()
    host = Host(program_of(fail), Services(), hooks=[hook])
    with pytest.raises(NodeFailed):
        await host.invoke(Invocation(1))
    assert ("a after", None, NodeFailed, None) == hook.log[-1]


async def test_a_cancellation_is_told() -> None:
    begun = asyncio.Event()

    async def wait(_: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    hook = Told()
    host = Host(program_of(wait), Services(), hooks=[hook])
    task = asyncio.create_task(host.invoke(Invocation(1)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ("a after", None, asyncio.CancelledError, None) == hook.log[-1]


async def test_a_stream_is_told_when_it_ends_and_how_far_it_came() -> None:
    hook = Told()
    host = Host(program_of(counting(3), streams=True), Services(), hooks=[hook])
    outcome = await host.invoke(Invocation(1))
    assert isinstance(outcome, Streamed)
    assert ["a before"] == hook.log
    assert [0, 1, 2] == [item async for item in outcome.items]
    assert ("a after", type(None), 3) == (hook.log[-1][0], *hook.log[-1][2:])
    outcome = await host.invoke(Invocation(1))
    assert isinstance(outcome, Streamed)
    assert 0 == await anext(outcome.items)
    await outcome.items.aclose()  # type: ignore[attr-defined]  # a generator
    assert ("a after", GeneratorExit, 1) == (hook.log[-1][0], *hook.log[-1][2:])
    outcome = await host.invoke(Invocation(1))
    assert isinstance(outcome, Streamed)
    for _ in range(2):
        await outcome.items.aclose()  # type: ignore[attr-defined]  # before the first item
    assert ["a before", ("a after", None, GeneratorExit, 0)] == hook.log[-2:]


async def test_a_hook_that_fails_afterwards_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fails(Told):
        async def after_execute(self, call: Call, ended: Ended) -> None:
            raise LookupError("in the hook")

    first = Told()
    host = Host(program_of(back), Services(), hooks=[first, Fails()])
    assert Value(1) == await host.invoke(Invocation(1))
    assert "a after" == first.log[-1][0]
    assert "hook failed after a run of asked" in caplog.text


async def test_a_cancellation_during_one_hook_keeps_nothing_from_the_others() -> None:
    class Waits(Told):
        async def after_execute(self, call: Call, ended: Ended) -> None:
            waiting.set()
            await asyncio.Event().wait()

    waiting, first = asyncio.Event(), Told()
    host = Host(program_of(back), Services(), hooks=[first, Waits()])
    task = asyncio.create_task(host.invoke(Invocation(1)))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["a before", ("a after", Value(1), type(None), None)] == first.log


async def test_a_payload_that_does_not_fit_is_told_from_an_answer_that_does_not() -> None:
    host = Host(program_of(back, takes=list[int]), Services())
    with pytest.raises(PortRefused) as refused:
        await host.invoke(Invocation([1, "x"]))
    assert "/1" == refused.value.pointer

    async def odd(_: Any) -> Any:
        return object()

    host = Host(program_of(odd), Services())
    with pytest.raises(FlowError) as answered:
        await host.invoke(Invocation({"a": 1}))
    assert AnswerRefused is type(answered.value)
    assert f"{host.flow.nodes[-1].alias}: " in answered.value.message
