"""A flow as a node of another.

Promise: the node says of itself what the flow inside amounts to: the worst of its levels, all of
its hints, what its nodes allow a checkpoint. Refusal: a flow within itself, and one that waits: a
run waits at nodes of its own flow only.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.node import camel_case
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Program
from conductor_flows.ir.model import Entrypoint, FlowIR, NodeDurability, NodeIR
from conductor_flows.ir.terms import NodeKind


def narrowed(program: Program, ends: Ends) -> Program:
    """Return a program with one way in and one out, whatever entrypoints it had."""
    metadata = msgspec.structs.replace(
        program.flow.metadata,
        entrypoints=[Entrypoint(trigger_alias=ends.trigger, capture_alias=ends.capture)],
    )
    flow = msgspec.structs.replace(program.flow, metadata=metadata)
    return Program(flow, program.handlers, program.subflows)


def subflow_node(flow: FlowIR, ends: Ends, alias: str, *, default: bool) -> NodeIR:
    """Return the node that stands for a flow.

    Args:
        flow: The flow inside.
        ends: Its way in and out.
        alias: Of the node.
        default: Whether the ends are the flow's own; others are part of the identifier.

    Raises:
        FlowRefused: The flow has a node that halts.
    """
    waits = [node.alias for node in flow.nodes if node.durability.halts]
    if waits:
        text = (
            f"{alias}: {flow.name} waits at {', '.join(waits)}; put that node into the outer flow"
        )
        raise FlowRefused(text)
    by_alias = {node.alias: node for node in flow.nodes}
    entry = f"subflow::{flow.id}::{ends.trigger}"
    return NodeIR(
        id="", alias=alias, identifier=entry if default else f"{entry}::{ends.capture}",
        name=camel_case(flow.name), kind=NodeKind.SUBFLOW, summary=flow.summary,
        in_schema=by_alias[ends.trigger].in_schema, out_schema=by_alias[ends.capture].out_schema,
        effects=max((node.effects for node in flow.nodes), key=lambda level: level.rank),
        determinism=max((node.determinism for node in flow.nodes), key=lambda level: level.rank),
        effect_hints=_union(node.effect_hints for node in flow.nodes),
        determinism_hints=_union(node.determinism_hints for node in flow.nodes),
        durability=NodeDurability(
            checkpointable=all(node.durability.checkpointable for node in flow.nodes),
            replayable=all(node.durability.replayable for node in flow.nodes),
        ),
        subflow_ir=flow,
    )  # fmt: skip


def _union(lists: Iterator[list[str]]) -> list[str]:
    return list(dict.fromkeys(hint for hints in lists for hint in hints))


def flows_inside(program: Program) -> Iterator[str]:
    """Yield the ids of a flow and of all flows in it."""
    yield program.flow.id
    for inner in program.subflows.values():
        yield from flows_inside(inner)
