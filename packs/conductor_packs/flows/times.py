"""How long the nodes of one run took.

Promise: whole milliseconds, small enough for a journal entry however large the flow is. Refusal:
nothing of a payload is seen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

NODES_MAX: Final = 64
"""Nodes that are told one by one; the others are left out."""


class NodeTime(msgspec.Struct):
    """One node, in one run."""

    calls: int = 0
    errors: int = 0
    total_ms: int = 0
    max_ms: int = 0


class NodeTimes:
    """A `Recorder` of one run."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeTime] = {}

    def count(self, name: str, labels: Mapping[str, str], by: int = 1) -> None:
        """Count the errors of a node."""
        if name == "executor.node_errors_total":
            self._of(labels).errors += by

    def level(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Nothing of a run is a level."""

    def observe(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Take the time that one call of a node took."""
        if name == "executor.node_latency_ms":
            node, took_ms = self._of(labels), round(value)
            node.calls += 1
            node.total_ms += took_ms
            node.max_ms = max(node.max_ms, took_ms)

    def _of(self, labels: Mapping[str, str]) -> NodeTime:
        return self._nodes.setdefault(labels.get("node", ""), NodeTime())

    def summary(self) -> dict[str, dict[str, int]]:
        """Return the nodes by alias, the slowest first where there are too many."""
        slowest = sorted(self._nodes.items(), key=lambda each: -each[1].total_ms)[:NODES_MAX]
        return {alias: msgspec.to_builtins(node) for alias, node in sorted(slowest)}
