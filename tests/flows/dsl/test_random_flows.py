"""Flows of random shape: what is built is valid, keeps through its document, and runs."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows import Flow, node, trigger
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.ir.read import read_flow
from conductor_flows.ir.small import emit


@trigger(summary="Take a number")
async def take(number: int) -> int:
    return number


@node(summary="Add one")
async def increase(number: int) -> int:
    return number + 1


@node(summary="Whatever came")
async def gather(number: int) -> int:
    return number


@st.composite
def trees(draw: st.DrawFn) -> list[int]:
    """For each node the earlier node that it comes after; 0 is the trigger."""
    count = draw(st.integers(min_value=1, max_value=6))
    return [draw(st.integers(min_value=0, max_value=place)) for place in range(count)]


def built(parents: list[int]) -> tuple[Flow, list[int]]:
    """A flow of that shape whose leaves meet in one node, and the depths of the leaves."""
    flow = Flow("tree", "1.0.0", summary="Random")
    handles, depths = [flow.add(take)], [0]
    for place, parent in enumerate(parents):
        handles.append(flow.add(increase, f"n{place}"))
        depths.append(depths[parent] + 1)
        flow.connect(handles[parent], handles[-1])
    leaves = [place for place in range(len(handles)) if place not in parents]
    end = flow.add(gather)
    for leaf in leaves:
        flow.connect(handles[leaf], end)
    return flow, [depths[leaf] for leaf in leaves]


@settings(max_examples=40, deadline=None)
@given(trees(), st.integers(min_value=-100, max_value=100))
def test_every_tree_is_valid_and_every_leaf_gives_what_its_path_makes(
    parents: list[int], start: int
) -> None:
    flow, depths = built(parents)
    assert flow.ir() == read_flow(emit(flow.ir()))
    outcome = asyncio.run(Runner(flow.program()).run(Invocation(start)))
    assert isinstance(outcome, Value)
    found = outcome.value if isinstance(outcome.value, list) else [outcome.value]
    assert sorted(start + depth for depth in depths) == sorted(found)
