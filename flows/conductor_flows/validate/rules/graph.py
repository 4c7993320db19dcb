"""Rules of the graph: aliases, ends of edges, cycles and ports.

Promise: no recursion, so depth of a flow is no limit. Refusal: what surfaces name is not looked at
here, but for the back edges of loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.json_values import as_object
from conductor_flows.ir.model import Named
from conductor_flows.ir.terms import SurfaceKind
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.scope import Rule, Scope, arrow

_NAMED_IN_CYCLE: Final = 12
"""Nodes of a cycle that are named; a longer one is cut."""
_FRESH, _OPEN, _DONE = range(3)


def aliases_are_unique(scope: Scope) -> Iterator[Diagnostic]:
    """DAG205."""
    for place, node in enumerate(scope.flow.nodes):
        first = scope.number[node.alias]
        if first != place:
            detail = f"`{node.alias}` is also the alias of node {first}"
            yield scope.say("DAG205", f"/nodes/{place}/alias", detail)


def edges_have_ends(scope: Scope) -> Iterator[Diagnostic]:
    """DAG202."""
    for place, edge in enumerate(scope.flow.edges):
        for key, alias in (("from", edge.source), ("to", edge.to)):
            if alias not in scope.number:
                detail = f"edge {arrow(edge)}: there is no node `{alias}`"
                yield scope.say("DAG202", f"/edges/{place}/{key}", detail)


def there_is_no_cycle(scope: Scope) -> Iterator[Diagnostic]:
    """DAG200, once."""
    found = _back_edge(scope, _declared_loops(scope))
    if found is None:
        return
    place, cycle = found
    names = [scope.flow.nodes[number].alias for number in cycle]
    shown = " -> ".join(names[:_NAMED_IN_CYCLE])
    more = " -> …" if len(names) > _NAMED_IN_CYCLE else ""
    yield scope.say("DAG200", f"/edges/{place}", f"{shown}{more} -> {names[0]}")


def _back_edge(scope: Scope, loops: frozenset[int]) -> tuple[int, list[int]] | None:
    """Return an edge that closes a cycle, and the nodes of the cycle in order."""
    state = [_FRESH] * len(scope.flow.nodes)
    for start in range(len(state)):
        if state[start] is not _FRESH:
            continue
        path, todo = [start], [iter(scope.outgoing[start])]
        state[start] = _OPEN
        while path:
            place = next(todo[-1], None)
            if place is None:
                state[path.pop()] = _DONE
                todo.pop()
                continue
            to = scope.number[scope.flow.edges[place].to]
            if place in loops or state[to] == _DONE:
                continue
            if state[to] == _OPEN:
                return place, path[path.index(to) :]
            state[to] = _OPEN
            path.append(to)
            todo.append(iter(scope.outgoing[to]))
    return None


def _declared_loops(scope: Scope) -> frozenset[int]:
    """Return the edges that go back on purpose."""
    back = {pair for surface in scope.flow.control_surfaces
            if surface.kind is SurfaceKind.LOOP
            for pair in _loop_pairs(surface.config, surface.targets)}  # fmt: skip
    return frozenset(
        place
        for place, edge in enumerate(scope.flow.edges)
        if (edge.source, edge.to) in back
        or (edge.condition is not None and edge.condition.type == "loop")
    )


def _loop_pairs(config: object, targets: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the ends of edges from the body of a loop to its entry or its source."""
    values = as_object(config) or {}
    source, entry, leave = (values.get(key) for key in ("source", "body_entry", "body_exit"))
    for tail in [leave] if isinstance(leave, str) else targets:
        for head in (source, entry):
            if isinstance(head, str) and tail != source:
                yield tail, head


def ports_fit(scope: Scope) -> Iterator[Diagnostic]:
    """DAG201."""
    for place, edge in enumerate(scope.flow.edges):
        source, to = scope.node(edge.source), scope.node(edge.to)
        if source is None or to is None or edge.transform is not None:
            continue
        gives, takes = source.out_schema, to.in_schema
        if isinstance(gives, Named) and isinstance(takes, Named) and gives.name != takes.name:
            detail = f"`{edge.source}` gives {gives.name}, `{edge.to}` takes {takes.name}"
            yield scope.say("DAG201", f"/edges/{place}", detail)


ALIASES: Final[tuple[Rule, ...]] = (aliases_are_unique,)
RULES: Final[tuple[Rule, ...]] = (edges_have_ends, there_is_no_cycle, ports_fit)
