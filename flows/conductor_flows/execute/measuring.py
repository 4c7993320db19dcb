"""The numbers of one flow's runs, on their way to a recorder.

Promise: levels are those of all runs of the flow in this process together, and come back to zero
when the runs have ended; labels are made once, not for every call. Refusal: without a recorder
there is no such object, and a run pays nothing.
"""

from __future__ import annotations

from conductor_flows.execute.measures import Labels, Recorder
from conductor_flows.execute.planning.plan import Plan

WHOLE: str = "__instance"
"""Stands for the run where no node is to be named."""


class Measures:
    """One for each way through a flow, shared by its runs."""

    def __init__(self, recorder: Recorder, plan: Plan) -> None:
        self.recorder = recorder
        self._plan = plan
        self._labels = {"flow": plan.name, "profile": plan.profile}
        self._nodes = [self._of(node=node.alias) for node in plan.nodes]
        capture = plan.nodes[plan.capture].alias
        self._capture = self._of(capture=capture)
        names = [*(edge.name for edge in plan.edges), f"capture::{capture}"]
        self._edges = [self._of(edge=name) for name in names]
        self._active = [0] * len(plan.nodes)
        self._depths = [0] * len(names)

    def _of(self, **more: str) -> Labels:
        return {**self._labels, **more}

    def began(self, node: int) -> None:
        """A function was called."""
        self._active[node] += 1
        self.recorder.level("executor.active_nodes", self._nodes[node], self._active[node])

    def ended(self, node: int, took_ms: float, *, well: bool) -> None:
        """A function has returned, well or not."""
        self._active[node] -= 1
        labels = self._nodes[node]
        self.recorder.level("executor.active_nodes", labels, self._active[node])
        if well:
            self.recorder.observe("executor.node_latency_ms", labels, took_ms)

    def failed(self, alias: str, kind: str) -> None:
        """A node has failed once."""
        labels = self._of(node=alias, error_kind=kind)
        self.recorder.count("executor.node_errors_total", labels)

    def depth(self, edge: int, by: int) -> None:
        """What waits on an edge has become more or less; -1 is the capture."""
        self._depths[edge] += by
        self.recorder.level("executor.queue_depth", self._edges[edge], self._depths[edge])

    def blocked(self, waited_ms: float) -> None:
        """Somebody had to wait before a payload was taken."""
        self.recorder.observe("executor.capture_backpressure_ms", self._capture, waited_ms)

    def cancelled(self, reason: str, alias: str = WHOLE) -> None:
        """A run was cut off."""
        labels = self._of(node=alias, reason=reason)
        self.recorder.count("executor.cancellations_total", labels)

    def streaming(self) -> None:
        """Somebody reads a stream."""
        labels = self._nodes[self._plan.capture]
        self.recorder.count("executor.stream_clients_total", labels)

    def spilled(self, edge: int, size: int) -> None:
        """A value has left memory."""
        self.recorder.count("executor.spilled_total", self._edges[edge])
        self.recorder.observe("executor.spilled_bytes", self._edges[edge], float(size))


class Depths:
    """What one run has told about its edges."""

    __slots__ = ("_measures", "_told")

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._told: dict[int, int] = {}

    def tell(self, edge: int, length: int) -> None:
        """Tell how much waits on an edge, if that has changed; -1 is the capture."""
        before = self._told.get(edge, 0)
        if length != before:
            self._told[edge] = length
            self._measures.depth(edge, length - before)

    def clear(self) -> None:
        """Nothing waits any more."""
        for edge in list(self._told):
            self.tell(edge, 0)
