"""What every picture of a flow says, whatever draws it.

Promise: one line for a node and one for an edge, the same in every picture; surfaces are told at
the edges they rule. Refusal: no markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conductor_flows.ir.json_values import as_object
from conductor_flows.ir.model import EdgeIR, FlowIR, NodeIR
from conductor_flows.ir.terms import Delivery, NodeKind, SurfaceKind

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class NodeMark:
    """A node of a picture."""

    alias: str
    title: str
    under: str
    """Kind, effects and determinism."""
    kind: NodeKind


@dataclass(frozen=True, slots=True)
class EdgeMark:
    """An edge of a picture; `label` is empty for a plain one."""

    source: str
    to: str
    label: str


def nodes(flow: FlowIR) -> Iterator[NodeMark]:
    """Yield the nodes, in the order of the document."""
    for node in flow.nodes:
        yield NodeMark(node.alias, node.alias, _under(node), node.kind)


def edges(flow: FlowIR) -> Iterator[EdgeMark]:
    """Yield the edges between known nodes, in the order of the document."""
    known = {node.alias for node in flow.nodes}
    branches = _branches(flow)
    for edge in flow.edges:
        if edge.source in known and edge.to in known:
            yield EdgeMark(edge.source, edge.to, _label(edge, branches))


def _under(node: NodeIR) -> str:
    halts = ", halts" if node.durability.halts else ""
    return f"{node.kind}, {node.effects}, {node.determinism}{halts}"


def _label(edge: EdgeIR, branches: Mapping[Pair, str]) -> str:
    told = [branches.get((edge.source, edge.to), "")]
    if edge.delivery is not Delivery.AT_LEAST_ONCE:
        told.append(edge.delivery)
    if edge.partition_key:
        told.append(f"by {edge.partition_key}")
    if edge.timeout_ms is not None:
        told.append(f"{edge.timeout_ms} ms")
    if edge.buffer.spill_tier:
        told.append(f"spills to {edge.buffer.spill_tier}")
    return ", ".join(part for part in told if part)


def _branches(flow: FlowIR) -> dict[Pair, str]:
    """Name the edges that a surface chooses between, as far as its config can be read."""
    found: dict[Pair, str] = {}
    for surface in flow.control_surfaces:
        config = as_object(surface.config) or {}
        source = config.get("source")
        cases: dict[str, object] = {}
        if surface.kind is SurfaceKind.IF:
            cases = {"then": config.get("then"), "else": config.get("else")}
        elif surface.kind is SurfaceKind.SWITCH:
            cases = {**(as_object(config.get("cases")) or {}), "default": config.get("default")}
        elif surface.kind is SurfaceKind.FOR_EACH:
            cases = {"each": config.get("body_entry")}
        for label, target in cases.items():
            if isinstance(source, str) and isinstance(target, str):
                key = (source, target)
                found[key] = f"{found[key]} | {label}" if key in found else label
    return found
