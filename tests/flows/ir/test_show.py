"""Pictures of flows."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_flows.ir.model import Buffer, EdgeIR, FlowIR, NodeIR, Opaque, SurfaceIR
from conductor_flows.ir.read import from_json
from conductor_flows.ir.show.layout import columns
from conductor_flows.ir.show.marks import EdgeMark, NodeMark, edges, nodes
from conductor_flows.ir.show.svg import svg
from conductor_flows.ir.show.text import dot, mermaid
from conductor_flows.ir.terms import (
    Delivery,
    Determinism,
    Effects,
    NodeKind,
    Ordering,
    Profile,
    SurfaceKind,
)

ETL = json.loads((Path(__file__).parents[2] / "data/flows/etl_logs.rich.json").read_text())
WILD = 'a"];\n<script>&\\ --> b'


def a_node(alias: str, kind: NodeKind = NodeKind.INLINE) -> NodeIR:
    return NodeIR(
        id=alias, alias=alias, identifier=alias, name=alias, kind=kind, in_schema=Opaque(),
        out_schema=Opaque(), effects=Effects.PURE, determinism=Determinism.STRICT,
    )  # fmt: skip


def an_edge(source: str, to: str) -> EdgeIR:
    return EdgeIR(source=source, to=to, delivery=Delivery.AT_LEAST_ONCE,
                  ordering=Ordering.ORDERED, buffer=Buffer())  # fmt: skip


def branching(*aliases: str) -> FlowIR:
    start, yes, no = aliases
    config = {"v": 1, "source": start, "selector_pointer": "/ok", "then": yes, "else": no}
    return FlowIR(
        id="f", name="branching", version="1.0.0", profile=Profile.DEV,
        nodes=[a_node(start, NodeKind.TRIGGER), a_node(yes), a_node(no)],
        edges=[an_edge(start, yes), an_edge(start, no)],
        control_surfaces=[SurfaceIR(id="if:0", kind=SurfaceKind.IF, targets=[start, yes, no],
                                    config=config)],
    )  # fmt: skip


def test_edges_tell_the_branch_that_a_surface_gives_them() -> None:
    marks = [(mark.source, mark.to, mark.label) for mark in edges(branching("s", "a", "b"))]
    assert [("s", "a", "then"), ("s", "b", "else")] == marks


def test_edges_tell_what_is_unusual_about_them() -> None:
    labels = [mark.label for mark in edges(from_json(ETL))]
    assert [
        "",
        "at_most_once, spills to disk",
        "exactly_once, by customer_id, within 5 min",
    ] == labels


def with_surface(kind: SurfaceKind, config: dict[str, object]) -> FlowIR:
    surface = SurfaceIR(id="x", kind=kind, targets=["s", "a", "b"], config=config)
    return msgspec.structs.replace(branching("s", "a", "b"), control_surfaces=[surface])


@pytest.mark.parametrize(("kind", "config", "labels"), [
    (SurfaceKind.FOR_EACH, {"source": "s", "body_entry": "a"}, ["each", ""]),
    (SurfaceKind.FOR_EACH, {"source": "s", "body_entry": "a", "body_exit": "s", "collect": "b"},
     ["each", "all"]),
    (SurfaceKind.WINDOW, {"size_ms": 1500, "late": "b"}, ["windows of 1500 ms", "late"]),
    (SurfaceKind.WINDOW, {"size_ms": "x"}, ["windows", ""]),
    (SurfaceKind.SWITCH, {"source": "s", "cases": {"p": "a", "q": "a"}, "default": "b"},
     ["p | q", "default"]),
    (SurfaceKind.SWITCH, {"source": 7, "cases": []}, ["", ""]),
])  # fmt: skip
def test_edges_tell_what_a_surface_sends_there(
    kind: SurfaceKind, config: dict[str, object], labels: list[str]
) -> None:
    assert labels == [mark.label for mark in edges(with_surface(kind, config))]


@pytest.mark.parametrize(("kind", "config", "notes"), [
    (SurfaceKind.RATE_LIMIT, {"target": "a", "qps": 10, "burst": 5}, "10/s, burst 5"),
    (SurfaceKind.LOOP, {"body_exit": "a", "max_iterations": 3}, "loops, 3 times at most"),
    (SurfaceKind.TIMEOUT, {"scope": {"nodes": ["a"]}, "duration_ms": 2000}, "at most 2 s"),
    (SurfaceKind.TIMEOUT, {"scope": {"nodes": ["a"]}, "duration_ms": 0.5}, "in time"),
    (SurfaceKind.ERROR_HANDLER, {"scope": {"nodes": ["a"]}, "strategy": "retry"},
     "on error retry"),
    (SurfaceKind.ERROR_HANDLER, {"scope": [{}]}, ""),
    (SurfaceKind.RATE_LIMIT, {"target": {}}, ""),
])  # fmt: skip
def test_nodes_tell_what_a_surface_does_to_them(
    kind: SurfaceKind, config: dict[str, object], notes: str
) -> None:
    flow = with_surface(kind, config)
    assert ["", notes, ""] == [mark.notes for mark in nodes(flow)]
    for text in (dot(flow), mermaid(flow), svg(flow)):
        assert notes.partition(",")[0] in text


def test_a_window_that_names_no_edge_is_told_at_its_node() -> None:
    assert "windows of 5 min" in [mark.notes for mark in nodes(from_json(ETL))]


def test_a_node_that_joins_tells_how_many() -> None:
    flow = with_surface(SurfaceKind.JOIN, {"sources": ["s", "a"]})
    assert ["", "", "joins 2"] == [mark.notes for mark in nodes(flow)]


def test_a_label_of_many_lines_stays_in_the_picture() -> None:
    flow = from_json(ETL)
    root = ET.fromstring(svg(flow))
    _, top, width, height = (float(part) for part in root.attrib["viewBox"].split())
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    ys = [float(text.attrib["y"]) for text in texts]
    assert top < min(ys) - 10
    assert max(ys) < top + height
    assert width > max(float(text.attrib["x"]) for text in texts)


def test_dot_quotes_whatever_a_name_holds() -> None:
    text = dot(branching(WILD, "a", "b"))
    assert '"a\\"];\\n<script>&\\\\ --> b" -> "a" [label="then"];' in text


def test_mermaid_holds_no_foreign_markup() -> None:
    text = mermaid(branching(WILD, "a", "b"))
    assert "<script>" not in text
    assert 'n0 -->|"then"| n1' in text
    assert 2 + 2 * 2 == text.count("\n")


def test_svg_is_well_formed_and_names_every_node() -> None:
    root = ET.fromstring(svg(branching(WILD, "a", "b")))
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert ["branching 1.0.0", WILD, "a", "b"] == titles
    assert [] == list(root.iter("{http://www.w3.org/2000/svg}script"))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_every_node_stands_in_exactly_one_place(pairs: list[tuple[int, int]]) -> None:
    marks = [NodeMark(str(n), str(n), "", NodeKind.INLINE) for n in range(10)]
    grid = columns(marks, [EdgeMark(str(a), str(b), "") for a, b in pairs])
    assert sorted(mark.alias for mark in marks) == sorted(
        alias for column in grid for alias in column
    )


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), max_size=30))
def test_edges_of_a_flow_without_cycles_lead_to_the_right(pairs: list[tuple[int, int]]) -> None:
    forward = [(a, b) for a, b in pairs if a < b]
    marks = [NodeMark(str(n), str(n), "", NodeKind.INLINE) for n in range(10)]
    grid = columns(marks, [EdgeMark(str(a), str(b), "") for a, b in forward])
    column = {alias: x for x, found in enumerate(grid) for alias in found}
    assert [] == [pair for pair in forward if column[str(pair[0])] >= column[str(pair[1])]]


def test_a_flow_of_nothing_has_pictures_too() -> None:
    empty = FlowIR(id="f", name="n", version="1.0.0", profile=Profile.DEV)
    assert [] == list(nodes(empty))
    assert "digraph" in dot(empty)
    assert ET.fromstring(svg(empty)) is not None
