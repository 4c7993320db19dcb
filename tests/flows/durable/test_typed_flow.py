"""Typed flows keep their types through a checkpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from conductor_flows import Decision, Flow, approval, node, trigger
from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import in_folder, in_memory
from conductor_flows.execute.errors import NodeFailed
from conductor_flows.execute.outcomes import Halted, Streamed, Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services


class Order(BaseModel):
    name: str
    parts: list[int]


@dataclass
class Sum:
    total: int


FAILS: list[bool] = []


@trigger(summary="Take the order")
async def take(order: Order) -> Order:
    return order


@node(summary="Add up")
async def add(order: Order) -> Sum:
    return Sum(sum(order.parts))


@node(summary="Show, at the second attempt")
async def show(found: Sum) -> Sum:
    if FAILS and FAILS.pop():
        raise LookupError
    assert isinstance(found, Sum)
    return found


@node(summary="Tell the decision")
async def tell(decision: Decision) -> Sum:
    assert isinstance(decision, Decision)
    return Sum(decision.context["total"] if decision.approved else 0)


@node(summary="Count in pieces")
async def pieces(found: Sum) -> AsyncIterator[int]:
    for number in range(found.total):
        await asyncio.sleep(0)
        yield number


async def test_a_typed_flow_goes_on_with_its_types_after_a_failure() -> None:
    flow = Flow("typed", "1.0.0", summary="Typed", durability="strong")
    first, second, last = flow.add(take), flow.add(add), flow.add(show)
    flow.connect(first, second)
    flow.connect(second, last)
    durability = in_memory()
    runner = Runner(flow.program(), Services(durability=durability))
    FAILS[:] = [True]
    with pytest.raises(NodeFailed):
        await runner.run(Invocation({"name": "a", "parts": [1, 2]}))
    assert durability.store is not None
    (record,) = await durability.store.list()
    assert Value({"total": 3}) == await resume(runner, durability, record.checkpoint_id)


async def test_an_approval_of_a_typed_flow_is_given_from_a_folder(tmp_path: Path) -> None:
    flow = Flow("approved", "1.0.0", summary="Approved")
    nodes = [flow.add(each) for each in (take, add)]
    ask = flow.add(approval("ask", Sum, timeout_s=60.0, summary="Ask"))
    last = flow.add(tell)
    flow.connect(nodes[0], nodes[1])
    flow.connect(nodes[1], ask)
    flow.connect(ask, last)
    durability = in_folder(tmp_path)
    services = Services(durability=durability)
    outcome = await Runner(flow.program(), services).run(Invocation({"name": "a", "parts": [1, 2]}))
    assert isinstance(outcome, Halted)
    decision: Any = {"approved": True, "approver": "me", "context": outcome.payload}
    again = in_folder(tmp_path)  # as another process would
    found = await resume(
        Runner(flow.program(), Services(durability=again)), again, str(outcome.checkpoint_id),
        signal=Signal(decision, outcome.token),
    )  # fmt: skip
    assert Value({"total": 3}) == found


async def test_a_stream_in_strong_mode_is_kept_until_it_has_been_read() -> None:
    flow = Flow("streamed", "1.0.0", summary="Streamed", durability="strong")
    first, second, last = flow.add(take), flow.add(add), flow.add(pieces)
    flow.connect(first, second)
    flow.connect(second, last)
    durability = in_memory()
    runner = Runner(flow.program(), Services(durability=durability))
    outcome = await runner.run(Invocation({"name": "a", "parts": [1, 2]}))
    assert isinstance(outcome, Streamed)
    assert durability.store is not None
    (record,) = await durability.store.list()
    assert ["pieces"] == record.frontier.pending
    assert [0, 1, 2] == [piece async for piece in outcome.items]
    assert [] == await durability.store.list()


async def test_a_stream_that_nobody_reads_ends_its_run_when_it_is_closed() -> None:
    flow = Flow("unread", "1.0.0", summary="Unread", durability="strong")
    first, second, last = flow.add(take), flow.add(add), flow.add(pieces)
    flow.connect(first, second)
    flow.connect(second, last)
    durability, before = in_memory(), asyncio.all_tasks()
    runner = Runner(flow.program(), Services(durability=durability))
    outcome = await runner.run(Invocation({"name": "a", "parts": [1, 2]}))
    assert isinstance(outcome, Streamed)
    assert before < asyncio.all_tasks()  # the lease is held
    for _ in range(2):
        async with contextlib.aclosing(outcome.items):  # type: ignore[type-var]
            pass
    assert before == asyncio.all_tasks()
    assert durability.store is not None
    (record,) = await durability.store.list()
    await durability.store.lease(record.checkpoint_id, 1)  # raises where somebody has it
    with pytest.raises(StopAsyncIteration):
        await anext(outcome.items)
