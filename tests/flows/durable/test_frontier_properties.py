"""Freezing a flow at any step and thawing it gives what running on gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conductor_flows.execute.planning.plan import Plan
from conductor_flows.execute.scheduling.core import Core
from conductor_flows.execute.scheduling.frontier import Frontier, freeze
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.execute.scheduling.thawing import thaw
from flow_pieces import FlowPieces, Function

Segments = list[str]
SEGMENTS = ("step", "wide", "join", "zip", "for_each", "nested", "loop", "window", "rated")


class Json:
    """Values are JSON throughout."""

    def on_edge(self, edge: int, value: Any) -> Any:
        return value

    def of_node(self, node: int, value: Any) -> Any:
        return value


def view(node: int, value: Any) -> Any:
    return value


class Driver:
    """Runs a plan without a loop: what ends next is drawn."""

    def __init__(self, plan: Plan, functions: dict[int, Function], seed: int) -> None:
        self.plan = plan
        self.functions = functions
        self.chance = random.Random(seed)
        self.now = 0.0
        self.core = self._core()
        self.running: list[Invocation] = []
        self.results: list[Any] = []

    def _core(self) -> Core:
        return Core(self.plan, view=view, spread=lambda: 0.0, now=self.now)

    def freeze_and_thaw(self) -> None:
        """As a crash would: whatever was being worked on is forgotten."""
        data = msgspec.json.encode(freeze(self.core.board, view, self.now))
        self.core = self._core()
        self.running = []
        frontier = msgspec.json.decode(data, type=Frontier)
        thaw(self.core.board, frontier, Json(), self.now)
        # Captured results leave the board at every step, so the record has none.
        assert [] == frontier.captured

    def run(self, payloads: list[Any], crashes: Callable[[int], bool]) -> list[Any]:
        left, step = list(reversed(payloads)), 0
        while True:
            if crashes(step):
                self.freeze_and_thaw()
            step += 1
            if left and self.core.room:
                self.core.offer(left.pop(), len(left), self.now)
            while (begun := self.core.next(self.now)) is not None:
                self.running.append(begun)
            if self.running:
                self._end(self.running.pop(self.chance.randrange(len(self.running))))
            elif not left and not self._move():
                return self.results
            while (found := self.core.captured()) is not None:
                self.results.append(found[1])

    def _end(self, invocation: Invocation) -> None:
        value = self.functions[invocation.node](invocation.value)
        self.core.done(invocation, value, self.now)

    def _move(self) -> bool:
        at = self.core.board.wake_at
        if at is not None:
            self.now = max(self.now, at)
            self.core.tick(self.now)
            return True
        return not self.core.still or self.core.finish(self.now)


def sorted_json(values: list[Any]) -> list[bytes]:
    return sorted(msgspec.json.encode(value, order="deterministic") for value in values)


flows = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(flows, st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 2**16),
       st.integers(1, 12))  # fmt: skip
@example(["nested", "loop", "join", "window"], [3, 1, 2], 7, 1)
def test_a_flow_that_is_frozen_and_thawed_again_and_again_gives_the_same_results(
    segments: Segments, numbers: list[int], seed: int, every: int
) -> None:
    pieces = FlowPieces(segments)
    payloads = [{"n": number, "t": number * 10} for number in numbers]
    plan, functions = pieces.plan()
    expected = Driver(plan, functions, seed).run(payloads, lambda _: False)
    # A crash at every step would let nothing ever end: an invocation needs two.
    driver = Driver(plan, functions, seed)
    actual = driver.run(payloads, lambda step: step % (every + 1) == every)
    assert sorted_json(expected) == sorted_json(actual)
    assert expected


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 60))
def test_a_chain_keeps_its_order_through_a_freeze_at_any_step(
    numbers: list[int], crash: int
) -> None:
    plan, functions = FlowPieces(["step", "step", "step"]).plan()
    payloads = [{"n": number, "t": 0} for number in numbers]
    expected = Driver(plan, functions, 1).run(payloads, lambda _: False)
    assert expected == Driver(plan, functions, 1).run(payloads, lambda step: step == crash)


def test_counts_and_given_up_items_come_back() -> None:
    plan, functions = FlowPieces(["step"]).plan()
    driver = Driver(plan, functions, 1)
    driver.core.board.dropped["late"] = 3
    driver.core.board.dead.append((0, {"n": 1}, "why"))
    driver.freeze_and_thaw()
    assert {"late": 3} == dict(driver.core.board.dropped)
    assert [(0, {"n": 1}, "why")] == list(driver.core.board.dead)


def test_a_frontier_of_another_plan_is_refused() -> None:
    one, _ = FlowPieces(["step"]).plan()
    two, _ = FlowPieces(["join"]).plan()
    core = Core(one, view=view, spread=lambda: 0.0, now=0.0)
    other = Core(two, view=view, spread=lambda: 0.0, now=0.0)
    frontier = freeze(core.board, view, 0.0)
    with pytest.raises(ValueError, match="another plan"):
        thaw(other.board, frontier, Json(), 0.0)
