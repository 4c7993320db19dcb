"""Flows written in Python, run: each surface does what its method says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from conductor_flows import (
    Failure,
    Flow,
    FlowRefused,
    NodeContext,
    NodeError,
    Window,
    approval,
    callback,
    node,
    timer,
    trigger,
)
from conductor_flows.execute.errors import CapabilitiesMissing, NodeFailed, PortRefused, TimeBudget
from conductor_flows.execute.outcomes import Halt, Streamed, Value
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from flow_orders import Reply, Request, answer, left, rest, right, route

ITEMS = {"items": [3, 1, 2]}


@dataclass
class Number:
    value: int
    more: bool = True


@node(summary="Double a number")
async def double(number: int) -> int:
    return number * 2


@node(summary="Sum numbers up")
async def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@node(summary="Numbers of a request")
async def numbers(request: Request) -> list[int]:
    return request.items


@node(summary="Begin to count")
async def begin(request: Request) -> Number:
    return Number(len(request.items))


@node(summary="Count on")
async def step(number: Number) -> Number:
    return Number(number.value + 1, more=number.value + 1 < 10)


@node(summary="Fail")
async def fail(request: Request) -> Reply:
    raise NodeError(Failure.PERMANENT, f"no {request.mode}")


async def answered(flow: Flow, payload: Any, services: Services | None = None) -> Any:
    outcome = await Runner(flow.program(), services).run(Invocation(payload))
    assert isinstance(outcome, Value)
    return outcome.value


def started(*then: Any) -> tuple[Any, ...]:
    """A flow with `route` and these nodes."""
    flow = Flow("scene", "1.0.0", summary="A flow")
    return (flow, flow.add(route), *(flow.add(each) for each in then))


async def test_a_flow_without_an_entrypoint_goes_from_its_trigger_to_its_sink() -> None:
    flow, start, one, two = started(left, answer)
    flow.connect(start, one)
    flow.connect(one, two)
    assert {"text": "LEFT B"} == await answered(flow, {"mode": "b"})


async def test_what_a_node_gives_is_taken_at_its_word() -> None:
    claims: Any = node(summary="Claim a text")

    @claims
    async def claimed(found: Number) -> str:
        return found.value  # type: ignore[return-value]  # what no run checks

    @trigger(summary="Take a number")
    async def taken(found: Number) -> Number:
        return found

    flow = Flow("claims", "1.0.0", summary="A flow of a wrong claim")
    flow.connect(flow.add(taken), flow.add(claimed))

    assert Value(3) == await flow.run({"value": 3})


async def test_a_payload_that_does_not_fit_is_refused_with_its_place() -> None:
    flow, start, one = started(left)
    flow.connect(start, one)
    with pytest.raises(PortRefused) as refused:
        await answered(flow, {"items": [1, "x"]})
    assert "/items/1" == refused.value.pointer


@pytest.mark.parametrize(("mode", "way"), [("a", "LEFT A"), ("b", "RIGHT B"), ("c", "REST C")])
async def test_a_switch_takes_the_case_or_the_default(mode: str, way: str) -> None:
    flow, start, a, b, other, end = started(left, right, rest, answer)
    for each in (a, b, other):
        flow.connect(start, each)
    flow.merge([a, b, other], end)
    flow.switch(start, "/mode", {"a": a, "b": b}, other)
    assert {"text": way} == await answered(flow, {"mode": mode})


@pytest.mark.parametrize(("flag", "way"), [(True, "LEFT A"), (False, "RIGHT A")])
async def test_an_if_takes_one_way_or_the_other(flag: bool, way: str) -> None:
    flow, start, yes, no, end = started(left, right, answer)
    flow.connect(start, yes)
    flow.connect(start, no)
    flow.merge([yes, no], end)
    flow.if_(start, "/flag", then=yes, otherwise=no)
    assert {"text": way} == await answered(flow, {"flag": flag})


async def test_a_for_each_collects_in_the_order_of_the_elements() -> None:
    flow, start, body, end = started(double, add_up)
    flow.for_each(start, body, items="/items", collect=end, concurrency=2)
    assert 12 == await answered(flow, ITEMS)
    assert 0 == await answered(flow, {"items": []})


async def test_a_for_each_over_a_whole_answer_with_a_longer_body() -> None:
    flow, start, source, one, two, end = started(numbers, double, double_again, add_up)
    flow.connect(start, source)
    flow.connect(one, two)
    flow.for_each(source, one, last=two, collect=end)
    assert 24 == await answered(flow, ITEMS)


@node(summary="Double it again")
async def double_again(number: int) -> int:
    return number * 2


@node(summary="What was counted")
async def counted(number: Number) -> int:
    return number.value


async def test_a_loop_goes_round_until_the_condition_is_false() -> None:
    flow, start, first, body, end = started(begin, step, counted)
    flow.connect(start, first)
    flow.connect(body, end)
    flow.loop(first, body, condition="/more", max_iterations=100)
    assert 10 == await answered(flow, ITEMS)


async def test_a_loop_that_would_go_on_beyond_its_bound_fails() -> None:
    flow, start, first, body, end = started(begin, step, counted)
    flow.connect(start, first)
    flow.connect(body, end)
    flow.loop(first, body, condition="/more", max_iterations=3)
    with pytest.raises(NodeFailed, match="more than 3 rounds"):
        await answered(flow, ITEMS)


async def test_an_edge_timeout_ends_the_run_with_its_code() -> None:
    flow, start, slow = started(sleepy)
    flow.connect(start, slow)
    flow.timeout(start, slow, ms=20)
    with pytest.raises(TimeBudget) as failed:
        await answered(flow, {})
    assert "TIME015" == failed.value.code


@node(summary="Take long")
async def sleepy(request: Request) -> Reply:
    await asyncio.Event().wait()
    return Reply(text=request.mode)


async def test_a_time_limit_and_an_error_handler_pass_over_a_slow_node() -> None:
    flow, start, slow, quick, end = started(sleepy, left, answer)
    flow.connect(start, slow)
    flow.connect(start, quick)
    flow.merge([slow, quick], end)
    flow.time_limit([slow], ms=20, behaviour="dead_letter")
    assert {"text": "LEFT A"} == await answered(flow, {})


async def test_an_error_handler_repeats_or_passes_over() -> None:
    attempts: list[int] = []

    @node(summary="Fail at first")
    async def flaky(request: Request, context: NodeContext) -> Reply:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise NodeError(Failure.TRANSIENT, "not yet")
        return Reply(text=request.mode)

    flow, start, one = started(flaky)
    flow.connect(start, one)
    flow.on_error([one], "retry", max_retries=2, backoff_ms=1)
    assert ({"text": "a"}, [1, 2, 3]) == (await answered(flow, {}), attempts)


async def test_without_an_error_handler_a_failure_names_its_node() -> None:
    flow, start, one = started(fail)
    flow.connect(start, one)
    with pytest.raises(NodeFailed, match="fail: no a"):
        await answered(flow, {})


async def test_a_buffer_a_rate_limit_and_a_partition_change_nothing_in_the_answer() -> None:
    flow, start, body, end = started(double, add_up)
    flow.for_each(start, body, items="/items", collect=end)
    flow.connect(start, flow.add(numbers))
    flow.buffer(start, body, max_items=1)
    flow.ordering(start, body, "unordered")
    flow.rate_limit(body, qps=10_000, burst=1)
    flow.partition(start, flow.handle("numbers"), key="mode")
    flow.entrypoint(start, end)
    assert 12 == await answered(flow, ITEMS)


async def test_a_join_gives_a_field_for_each_source() -> None:
    @node(summary="Both")
    async def both(found: dict[str, Reply]) -> str:
        return f"{found['left'].text}, {found['right'].text}"

    flow, start, a, b, end = started(left, right, both)
    flow.connect(start, a)
    flow.connect(start, b)
    flow.join([a, b], end)
    assert "left a, right a" == await answered(flow, {})


async def test_a_zip_gives_a_tuple() -> None:
    @node(summary="Both")
    async def both(found: tuple[Reply, int]) -> str:
        return f"{found[0].text} {found[1]}"

    flow, start, a, b, total, end = started(left, numbers, add_up, both)
    flow.connect(start, a)
    flow.connect(start, b)
    flow.connect(b, total)
    flow.zip(a, total, target=end)
    assert "left a 6" == await answered(flow, ITEMS)


class Tick(BaseModel):
    at: int


@trigger(summary="Take ticks")
async def ticks(found: list[Tick]) -> list[Tick]:
    return found


@node(summary="One tick")
async def tick(found: Tick) -> Tick:
    return found


@node(summary="A window of ticks")
async def count(window: Window[Tick]) -> list[int]:
    return [window.window_start, *(each.at for each in window.items)]


async def test_a_window_gathers_by_time() -> None:
    flow = Flow("scene", "1.0.0")
    start, one, end = flow.add(ticks), flow.add(tick), flow.add(count)
    flow.for_each(start, one)
    flow.window(one, end, time="/at", size_ms=10)
    payload = [{"at": at} for at in (1, 9, 10, 25)]
    assert [[0, 1, 9], [10, 10], [20, 25]] == await answered(flow, payload)


async def test_a_conversion_goes_through_json() -> None:
    class Told(BaseModel):
        text: str
        extra: str = "new"

    @node(summary="Take another type")
    async def take(told: Told) -> str:
        return told.text + told.extra

    flow, start, one, end = started(left, take)
    flow.connect(start, one)
    flow.connect(one, end, into=True)
    assert "left anew" == await answered(flow, {})


async def test_a_subclass_arrives_as_what_the_next_node_takes() -> None:
    class Longer(Reply):
        more: str = ""

    @node(summary="Give a subclass")
    async def longer(request: Request) -> Longer:
        return Longer(text=request.mode, more="x")

    flow, start, one, end = started(longer, answer)
    flow.connect(start, one)
    flow.connect(one, end)
    assert {"text": "A"} == await answered(flow, {})


async def test_giving_none_gives_nothing() -> None:
    @node(summary="Only some")
    async def some(request: Request) -> Reply | None:
        return Reply(text="kept") if request.flag else None

    flow, start, one, other, end = started(some, left, answer)
    flow.connect(start, one)
    flow.connect(start, other)
    flow.merge([one, other], end)
    assert {"text": "LEFT A"} == await answered(flow, {"flag": False})


async def test_a_capture_may_stream() -> None:
    @node(summary="Pieces")
    async def pieces(request: Request) -> AsyncIterator[Reply]:
        for each in request.items:
            yield Reply(text=str(each))

    flow, start, end = started(pieces)
    flow.connect(start, end)
    outcome = await Runner(flow.program()).run(Invocation(ITEMS))
    assert isinstance(outcome, Streamed)
    assert [{"text": "3"}, {"text": "1"}, {"text": "2"}] == [item async for item in outcome.items]


async def test_a_node_uses_what_it_declared_and_what_is_bound() -> None:
    @node(summary="Read", uses=["resource::kv::read"])
    async def read(request: Request, context: NodeContext) -> str:
        return context.use("resource::kv::read")[request.mode]

    flow, start, one = started(read)
    flow.connect(start, one)
    services = Services(capabilities={"resource::kv::read": {"a": "found"}})
    assert "found" == await answered(flow, {}, services)
    with pytest.raises(CapabilitiesMissing):
        await answered(flow, {})


def inner_flow(body: Any) -> Flow:
    inner = Flow("inner", "1.0.0", summary="Inside")
    start, end = inner.add(route), inner.add(body)
    inner.connect(start, end)
    return inner


async def test_a_subflow_runs_with_the_services_around_it() -> None:
    seen: list[tuple[str, str]] = []

    @node(summary="Read", uses=["resource::kv::read"])
    async def read(request: Request, context: NodeContext) -> Reply:
        seen.append((context.run.flow, context.run.labels["tenant"]))
        return Reply(text=context.use("resource::kv::read")[request.mode])

    flow, start, end = started(answer)
    within = flow.subflow(inner_flow(read), "within")
    flow.connect(start, within)
    flow.connect(within, end)
    services = Services(capabilities={"resource::kv::read": {"a": "found"}})
    outcome = await Runner(flow.program(), services).run(Invocation({}, labels={"tenant": "t"}))
    assert (Value({"text": "FOUND"}), [("inner", "t")]) == (outcome, seen)


async def test_a_subflow_may_be_entered_and_left_where_it_is_said() -> None:
    inner = Flow("inner", "1.0.0")
    start, one, two = inner.add(route), inner.add(left), inner.add(answer)
    inner.connect(start, one)
    inner.connect(one, two)
    flow, outer = started()
    flow.connect(outer, flow.subflow(inner, entry=start, capture=one))
    assert {"text": "left a"} == await answered(flow, {})


async def test_a_failure_in_a_subflow_is_the_nodes_and_names_the_inner_node() -> None:
    flow, start = started()
    flow.connect(start, flow.subflow(inner_flow(fail)))
    with pytest.raises(NodeFailed, match="inner: fail: no a") as failed:
        await answered(flow, {})
    assert "inner" == failed.value.alias


async def test_a_repeated_subflow_repeats_its_keys() -> None:
    keys: list[str] = []

    @node(summary="Fail at first")
    async def flaky(request: Request, context: NodeContext) -> Reply:
        keys.append(context.idempotency_key)
        if len(keys) < 2:
            raise NodeError(Failure.TRANSIENT, "not yet")
        return Reply(text=request.mode)

    flow, start = started()
    within = flow.subflow(inner_flow(flaky))
    flow.connect(start, within)
    flow.on_error([within], "retry", max_retries=1, backoff_ms=1)
    assert {"text": "a"} == await answered(flow, {})
    assert (2, 1) == (len(keys), len(set(keys)))


async def test_a_subflow_that_gives_nothing_sends_nothing_on() -> None:
    @node(summary="Nothing")
    async def nothing(request: Request) -> Reply | None:
        return None

    flow, start, other, end = started(left, answer)
    within = flow.subflow(inner_flow(nothing), "within")
    flow.connect(start, within)
    flow.connect(start, other)
    flow.merge([within, other], end)
    assert {"text": "LEFT A"} == await answered(flow, {})


async def test_a_time_limit_reaches_into_a_subflow() -> None:
    ended: list[str] = []

    @node(summary="Take long")
    async def slow(request: Request) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return Reply(text=request.mode)

    flow, start = started()
    within = flow.subflow(inner_flow(slow))
    flow.connect(start, within)
    flow.time_limit([within], ms=20)
    with pytest.raises(TimeBudget):
        await answered(flow, {})
    assert ["cancelled"] == ended


async def test_a_subflow_at_the_end_may_stream() -> None:
    @node(summary="Pieces")
    async def pieces(request: Request) -> AsyncIterator[int]:
        for each in request.items:
            yield each

    flow, start = started()
    flow.connect(start, flow.subflow(inner_flow(pieces)))
    outcome = await Runner(flow.program()).run(Invocation(ITEMS))
    assert isinstance(outcome, Streamed)
    assert [3, 1, 2] == [item async for item in outcome.items]


def test_nothing_may_come_after_a_stream() -> None:
    @node(summary="Pieces")
    async def pieces(request: Request) -> AsyncIterator[Reply]:
        yield Reply(text=request.mode)

    flow, _, end = started(answer)
    for stream in (flow.add(pieces), flow.subflow(inner_flow(pieces))):
        with pytest.raises(FlowRefused, match="streams its answer"):
            flow.connect(stream, end)


@pytest.mark.parametrize(
    ("halt", "kind"),
    [
        (timer("wait", Request, after_s=60.0, summary="Wait"), "timer"),
        (callback("wait", Request, Reply, timeout_s=60.0, summary="Wait"), "callback"),
        (approval("wait", Request, timeout_s=60.0, summary="Wait"), "approval"),
    ],
)
async def test_a_halt_node_halts_the_run_and_shows_what_waits(halt: Any, kind: str) -> None:
    given = await halt(Request(mode="b"))
    shown = {"mode": "b", "flag": True, "items": []}
    assert (Halt, kind, shown, 60.0) == (type(given), given.kind, given.payload, given.after_s)
    halt.handler.gives.decode(given.otherwise or {"text": ""})


async def test_a_node_can_be_called_by_itself() -> None:
    assert Reply(text="left b") == await left(Request(mode="b"))


async def test_a_run_may_be_told_where_to_come_out() -> None:
    flow, start, one, two = started(left, answer)
    flow.connect(start, one)
    flow.connect(one, two)
    found = await Runner(flow.program()).run(Invocation({}, ends=Ends("route", "left")))
    assert Value({"text": "left a"}) == found


async def test_a_flow_runs_by_itself_in_a_script() -> None:
    flow, start, one = started(left)
    flow.connect(start, one)
    assert Value({"text": "left b"}) == await flow.run({"mode": "b"})


async def test_a_node_that_gives_nothing_ends_a_way() -> None:
    seen: list[str] = []

    @node(summary="Keep it")
    async def keep(request: Request) -> None:
        seen.append(request.mode)

    flow, start, one, other = started(left, keep)
    flow.connect(start, one)
    flow.connect(start, other)
    flow.entrypoint(start, one)
    assert Value({"text": "left b"}) == await flow.run({"mode": "b"})
    assert ["b"] == seen
