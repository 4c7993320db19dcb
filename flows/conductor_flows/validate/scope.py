"""What rules look at: one flow, indexed once, and how they speak.

Promise: made in one pass over nodes and edges, for flows that break any rule; every alias means
the first node that has it. Refusal: no rule is applied here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from conductor_flows.ir.model import EdgeIR, FlowIR, NodeIR
from conductor_flows.ir.terms import NodeKind
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import HintRegistry
from conductor_flows.validate.registry import CODES


@dataclass(frozen=True, slots=True)
class Scope:
    """A flow or a subflow, and where it stands in the document."""

    flow: FlowIR
    at: str
    """JSON Pointer to the flow in the document; "" for the document itself."""
    hints: HintRegistry
    number: Mapping[str, int]
    """Place of each alias in `flow.nodes`."""
    outgoing: Sequence[Sequence[int]]
    """By node: the places in `flow.edges` of edges with two known ends."""
    incoming: Sequence[Sequence[int]]
    pairs: frozenset[tuple[str, str]]
    """The two ends of every edge."""

    def node(self, alias: str | None) -> NodeIR | None:
        """Return the node with that alias."""
        place = None if alias is None else self.number.get(alias)
        return None if place is None else self.flow.nodes[place]

    def say(self, code: str, location: str, message: str) -> Diagnostic:
        """Return a diagnostic; `location` is a JSON Pointer into this flow."""
        entry = CODES[code]
        return Diagnostic(
            code=code, severity=entry.severity, subsystem=entry.subsystem, summary=entry.summary,
            message=message, location=self.at + location, hint=entry.hint,
        )  # fmt: skip


Rule: TypeAlias = Callable[[Scope], Iterable[Diagnostic]]
"""One pass over a flow; pure, linear in its size, and silent about what other rules say."""


def scope_of(flow: FlowIR, at: str, hints: HintRegistry) -> Scope:
    """Index a flow."""
    number: dict[str, int] = {}
    for place, node in enumerate(flow.nodes):
        number.setdefault(node.alias, place)
    outgoing: list[list[int]] = [[] for _ in flow.nodes]
    incoming: list[list[int]] = [[] for _ in flow.nodes]
    for place, edge in enumerate(flow.edges):
        source, to = number.get(edge.source), number.get(edge.to)
        if source is not None and to is not None:
            outgoing[source].append(place)
            incoming[to].append(place)
    pairs = frozenset((edge.source, edge.to) for edge in flow.edges)
    return Scope(flow, at, hints, number, outgoing, incoming, pairs)


def hints_of(node: NodeIR) -> Iterable[str]:
    """Return every hint of a node."""
    return (*node.effect_hints, *node.determinism_hints)


def is_trigger(node: NodeIR) -> bool:
    """Whether runs begin at this node."""
    return node.kind is NodeKind.TRIGGER


def arrow(edge: EdgeIR) -> str:
    """Name an edge."""
    return f"{edge.source} -> {edge.to}"
