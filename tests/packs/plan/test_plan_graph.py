"""Links, and what follows from them, against plain definitions on random plans."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_packs.plan.errors import IdTaken, LinkCycle, LinkNotFound, LinkRefused
from conductor_packs.plan.graph import DEFAULT_ESTIMATE, Graph
from conductor_packs.plan.questions import (
    OfItem,
    OfPlan,
    Ready,
    blocked,
    critical_path,
    explain,
    next_item,
    ready,
    waves,
)
from conductor_packs.plan.records import Board, Item, Link, Plan
from conductor_packs.plan.requests import AddLink, CreatePlan, Patch, RemoveLink, UpdateItem
from plan_world import world

NOW = "2026-01-01T00:00:00.000Z"


async def test_no_circle_can_be_linked(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A", "B", "C", "D")
        await made.link("A", "B")
        await made.link("B", "C")
        with pytest.raises(LinkCycle) as refused:
            await made.link("C", "A")
        assert ["A", "B", "C"] == refused.value.data["cycle"]
        with pytest.raises(LinkCycle):
            await made.link("A", "A")
        await made.link("C", "D", "PARENT")  # D waits for its part C
        with pytest.raises(LinkCycle):
            await made.link("C", "D")
        await made.link("C", "A", "RELATED")
        assert ["OK", None] == await made.sound()


async def test_links_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.do(CreatePlan(plan_id="Q", title="other"))
        await made.add("A", "B", "C", "OPEN")
        await made.do(AddLink(from_item_id="A", to_item_id="B", link_id="L"))
        with pytest.raises(LinkRefused):
            await made.link("A", "B")
        await made.link("A", "C", "RELATED")
        with pytest.raises(LinkRefused):
            await made.link("C", "A", "RELATED")
        await made.link("A", "C", "PARENT")
        with pytest.raises(LinkRefused):
            await made.link("A", "B", "PARENT")
        with pytest.raises(IdTaken):
            await made.do(
                AddLink(from_item_id="B", to_item_id="C", link_type="RELATED", link_id="L")
            )
        await made.finish("B")
        with pytest.raises(LinkRefused):
            await made.link("B", "OPEN")
        await made.do(RemoveLink(link_id="L"))
        with pytest.raises(LinkNotFound):
            await made.do(RemoveLink(link_id="L"))
        assert ["OK", None] == await made.sound()


async def test_the_questions_tell_what_is_ready_and_why_not(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A", "B", "C", estimate=30)
        await made.add("NOTE", kind="NOTE")
        await made.link("B", "A")
        await made.link("C", "B")
        plans, of = made.plans, OfPlan(plan_id="P")
        [only] = (await ready(plans, Ready(plan_id="P")))["ready"]
        assert ("A", 1, 0, 90) == (
            only["item_id"], only["unblocks"], only["slack"], only["chain"],
        )  # fmt: skip
        assert "A" == (await next_item(plans, Ready(plan_id="P")))["next"]["item_id"]
        assert ["B", "C"] == [each["item_id"] for each in (await blocked(plans, of))["blocked"]]
        assert [["A", "NOTE"], ["B"], ["C"]] == (await waves(plans, of))["waves"]
        path = await critical_path(plans, of)
        assert (["A", "B", "C"], 90, 30) == (
            path["critical_path"], path["length"], path["slack"]["NOTE"],
        )  # fmt: skip
        told = await explain(plans, OfItem(item_id="B"))
        assert (False, ["waits for A, which is TODO"], ["C"]) == (
            told["ready"], told["reasons"], told["waiting"],
        )  # fmt: skip
        await made.claim("A")
        told = await explain(plans, OfItem(item_id="A"))
        assert ["Liam holds it until 2026-01-01T00:15:00.000Z"] == told["reasons"]
        assert [] == (await ready(plans, Ready(plan_id="P")))["ready"]
        assert None is (await next_item(plans, Ready(plan_id="P")))["next"]


async def test_of_equal_items_the_one_that_unblocks_more_comes_first(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("Y", "Z", "Y-1", "Z-1", "Z-2", "URGENT-LATER", "DUE")
        for late, early in (("Y-1", "Y"), ("Z-1", "Z"), ("Z-2", "Z")):
            await made.link(late, early)
        patch = Patch(due_ts="2026-02-01T00:00:00Z")
        await made.do(UpdateItem(item_id="DUE", expected_version=1, patch=patch))
        await made.do(
            UpdateItem(item_id="URGENT-LATER", expected_version=1, patch=Patch(priority=-1))
        )
        found = (await ready(made.plans, Ready(plan_id="P")))["ready"]
        assert ["URGENT-LATER", "DUE", "Z", "Y"] == [each["item_id"] for each in found]


def plan_of(edges: list[tuple[int, int]], states: list[str], weights: list[int | None]) -> Board:
    plan = Plan("P", "P", "Liam", "ACTIVE", 1, NOW, NOW)
    items = [
        Item(f"I{at}", "P", "TASK", "t", state, 0, None, None, 1, NOW, NOW, estimate=weight)  # type: ignore[arg-type]
        for at, (state, weight) in enumerate(zip(states, weights, strict=True))
    ]
    links = [
        Link(f"L{at}", "P", f"I{late}", f"I{early}", "DEPENDS_ON", NOW)
        for at, (early, late) in enumerate(edges)
    ]
    return Board(plan, items, links, {}, [], NOW)


@st.composite
def boards(draw: st.DrawFn) -> Board:
    size = draw(st.integers(1, 9))
    pairs = [(early, late) for late in range(size) for early in range(late)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    states = draw(st.lists(st.sampled_from(["TODO", "TODO", "DONE", "CANCELLED", "IN_PROGRESS"]),
                           min_size=size, max_size=size))  # fmt: skip
    weights = draw(st.lists(st.none() | st.integers(1, 90), min_size=size, max_size=size))
    return plan_of(edges, states, weights)


def chains(graph: Graph) -> list[list[str]]:
    """Every chain of open items, the plain way."""
    found: list[list[str]] = []

    def extend(chain: list[str]) -> None:
        found.append(chain)
        for waiting in graph.dependents[chain[-1]]:
            extend([*chain, waiting])

    for item_id in graph.needs:
        extend([item_id])
    return found


@given(boards())
@settings(deadline=None)
def test_the_longest_chain_and_the_slack_are_those_of_all_chains(board: Board) -> None:
    graph = Graph(board)
    lengths = [(sum(map(graph.weight, chain)), chain) for chain in chains(graph)]
    longest = max((length for length, _ in lengths), default=0)
    assert longest == graph.schedule.length
    path = graph.critical_path()
    assert longest == sum(map(graph.weight, path))
    assert all(late in graph.dependents[early] for early, late in pairwise(path))
    for item_id in graph.order:
        through = max(length for length, chain in lengths if item_id in chain)
        assert longest - through == graph.schedule.slack(item_id)


@given(boards())
@settings(deadline=None)
def test_ready_and_waves_are_as_defined(board: Board) -> None:
    graph = Graph(board)
    states = {item.item_id: item.state for item in board.items}
    needed = {item.item_id: [] for item in board.items}  # type: dict[str, list[str]]
    for link in board.links:
        needed[link.from_item_id].append(link.to_item_id)
    expected = {
        item_id for item_id, state in states.items()
        if state == "TODO" and all(states[each] == "DONE" for each in needed[item_id])
    }  # fmt: skip
    assert expected == {item.item_id for item in graph.ready()}
    rounds = graph.waves()
    at = {item_id: number for number, wave in enumerate(rounds) for item_id in wave}
    assert {each for each, state in states.items() if state not in {"DONE", "CANCELLED"}} == set(at)
    for item_id, number in at.items():
        before = [at[each] for each in needed[item_id] if each in at]
        assert number == max(before, default=-1) + 1


def test_the_work_grows_with_items_and_links_and_no_faster() -> None:
    def steps(size: int) -> int:
        """Count the calls of functions, which no busy machine changes."""
        edges = [(at // 2, at) for at in range(1, size)] + [(at - 1, at) for at in range(1, size)]
        board = plan_of(edges, ["TODO"] * size, [None] * size)
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            graph = Graph(board)
            ready_items, length = graph.ready(), graph.schedule.length
            path, rounds = graph.critical_path(), graph.waves()
        finally:
            sys.setprofile(None)
        assert (1, size * DEFAULT_ESTIMATE) == (len(ready_items), length)
        assert size == len(path) == len(rounds)
        return counted

    small, large = steps(1000), steps(10_000)
    assert large < 11 * small
