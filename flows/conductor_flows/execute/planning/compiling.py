"""From a document to a plan.

Promise: what a surface's configuration says is in the plan, or the flow is refused before it runs.
Refusal: the rules of `conductor_flows.validate` are not repeated here; a document that breaks them
is refused with less said about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast, get_args

from conductor_flows.execute.errors import SurfaceInvalid, SurfaceUnsupported, UnknownAlias
from conductor_flows.execute.planning.plain import chain_of, slides_of
from conductor_flows.execute.planning.plan import (
    CAPTURE_CAPACITY,
    EDGE_CAPACITY,
    INPUT_CAPACITY,
    EdgePlan,
    NodePlan,
    OnFull,
    Plan,
    Retry,
    Spill,
)
from conductor_flows.execute.planning.pointers import Getter, getter
from conductor_flows.execute.planning.surfaces import SERVED, apply
from conductor_flows.ir.durations import millis
from conductor_flows.ir.model import EdgeIR, FlowIR, NodeIR
from conductor_flows.ir.rich import RetryBackoff
from conductor_flows.ir.terms import NodeKind, Ordering, RetryOwner, SurfaceKind

FOR_EVER_S = 3600.0
RETRY_ATTEMPTS = 3
RETRY_BASE_S = 0.2


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a run goes in and comes out."""

    trigger: str
    capture: str


def compile_plan(
    flow: FlowIR, ends: Ends, *, served: frozenset[SurfaceKind] = SERVED,
    capture_capacity: int = CAPTURE_CAPACITY,
) -> Plan:  # fmt: skip
    """Number everything and put surfaces where they act.

    Args:
        flow: A valid flow.
        ends: The trigger that the payload goes to, and the node whose output is the answer.
        served: The surfaces that this host serves.
        capture_capacity: Results that may wait to be taken.

    Raises:
        UnknownAlias: The flow has no such trigger or capture.
        SurfaceUnsupported: CTRL901: a surface that is not served.
        SurfaceInvalid: CTRL110, CTRL120: a configuration that cannot be used.
    """
    for surface in flow.control_surfaces:
        if surface.kind not in served:
            detail = f"{surface.id} ({surface.kind})"
            raise SurfaceUnsupported(detail, data={"id": surface.id, "kind": surface.kind})
    by_alias = {node.alias: number for number, node in enumerate(flow.nodes)}
    trigger, capture = _ends(flow, ends, by_alias)
    edges = _edges(flow, ends.trigger, by_alias)
    nodes = _nodes(flow, edges, capture)
    plan = Plan(
        flow.name, flow.profile, tuple(nodes), tuple(edges), trigger, capture,
        max(1, capture_capacity), by_alias,
    )  # fmt: skip
    for surface in flow.control_surfaces:
        plan = apply(plan, surface)
    expands = [node.expand for node in plan.nodes if node.expand is not None]
    plan = replace(plan, spills=any(edge.spill is not None for edge in plan.edges))
    return replace(
        plan, slides=slides_of(plan), chain=chain_of(plan),
        many=any(each.collect is None for each in expands),
    )  # fmt: skip


def _edges(flow: FlowIR, trigger: str, by_alias: Mapping[str, int]) -> list[EdgePlan]:
    edges = [EdgePlan(0, -1, by_alias[trigger], INPUT_CAPACITY, name=f"input->{trigger}")]
    for edge in flow.edges:
        if edge.source not in by_alias or edge.to not in by_alias:
            raise UnknownAlias(f"edge {edge.source} -> {edge.to}")
        edges.append(_edge(edge, len(edges), by_alias))
    return edges


def _nodes(flow: FlowIR, edges: list[EdgePlan], capture: int) -> list[NodePlan]:
    inputs: list[list[int]] = [[] for _ in flow.nodes]
    outputs: list[list[int]] = [[] for _ in flow.nodes]
    for edge in edges:
        inputs[edge.to].append(edge.index)
        if edge.source >= 0:
            outputs[edge.source].append(edge.index)
    return [_node(node, number, (inputs[number], outputs[number]), captures=number == capture)
            for number, node in enumerate(flow.nodes)]  # fmt: skip


def _ends(flow: FlowIR, ends: Ends, by_alias: Mapping[str, int]) -> tuple[int, int]:
    for alias in (ends.trigger, ends.capture):
        if alias not in by_alias:
            raise UnknownAlias(f"{alias!r}; the flow has: {', '.join(by_alias) or 'no nodes'}")
    if flow.nodes[by_alias[ends.trigger]].kind is not NodeKind.TRIGGER:
        raise UnknownAlias(f"{ends.trigger!r} is no trigger")
    return by_alias[ends.trigger], by_alias[ends.capture]


def _edge(edge: EdgeIR, number: int, by_alias: Mapping[str, int]) -> EdgePlan:
    buffer = edge.buffer
    spill = None
    if buffer.spill_tier is not None:
        spill = Spill(buffer.spill_tier, buffer.spill_threshold_bytes)
    dropping = buffer.on_drop or "backpressure"
    if dropping not in get_args(OnFull):
        raise SurfaceInvalid(f"edge {edge.source} -> {edge.to}: on_drop {dropping!r}")
    return EdgePlan(
        number, by_alias[edge.source], by_alias[edge.to],
        capacity=max(1, buffer.max_items if buffer.max_items is not None else EDGE_CAPACITY),
        ordered=edge.ordering is Ordering.ORDERED, partition=partition_getter(edge.partition_key),
        timeout_s=None if edge.timeout_ms is None else edge.timeout_ms / 1000, spill=spill,
        on_full=cast("OnFull", dropping), name=f"{edge.source}->{edge.to}",
    )  # fmt: skip


def partition_getter(key: str | None) -> Getter | None:
    """Read a partition key: a JSON Pointer, or names joined by dots (`customer.id`)."""
    if not key:
        return None
    return getter(key if key.startswith("/") else "/" + key.replace(".", "/"))


def _node(
    node: NodeIR, number: int, ways: tuple[list[int], list[int]], *, captures: bool
) -> NodePlan:
    schedule = node.schedule
    return NodePlan(
        number, node, tuple(ways[0]), tuple(ways[1]),
        captures=captures,
        concurrency=max(1, (schedule.concurrency if schedule else None) or 1),
        timeout_s=_seconds(schedule.timeout if schedule else None),
        retry=_retry(node),
    )  # fmt: skip


def _seconds(text: str | None) -> float | None:
    found = None if text is None else millis(text)
    return None if found is None else found / 1000


def _retry(node: NodeIR) -> Retry | None:
    """Repeat only what is the orchestrator's to repeat: two owners multiply attempts."""
    backoff = node.schedule.retry_backoff if node.schedule is not None else None
    owner = node.retry_owner or RetryOwner.ORCHESTRATOR
    if backoff is None or owner is not RetryOwner.ORCHESTRATOR or backoff.strategy == "none":
        return None
    return retry_of(backoff)


def retry_of(backoff: RetryBackoff) -> Retry:
    """Read a backoff; what it leaves out is exponential from 0.2 s, three attempts."""
    base_s = _seconds(backoff.base)
    return Retry(
        attempts=backoff.max_attempts or RETRY_ATTEMPTS,
        base_s=RETRY_BASE_S if base_s is None else base_s,
        factor={"fixed": 1.0, "linear": 0.0}.get(backoff.strategy or "exponential", 2.0),
        max_s=_seconds(backoff.max) or FOR_EVER_S, jitter=backoff.jitter or 0.0,
    )  # fmt: skip
