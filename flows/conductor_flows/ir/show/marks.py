"""What every picture of a flow says, whatever draws it.

Promise: the same in every picture; a surface is told at the edges or the nodes that it rules, as
far as its configuration can be read. Refusal: no markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.model import EdgeIR, FlowIR, NodeIR, SurfaceIR
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
    notes: str = ""
    """What surfaces say of the node, as `10/s, burst 5`; mostly empty."""


@dataclass(frozen=True, slots=True)
class EdgeMark:
    """An edge of a picture; `label` is empty for a plain one."""

    source: str
    to: str
    label: str


def nodes(flow: FlowIR) -> Iterator[NodeMark]:
    """Yield the nodes, in the order of the document."""
    said = _node_notes(flow)
    for node in flow.nodes:
        notes = ", ".join(said.get(node.alias, ()))
        yield NodeMark(node.alias, node.alias, _under(node), node.kind, notes)


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
        told.append(f"within {span(edge.timeout_ms)}")
    if edge.buffer.spill_tier:
        told.append(f"spills to {edge.buffer.spill_tier}")
    return ", ".join(part for part in told if part)


def span(milliseconds: int) -> str:
    """Return a span of time in the largest unit that has a whole number of it."""
    for unit, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds and milliseconds % unit == 0:
            return f"{milliseconds // unit} {name}"
    return f"{milliseconds} ms"


def _branches(flow: FlowIR) -> dict[Pair, str]:
    """Name the edges that a surface chooses between or fills."""
    found: dict[Pair, str] = {}
    for surface in flow.control_surfaces:
        for source, target, label in _edge_notes(surface):
            if isinstance(source, str) and isinstance(target, str):
                key = (source, target)
                found[key] = f"{found[key]} | {label}" if key in found else label
    return found


def _edge_notes(surface: SurfaceIR) -> Iterator[tuple[object, object, str]]:
    config = as_object(surface.config) or {}
    source = config.get("source")
    match surface.kind:
        case SurfaceKind.IF:
            yield source, config.get("then"), "then"
            yield source, config.get("else"), "else"
        case SurfaceKind.SWITCH:
            for case, target in (as_object(config.get("cases")) or {}).items():
                yield source, target, case
            yield source, config.get("default"), "default"
        case SurfaceKind.FOR_EACH:
            yield source, config.get("body_entry"), "each"
            yield config.get("body_exit"), config.get("collect"), "all"
        case SurfaceKind.WINDOW if len(surface.targets) > 1:
            yield surface.targets[0], surface.targets[1], _window(config)
            yield surface.targets[0], config.get("late"), "late"
        case _:
            return


def _window(config: Mapping[str, object]) -> str:
    size = config.get("size_ms")
    return f"windows of {span(size)}" if isinstance(size, int) else "windows"


def _node_notes(flow: FlowIR) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for surface in flow.control_surfaces:
        for alias, note in _notes_of(surface):
            found.setdefault(str(alias), []).append(note)
    return found


def _notes_of(surface: SurfaceIR) -> Iterator[tuple[object, str]]:
    config = as_object(surface.config) or {}
    among: list[object] = list(as_array((as_object(config.get("scope")) or {}).get("nodes")) or ())
    match surface.kind:
        case SurfaceKind.RATE_LIMIT:
            note = f"{config.get('qps')}/s, burst {config.get('burst')}"
            yield config.get("target"), note
        case SurfaceKind.WINDOW if len(surface.targets) == 1:
            yield surface.targets[0], _window(config)
        case SurfaceKind.LOOP:
            yield config.get("body_exit"), f"loops, {config.get('max_iterations')} times at most"
        case SurfaceKind.TIMEOUT:
            most = config.get("duration_ms")
            for alias in among:
                yield alias, f"at most {span(most)}" if isinstance(most, int) else "in time"
        case SurfaceKind.ERROR_HANDLER:
            for alias in among:
                yield alias, f"on error {config.get('strategy')}"
        case SurfaceKind.JOIN | SurfaceKind.ZIP if len(surface.targets) > 1:
            yield surface.targets[-1], f"{surface.kind}s {len(surface.targets) - 1}"
        case _:
            return
