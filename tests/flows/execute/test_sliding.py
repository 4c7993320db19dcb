"""Values that slide from node to node end up as values that stand in queues do."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.planning.compiling import Ends, compile_plan
from conductor_flows.execute.planning.plan import Plan
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation as Asked
from conductor_flows.execute.runner import Runner, default_ends
from conductor_flows.execute.scheduling.core import Core
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.ir.model import EdgeIR, SurfaceIR
from conductor_flows.ir.terms import NodeKind, Ordering, SurfaceKind
from flow_pieces import FlowPieces, Function, edge_ir, flow_ir, node_ir
from virtual_time import turns

SEGMENTS = ("step", "wide", "join", "zip", "for_each", "nested", "loop", "rated", "plain")


class Pieces(FlowPieces):
    """With a segment along which values slide."""

    def _plain(self, name: str) -> None:
        for side in "abc":
            self._add(f"{name}{side}", lambda value: value)


class Sliding:
    """Runs a plan; how much begins, what ends next, and whether it slides, is drawn."""

    def __init__(
        self, plan: Plan, functions: dict[int, Function], seed: int, chance: float
    ) -> None:
        self._functions = functions
        self._chance = random.Random(seed)
        self._slides = chance
        self._now = 0.0
        self.core = Core(plan, view=lambda _, value: value, spread=lambda: 0.0, now=0.0)
        self.slid = 0

    def run(self, payloads: list[Any]) -> list[Any]:
        left, running, results = list(reversed(payloads)), list[Invocation](), list[Any]()
        while True:
            if left and self.core.room and self._chance.random() < 0.7:
                self.core.offer(left.pop(), len(left), self._now)
            while self._chance.random() < 0.6:
                if (begun := self.core.next(self._now)) is None:
                    break
                running.append(begun)
            if running:
                ended = running.pop(self._chance.randrange(len(running)))
                running += self._end(ended)
            elif not left and not self._move():
                return results
            while (found := self.core.captured()) is not None:
                results.append(found[1])

    def _end(self, invocation: Invocation) -> list[Invocation]:
        value = self._functions[invocation.node](invocation.value)
        if self._chance.random() < self._slides and self.core.slide(invocation, value):
            self.slid += 1
            return [invocation]
        self.core.done(invocation, value, self._now)
        return []

    def _move(self) -> bool:
        if self.core.board.runnable:
            return True
        at = self.core.board.wake_at
        if at is not None:
            self._now = max(self._now, at)
            self.core.tick(self._now)
            return True
        return not self.core.still or self.core.finish(self._now)

    def hold_nothing(self) -> None:
        board = self.core.board
        assert not board.holds
        assert 0 == board.promised
        assert [0] * len(board.queues) == [lanes.reserved for lanes in board.queues]
        assert [True] * len(board.queues) == [lanes.idle for lanes in board.queues]
        assert [0] * len(board.nodes) == [state.running for state in board.nodes]


def sorted_json(values: list[Any]) -> list[bytes]:
    return sorted(msgspec.json.encode(value, order="deterministic") for value in values)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4),
       st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 2**16))  # fmt: skip
def test_the_results_are_the_same_with_and_without_slides(
    segments: list[str], numbers: list[int], seed: int
) -> None:
    plan, functions = Pieces(segments).plan()
    payloads = [{"n": number, "t": number * 10} for number in numbers]
    found = []
    for chance in (0.0, 0.5, 1.0):
        world = Sliding(plan, functions, seed, chance)
        found.append(sorted_json(world.run(payloads)))
        world.hold_nothing()
    assert found[0] == found[1] == found[2]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 30), st.integers(0, 2**16))
def test_a_slide_overtakes_nothing(count: int, seed: int) -> None:
    plan, functions = Pieces(["plain", "plain"]).plan()
    functions = dict.fromkeys(functions, lambda value: value)
    world = Sliding(plan, functions, seed, 0.6)
    assert list(range(count)) == world.run(list(range(count)))
    world.hold_nothing()


def test_values_do_slide() -> None:
    plan, functions = Pieces(["plain"]).plan()
    world = Sliding(plan, functions, 1, 1.0)
    world.run([{"n": 1, "t": 0}])
    assert len(plan.nodes) - 1 == world.slid


def slides(*surfaces: SurfaceIR, **edge: Any) -> int:
    nodes = [node_ir("t", kind=NodeKind.TRIGGER), node_ir("a"), node_ir("b")]
    edges: list[EdgeIR] = [edge_ir("t", "a", **edge), edge_ir("a", "b")]
    return compile_plan(flow_ir(nodes, edges, list(surfaces)), Ends("t", "b")).slides[0]


def test_nothing_slides_where_something_stands_between() -> None:
    def surface(kind: SurfaceKind, targets: list[str], **config: Any) -> SurfaceIR:
        return SurfaceIR(id="s", kind=kind, targets=targets, config={"v": 1} | config)

    assert 1 == slides()
    assert 0 == slides(timeout_ms=5)
    assert 0 == slides(partition_key="/k")
    assert 0 == slides(ordering=Ordering.UNORDERED)
    assert 0 == slides(surface(SurfaceKind.RATE_LIMIT, ["a"], target="a", qps=1, burst=1))
    assert 0 == slides(surface(SurfaceKind.TIMEOUT, ["a"], scope={"nodes": ["a"]}, duration_ms=5))
    assert 0 == slides(surface(
        SurfaceKind.FOR_EACH, ["t", "a"], source="t", body_entry="a", items_pointer=""
    ))  # fmt: skip
    assert 0 == slides(surface(
        SurfaceKind.WINDOW, ["t", "a"], event_time_pointer="/t", size_ms=5, watermark="m"
    ))  # fmt: skip


def instance_of(count: int) -> Any:
    names = ["t", *(f"n{number}" for number in range(count))]
    nodes = [node_ir(name, kind=NodeKind.INLINE if place else NodeKind.TRIGGER)
             for place, name in enumerate(names)]  # fmt: skip
    edges = [edge_ir(*pair) for pair in pairwise(names)]
    tasks: set[Any] = set()

    async def same(value: Any) -> Any:
        tasks.add(asyncio.current_task())
        return value

    port = port_of(Any)
    program = Program(flow_ir(nodes, edges), {name: Handler(same, port, port) for name in names})
    runner = Runner(program)
    ends = default_ends(program.flow)
    bound = runner.bound(ends)
    return runner.instance(bound, runner.info(Asked(None), ends)), tasks


async def test_a_chain_of_functions_that_do_not_wait_costs_one_task() -> None:
    instance, tasks = instance_of(20)
    await instance.send(1)
    assert (0, 1) == await instance.next()
    assert 1 == len(tasks)
    await instance.cancel("external")


async def test_what_came_out_and_was_not_taken_is_what_a_checkpoint_has() -> None:
    instance, _ = instance_of(2)
    await instance.send(7)
    await turns()
    assert [(0, 7)] == instance.given
    await instance.cancel("external")


async def test_a_run_that_never_waits_lets_others_have_the_loop() -> None:
    instance, _ = instance_of(300)
    others: list[bool] = []
    asyncio.get_running_loop().call_later(0, lambda: others.append(instance.over))
    await instance.send(1)
    assert (0, 1) == await instance.next()
    assert [False] == others
    await instance.cancel("external")
