"""Functions behind nodes, and how values cross the edges between them.

Promise: a value goes through JSON only where the two ends of an edge are of different types, or a
surface made it; everything else is handed on as it is. Refusal: no function is called here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conductor_flows.execute.errors import UnregisteredNode
from conductor_flows.execute.planning.plan import Plan
from conductor_flows.execute.program import Handler, Program

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """A plan with its functions."""

    plan: Plan
    handlers: tuple[Handler, ...]
    """By number of the node."""
    intake: tuple[Convert | None, ...]
    """By number of the edge: from what is on it to what its target takes; None: as it is."""
    joined: tuple[Convert | None, ...]
    """By number of the node: the same for what a `join` or `zip` gathered."""
    hints: tuple[frozenset[str], ...]
    """By number of the node: the capabilities that it declares."""
    direct: tuple[Convert | None, ...]
    """By number of the node: its function, where nothing but the value goes in."""
    straight: tuple[int, ...] = ()
    """The nodes of a chain in their order, where one task can take a payload along all of it."""

    def view(self, node: int, value: Any) -> Any:
        """Return the JSON of what a node gave; -1 is the input of the flow, JSON already."""
        return value if node < 0 else self.handlers[node].gives.encode(value)


def bind(plan: Plan, program: Program) -> Bound:
    """Find the function of every node.

    Raises:
        UnregisteredNode: There is none for a node.
    """
    handlers: list[Handler] = []
    for node in plan.nodes:
        handler = program.handlers.get(node.ir.identifier)
        if handler is None:
            raise UnregisteredNode(f"{node.alias}: {node.ir.identifier}")
        handlers.append(handler)
    made = {node.expand.collect for node in plan.nodes if node.expand is not None}
    made |= {node.expand.edge for node in plan.nodes if node.expand is not None}
    made |= {edge for node in plan.nodes for edge in node.window}
    intake = [
        _across(handlers, edge.source, edge.to, made=edge.index in made) for edge in plan.edges
    ]
    joined = [
        None if node.gather is None else _through(handlers[node.index]) for node in plan.nodes
    ]
    hints = [frozenset([*n.ir.effect_hints, *n.ir.determinism_hints]) for n in plan.nodes]
    direct = [
        None if handler.takes_context or handler.streams or convert else handler.function
        for handler, convert in zip(handlers, joined, strict=True)
    ]
    # A stream goes on when the run has its answer: that needs a task beside it.
    straight = () if any(handlers[node].streams for node in plan.chain) else plan.chain
    return Bound(
        plan, tuple(handlers), tuple(intake), tuple(joined), tuple(hints), tuple(direct), straight
    )  # fmt: skip


def _across(handlers: list[Handler], source: int, to: int, *, made: bool) -> Convert | None:
    takes = handlers[to].takes
    if source < 0:
        return takes.decode
    gives = handlers[source].gives
    if made:
        return _through(handlers[to])
    if takes.kind is None or (gives.kind is not None and gives.kind == takes.kind):
        # An opaque port takes what comes; equal types need no conversion.
        return None if takes.kind is not None or gives.kind is None else gives.encode
    return lambda value: takes.decode(gives.encode(value))


def _through(handler: Handler) -> Convert:
    """Through JSON: what a surface made is a container of values of other types."""
    takes = handler.takes
    return lambda value: takes.decode(takes.encode(value))
