"""From the JSON of a checkpoint to what the functions of a flow gave.

Promise: an item comes back as the type that its node gives; what a surface made stays JSON.
Refusal: nothing is encoded here (`Bound.view` does).
"""

from __future__ import annotations

from typing import Any

from conductor_flows.execute.binding import Bound


class Values:
    """The `Decode` of a bound plan."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        expands = [node.expand for node in bound.plan.nodes if node.expand is not None]
        self._made: set[int | None] = {expand.edge for expand in expands}
        self._made |= {expand.collect for expand in expands}

    def on_edge(self, edge: int, value: Any) -> Any:
        """See `Decode.on_edge`."""
        source = self._bound.plan.edges[edge].source
        return value if source < 0 or edge in self._made else self.of_node(source, value)

    def of_node(self, node: int, value: Any) -> Any:
        """See `Decode.of_node`."""
        return self._bound.handlers[node].gives.decode(value)
