"""Surfaces within surfaces give what doing one thing after the other gives, through any crash."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability, in_memory
from conductor_flows.execute.errors import MissingOutput, NodeFailed
from conductor_flows.execute.outcomes import Halted, Outcome, Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.terms import DurabilityMode
from conductor_flows.measures.snapshot import SnapshotRecorder
from flow_pieces import step
from flow_trees import HOLDERS, LEAVES, Lost, Segment, TooMany, Tree, expected
from virtual_time import LoopClock, turns, virtual_undebugged

Trees = list[Segment]
BOUND_S = 1000.0


def drawn(chance: random.Random, leaves: tuple[str, ...], size: int = 5, depth: int = 3) -> Trees:
    """Draw a tree; a flow within a flow holds nothing that waits for somebody outside."""
    found: Trees = []
    while size > 0 and chance.random() < 0.75:
        kind = chance.choice(HOLDERS) if depth and chance.random() < 0.4 else ""
        within = size // 2
        size -= 1 + (within if kind else 0)
        inner = LEAVES if kind == "subflow" else leaves
        body = drawn(chance, inner, within, depth - 1) if kind else []
        found.append((kind, body) if kind else chance.choice(leaves))
    return found


def oracle(tree: Trees, payload: Any) -> Any:
    try:
        return step(expected(tree, step(payload)))
    except Lost:
        return MissingOutput
    except TooMany:
        return NodeFailed


async def ended(run: Any) -> Any:
    """The value of a run, or the class of its failure."""
    try:
        outcome = await asyncio.wait_for(run, BOUND_S)
    except MissingOutput:
        return MissingOutput
    except NodeFailed as failed:
        return NodeFailed if "rounds" in failed.said else failed
    return outcome.value if isinstance(outcome, Value) else outcome


async def hold_no_task() -> None:
    await turns()
    assert 1 == len(asyncio.all_tasks())


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(0, 60), st.integers(0, 2**32), st.booleans())
def test_a_tree_gives_what_one_step_after_the_other_gives(
    number: int, seed: int, measured: bool
) -> None:
    agree(drawn(random.Random(seed), LEAVES), number, seed, measured=measured)


@pytest.mark.parametrize("tree", [
    [("loop", [("for_each", ["late", "drops"])])],
    [("for_each", [("subflow", [("subflow", ["flaky"])])])],
    [("for_each", [("for_each", [("loop", ["switch"]), "join"])])],
])  # fmt: skip
def test_a_known_tree_gives_what_one_step_after_the_other_gives(tree: Trees) -> None:
    for number in range(12):
        agree(tree, number, number, measured=bool(number % 2))


def agree(tree: Trees, number: int, seed: int, *, measured: bool) -> None:
    @virtual_undebugged
    async def run() -> None:
        numbers = SnapshotRecorder()
        services = Services(recorder=numbers if measured else None)
        runner = Runner(Tree(tree, seed).program, services)
        payload = {"n": number, "t": 0}
        assert oracle(tree, payload) == await ended(runner.run(Invocation(payload)))
        await hold_no_task()
        levels = [values[-1] for values in numbers.levels.values()]
        assert [0.0] * len(levels) == levels

    run()


class Crashing:
    """Runs a tree with checkpoints, lets it die at random times, and goes on with it."""

    def __init__(self, tree: Tree, seed: int, crashes: int) -> None:
        self._chance = random.Random(seed)
        self._crashes = crashes
        self._durability: Durability = in_memory(clock=LoopClock())
        self._runner = Runner(tree.program, Services(durability=self._durability))

    async def run(self, payload: Any) -> Any:
        while True:
            task = asyncio.create_task(self._go_on(payload))
            if self._crashes:
                self._crashes -= 1
                await asyncio.wait([task], timeout=self._chance.random() * 0.3)
                task.cancel()
                await asyncio.wait([task])
                if task.cancelled():
                    continue
            outcome = await ended(task)
            if not isinstance(outcome, Halted):
                return outcome

    async def _go_on(self, payload: Any) -> Outcome:
        store = self._durability.store
        assert store is not None
        records = await store.list()
        if not records:
            return await self._runner.run(Invocation(payload))
        waits = [wait for wait in records[0].waits if wait.answer is None]
        open_ = len(waits) == len(records[0].waits) and waits
        signal = Signal(step(waits[0].payload)) if open_ else None
        return await resume(self._runner, self._durability, records[0].checkpoint_id, signal=signal)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(0, 60), st.integers(0, 2**32), st.integers(0, 4),
       st.sampled_from([None, 20, 200]))  # fmt: skip
def test_a_tree_that_dies_and_waits_and_goes_on_gives_the_same(
    number: int, seed: int, crashes: int, interval_ms: int | None
) -> None:
    tree = drawn(random.Random(seed), (*LEAVES, "halt"))
    survive(tree, number, seed, crashes, interval_ms)


@pytest.mark.parametrize("interval_ms", [None, 20])
@pytest.mark.parametrize("tree", [
    [("for_each", ["halt"])], [("loop", [("for_each", ["halt", "wide"])])], ["halt", "halt"],
])  # fmt: skip
def test_a_known_tree_that_dies_and_waits_gives_the_same(
    tree: Trees, interval_ms: int | None
) -> None:
    for number in range(12):
        survive(tree, number, number, number % 5, interval_ms)


def survive(tree: Trees, number: int, seed: int, crashes: int, interval_ms: int | None) -> None:
    @virtual_undebugged
    async def run() -> None:
        made = Tree(tree, seed, mode=DurabilityMode.STRONG, interval_ms=interval_ms)
        payload = {"n": number, "t": 0}
        assert oracle(tree, payload) == await Crashing(made, seed, crashes).run(payload)
        await hold_no_task()

    run()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_halt_in_a_flow_within_a_flow_fails_the_node_and_names_it(depth: int) -> None:
    @virtual_undebugged
    async def run() -> None:
        tree: Trees = ["halt"]
        for _ in range(depth):
            tree = [("subflow", tree)]
        runner = Runner(Tree(tree, 1).program, Services())
        with pytest.raises(NodeFailed, match="the flow inside halted at s1") as failed:
            await runner.run(Invocation({"n": 1, "t": 0}))
        assert "s1" == failed.value.alias
        await hold_no_task()

    run()
