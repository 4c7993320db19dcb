"""Every metric of flows: its kind, labels, unit and meaning.

Promise: what runs, hosts and the command line record is in here and nothing else is;
docs/reference/flow-metrics.md is written from it. Refusal: no identifier of a run, a request or a
payload is a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

PREFIX: Final = "latticeflow."
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Unit: TypeAlias = Literal["", "ms", "bytes"]


@dataclass(frozen=True, slots=True)
class Name:
    """One metric."""

    name: str
    """Without the prefix."""
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    unit: Unit = ""

    @property
    def full(self) -> str:
        """With the prefix."""
        return PREFIX + self.name


_NODE: Final = ("flow", "node", "profile")
_EDGE: Final = ("flow", "edge", "profile")
_ROUTE: Final = ("host", "flow", "route")

NAMES: Final = (
    Name("executor.active_nodes", "gauge", _NODE, "Calls of a node's function under way"),
    Name("executor.queue_depth", "gauge", _EDGE,
         "Items that wait on an edge `a->b`, or results that wait at `capture::alias`"),
    Name("executor.node_latency_ms", "histogram", _NODE,
         "How long a call of a node's function took that succeeded", "ms"),
    Name("executor.node_errors_total", "counter", (*_NODE, "error_kind"),
         "Calls that failed, each attempt by itself"),
    Name("executor.cancellations_total", "counter", (*_NODE, "reason"),
         "Runs that were cut off; `node` is `__instance` where no node is the cause"),
    Name("executor.capture_backpressure_ms", "histogram", ("flow", "capture", "profile"),
         "How long a payload waited for room, where it had to", "ms"),
    Name("executor.stream_clients_total", "counter", _NODE, "Streams that were handed out"),
    Name("executor.spilled_total", "counter", _EDGE, "Items that left memory (RUN040)"),
    Name("executor.spilled_bytes", "histogram", _EDGE, "Their size as JSON", "bytes"),
    Name("host.http_requests_total", "counter", (*_ROUTE, "status_class"),
         "Requests that were answered; `status_class` is `2xx` and the like"),
    Name("host.http_request_latency_ms", "histogram", _ROUTE,
         "From a request to its answer, or to the first byte of a stream", "ms"),
    Name("host.http_inflight_requests", "gauge", _ROUTE, "Requests under way"),
    Name("host.sse_clients", "gauge", _ROUTE, "Clients that read a stream of events"),
    Name("host.deadline_exceeded_total", "counter", _ROUTE, "Requests whose deadline came first"),
    Name("cli.run_duration_ms", "histogram", ("flow", "example"),
         "How long a run on the command line took", "ms"),
    Name("cli.nodes_succeeded_total", "counter", ("flow", "node"),
         "Calls that succeeded in a run on the command line"),
    Name("cli.nodes_failed_total", "counter", ("flow", "node", "error_kind"),
         "Calls that failed in a run on the command line"),
    Name("cli.captures_emitted_total", "counter", ("flow", "node", "capture"),
         "Results of a run on the command line"),
)  # fmt: skip
BY_NAME: Final[Mapping[str, Name]] = MappingProxyType({name.name: name for name in NAMES})
"""By name, without the prefix."""
