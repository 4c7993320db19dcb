"""What a run did, in numbers for the person who started it.

Promise: every call of a node counts once, whether it gave something or failed. Refusal: nothing is
printed here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from conductor_flows.execute.measures import Labels, Recorder
from conductor_flows.ir.model import FlowIR

LATENCY: Final = "executor.node_latency_ms"
ERRORS: Final = "executor.node_errors_total"


@dataclass(slots=True)
class Tally:
    """A `Recorder` that adds up; hands everything on to another one, if there is one."""

    onward: Recorder | None = None
    took_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))
    """By alias: how often, and how long in all."""
    errors: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """By alias and kind."""

    def count(self, name: str, labels: Labels, by: int = 1) -> None:
        """See `Recorder.count`."""
        if name == ERRORS:
            self.errors[labels["node"], labels["error_kind"]] += by
        if self.onward is not None:
            self.onward.count(name, labels, by)

    def level(self, name: str, labels: Labels, value: float) -> None:
        """See `Recorder.level`."""
        if self.onward is not None:
            self.onward.level(name, labels, value)

    def observe(self, name: str, labels: Labels, value: float) -> None:
        """See `Recorder.observe`."""
        if name == LATENCY:
            entry = self.took_ms[labels["node"]]
            entry[0] += 1
            entry[1] += value
        if self.onward is not None:
            self.onward.observe(name, labels, value)

    def failures(self, alias: str) -> int:
        """Return how often a node failed."""
        return sum(count for (node, _), count in self.errors.items() if node == alias)

    def summary(self, flow: FlowIR, duration_ms: float) -> dict[str, Any]:
        """Return the summary of a run as JSON values, nodes in the order of the document."""
        aliases = [node.alias for node in flow.nodes]
        aliases += sorted({*self.took_ms, *(node for node, _ in self.errors)} - set(aliases))
        nodes: list[dict[str, Any]] = []
        for alias in aliases:
            gave, total = self.took_ms.get(alias, (0, 0.0))
            calls = int(gave) + self.failures(alias)
            if calls:
                average = round(total / gave, 3) if gave else 0.0
                nodes.append({"alias": alias, "invocations": calls, "avg_ms": average})
        return {
            "duration_ms": round(duration_ms, 3),
            "nodes": nodes,
            "errors": [
                {"alias": alias, "error_kind": kind, "count": count}
                for (alias, kind), count in sorted(self.errors.items())
            ],
        }

    def tell(self, flow: FlowIR, example: str, duration_ms: float, captures: int, at: str) -> None:
        """Hand on what the command line measures.

        Args:
            flow: What ran.
            example: The name under which it was asked for.
            duration_ms: Of the run.
            captures: Answers that were given.
            at: The alias of the capture.
        """
        if self.onward is None:
            return
        said = {"flow": flow.name}
        self.onward.observe("cli.run_duration_ms", said | {"example": example}, duration_ms)
        for alias, (gave, _) in self.took_ms.items():
            self.onward.count("cli.nodes_succeeded_total", said | {"node": alias}, int(gave))
        for (alias, kind), count in self.errors.items():
            labels = said | {"node": alias, "error_kind": kind}
            self.onward.count("cli.nodes_failed_total", labels, count)
        if captures:
            labels = said | {"node": at, "capture": at}
            self.onward.count("cli.captures_emitted_total", labels, captures)
