"""Halt nodes written in Python: the run stops there, and goes on with what comes from outside."""

from __future__ import annotations

from typing import Any

import pytest

from conductor_flows import Decision, Flow, approval, callback, node, timer
from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability, in_memory
from conductor_flows.execute.errors import DurabilityMissing, PortRefused
from conductor_flows.execute.outcomes import Halted, Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_sdk.clock import ManualClock
from flow_orders import Reply, Request, answer, left, route

PAYLOAD = {"mode": "b"}
SHOWN = {"mode": "b", "flag": True, "items": []}


@node(summary="Tell the decision")
async def tell(decision: Decision) -> str:
    return f"{decision.approved} {decision.comment}"


def waiting(halt: Any, then: Any) -> Flow:
    flow = Flow("waiting", "1.0.0", summary="Waits")
    start, wait, end = flow.add(route), flow.add(halt), flow.add(then)
    flow.connect(start, wait)
    flow.connect(wait, end)
    return flow


async def halted(flow: Flow, durability: Durability) -> tuple[Runner, Halted]:
    runner = Runner(flow.program(), Services(durability=durability))
    outcome = await runner.run(Invocation(PAYLOAD))
    assert isinstance(outcome, Halted)
    return runner, outcome


async def gone_on(
    runner: Runner, durability: Durability, at: Halted, signal: Signal | None = None
) -> Any:
    assert at.checkpoint_id is not None
    outcome = await resume(runner, durability, at.checkpoint_id, signal=signal)
    assert isinstance(outcome, Value)
    return outcome.value


async def test_a_callback_goes_on_with_what_it_brought() -> None:
    durability = in_memory()
    flow = waiting(callback("asked", Request, Reply), answer)
    runner, at = await halted(flow, durability)
    assert ("asked", SHOWN) == (at.alias, at.payload)
    with pytest.raises(PortRefused):
        await gone_on(runner, durability, at, Signal({"text": 7}, at.token))
    assert {"text": "YES"} == await gone_on(
        runner, durability, at, Signal({"text": "yes"}, at.token)
    )


async def test_an_approval_gives_the_decision() -> None:
    durability = in_memory()
    runner, at = await halted(waiting(approval("decided", Request), tell), durability)
    signal = Signal({"approved": True, "comment": "fine"}, at.token)
    assert "True fine" == await gone_on(runner, durability, at, signal)


async def test_a_timer_lets_its_input_through_when_the_time_has_come() -> None:
    clock = ManualClock()
    durability = in_memory(clock=clock)
    runner, at = await halted(waiting(timer("pause", Request, after_s=60), left), durability)
    clock.advance(61)
    assert {"text": "left b"} == await gone_on(runner, durability, at)


async def test_an_approval_that_nobody_gives_is_a_rejection() -> None:
    clock = ManualClock()
    durability = in_memory(clock=clock)
    flow = waiting(approval("decided", Request, timeout_s=60), tell)
    runner, at = await halted(flow, durability)
    clock.advance(61)
    assert "False nobody decided in time" == await gone_on(runner, durability, at)


async def test_a_flow_that_halts_asks_for_a_store() -> None:
    flow = waiting(timer("pause", Request, after_s=60), left)
    with pytest.raises(DurabilityMissing):
        await Runner(flow.program()).run(Invocation(PAYLOAD))
