"""Where a value may go from one node straight into the next, and where it may do so to the end.

Promise: such a step does exactly what placing the value on its edge and taking it off again would
do, when nothing else is on that edge. Refusal: wherever a surface, a bound in time, a partition or
a second way is involved, there is no such step.
"""

from __future__ import annotations

from conductor_flows.execute.planning.plan import EdgePlan, NodePlan, Plan


def slides_of(plan: Plan) -> tuple[int, ...]:
    """Return for each node its edge into the next, if a value may slide along it; else 0."""
    return tuple(_slide_of(plan, node) for node in plan.nodes)


def chain_of(plan: Plan) -> tuple[int, ...]:
    """Return the nodes from the trigger to the capture, if they are a chain; else nothing.

    On a chain one payload is never in two places, and what a node fails with ends the run or is
    repeated there. A node may have its own bound in time: whoever calls it keeps that.
    """
    found: list[int] = []
    node, edge = plan.nodes[plan.trigger], plan.edges[0]
    while len(found) < len(plan.nodes) and _is_plain(edge) and _is_link(node):
        found.append(node.index)
        if node.captures:
            return () if node.outputs or plan.spills else tuple(found)
        if len(node.outputs) != 1:
            return ()
        edge = plan.edges[node.outputs[0]]
        node = plan.nodes[edge.to]
    return ()


def _is_link(node: NodePlan) -> bool:
    return _gives_plainly(node) and _takes_plainly(node) and node.on_failure == "fail"


def _slide_of(plan: Plan, node: NodePlan) -> int:
    if len(node.outputs) != 1 or node.captures or not _gives_plainly(node):
        return 0
    edge = plan.edges[node.outputs[0]]
    follower = plan.nodes[edge.to]
    plain = _is_plain(edge) and _takes_plainly(follower) and follower.timeout_s is None
    return edge.index if plain else 0


def _gives_plainly(node: NodePlan) -> bool:
    surfaces = (node.branch, node.expand, node.collects, node.loop, node.gather)
    return all(surface is None for surface in surfaces)


def _is_plain(edge: EdgePlan) -> bool:
    bounded = edge.timeout_s is not None or edge.partition is not None
    return edge.ordered and not bounded and edge.on_full == "backpressure"


def _takes_plainly(node: NodePlan) -> bool:
    surfaces = (node.gather, node.rate, node.expand)
    plain = all(surface is None for surface in surfaces) and not node.window
    return plain and len(node.inputs) == 1
