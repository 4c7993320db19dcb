"""Rules of checkpoints, halts and resumption.

Promise: what a resumed run would repeat is keyed. Refusal: whether a host has a store is the
host's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from conductor_flows.ir.terms import DurabilityMode, Effects
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.scope import Rule, Scope, is_trigger

HITL: Final = "hitl"
"""The kind of checkpoints at which a person decides."""


def nodes_bear_checkpoints(scope: Scope) -> Iterator[Diagnostic]:
    """DAG-CKPT-001 and DAG-CKPT-005."""
    if scope.flow.policies.durability.mode is not DurabilityMode.STRONG:
        return
    for place, node in enumerate(scope.flow.nodes):
        at = f"/nodes/{place}/durability"
        if not node.durability.checkpointable:
            yield scope.say("DAG-CKPT-001", at, f"`{node.alias}` is not checkpointable")
        if not node.durability.replayable:
            yield scope.say("DAG-CKPT-005", at, f"`{node.alias}` is not replayable")


def halts_are_durable(scope: Scope) -> Iterator[Diagnostic]:
    """DAG-CKPT-002."""
    if scope.flow.policies.durability.mode is not DurabilityMode.OFF:
        return
    for place, node in enumerate(scope.flow.nodes):
        if node.durability.halts:
            detail = f"`{node.alias}` halts, and durability is off"
            yield scope.say("DAG-CKPT-002", f"/nodes/{place}/durability", detail)


def resumed_effects_have_keys(scope: Scope) -> Iterator[Diagnostic]:
    """DAG-CKPT-004."""
    mode = scope.flow.policies.durability.mode
    if mode is DurabilityMode.OFF:
        return
    everywhere = mode is DurabilityMode.STRONG
    for place in range(len(scope.flow.nodes)) if everywhere else sorted(_behind_halts(scope)):
        node = scope.flow.nodes[place]
        if node.effects is Effects.EFFECTFUL and not node.idempotency.keyed:
            where = "with strong durability" if everywhere else "at or behind a halt"
            detail = f"`{node.alias}` is effectful, {where}, and has no key"
            yield scope.say("DAG-CKPT-004", f"/nodes/{place}", detail)


def _behind_halts(scope: Scope) -> Iterable[int]:
    """Return the nodes that halt and all that can be reached from them."""
    waiting = [place for place, node in enumerate(scope.flow.nodes) if node.durability.halts]
    seen = set(waiting)
    while waiting:
        for edge in scope.outgoing[waiting.pop()]:
            to = scope.number[scope.flow.edges[edge].to]
            if to not in seen:
                seen.add(to)
                waiting.append(to)
    return seen


def checkpoints_stand_at_nodes(scope: Scope) -> Iterator[Diagnostic]:
    """DAG300 and DAG202."""
    for place, point in enumerate(scope.flow.checkpoints):
        node, at = scope.node(point.node), f"/checkpoints/{place}"
        at = at if point.node is None else f"{at}/node"
        if point.kind == HITL and node is None:
            yield scope.say("DAG300", at, f"{point.id} is at no node of this flow")
        elif point.kind == HITL and node is not None and is_trigger(node):
            yield scope.say("DAG300", at, f"{point.id} is at the trigger `{node.alias}`")
        elif point.node is not None and node is None:
            yield scope.say("DAG202", at, f"{point.id}: there is no node `{point.node}`")


def views_have_types(scope: Scope) -> Iterator[Diagnostic]:
    """DAG301."""
    for place, point in enumerate(scope.flow.checkpoints):
        if point.view is not None and point.payload is None:
            detail = f"{point.id} shows a view of a payload without a type"
            yield scope.say("DAG301", f"/checkpoints/{place}/view", detail)


RULES: Final[tuple[Rule, ...]] = (
    nodes_bear_checkpoints, halts_are_durable, resumed_effects_have_keys,
    checkpoints_stand_at_nodes, views_have_types,
)  # fmt: skip
