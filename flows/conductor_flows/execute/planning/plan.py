"""A flow as the scheduler sees it: numbered nodes and edges, surfaces where they act.

Promise: everything that is looked up while a flow runs is found here by a number. Refusal: a
surface that cannot be served is refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from conductor_flows.execute.planning.pointers import Getter
from conductor_flows.ir.model import NodeIR

EDGE_CAPACITY = 32
INPUT_CAPACITY = 8
CAPTURE_CAPACITY = 8
GROUPS_MAX = 8
"""Groups of a for_each, or items of a loop, that may be under way at once."""
STALL_S = 30.0
"""Seconds without a spare moment after which a run is said to stall."""

OnFailure = Literal["fail", "continue", "dead_letter"]
OnFull = Literal["backpressure", "drop_oldest", "drop_newest", "dead_letter"]


@dataclass(frozen=True, slots=True)
class Spill:
    """When items of an edge leave memory."""

    tier: str
    threshold_bytes: int | None


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """One edge; the input of the flow is edge 0."""

    index: int
    source: int
    """A node; -1 for the input."""
    to: int
    capacity: int = EDGE_CAPACITY
    ordered: bool = True
    partition: Getter | None = None
    """Reads the partition from the JSON of an item."""
    timeout_s: float | None = None
    spill: Spill | None = None
    on_full: OnFull = "backpressure"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """How a node's failures are repeated."""

    attempts: int
    """In all."""
    base_s: float
    factor: float
    """2 for exponential, 1 for fixed; 0: linear."""
    max_s: float
    jitter: float = 0.0
    """0 to 1, of the delay."""

    def delay_s(self, attempt: int, spread: float) -> float:
        """Return the wait after that many attempts; `spread` is random, 0 to 1."""
        grown = self.base_s * (attempt if not self.factor else self.factor ** (attempt - 1))
        return min(grown, self.max_s) * (1.0 - self.jitter * spread)


@dataclass(frozen=True, slots=True)
class Branch:
    """An `if` or `switch`: which of the controlled edges is taken."""

    kind: Literal["if", "switch"]
    select: Getter
    cases: Mapping[str, int]
    """By value of the selector (`true`, `false` for an if): an edge."""
    default: int | None
    controlled: frozenset[int]
    """Edges that it gates; all others fire always."""


@dataclass(frozen=True, slots=True)
class Expand:
    """A `for_each` at its source."""

    items: Getter
    edge: int
    """To the entry of the body."""
    exit: int | None = None
    """The node whose outputs are collected, if they are."""
    collect: int | None = None
    """The edge to the collector."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A `loop`, at the exit of its body."""

    go_on: Getter
    back_edge: int
    """From the exit to the entry, or to the source; virtual where the document has none."""
    max_iterations: int


@dataclass(frozen=True, slots=True)
class Gather:
    """A `join` or `zip`, at the node that takes the matches."""

    kind: Literal["join", "zip"]
    edges: tuple[int, ...]
    names: tuple[str, ...]
    """Aliases of the sources, in their order."""
    key: Getter | None
    """What is matched by; the run's item and place where None."""
    timeout_s: float | None = None
    """How long an item may wait for its others."""


@dataclass(frozen=True, slots=True)
class Window:
    """A tumbling `window` on an edge."""

    time: Getter
    """Event time in milliseconds since 1970."""
    size_ms: int
    lateness_ms: int
    late_edge: int | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """A `rate_limit`: a token bucket before a node."""

    per_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node."""

    index: int
    ir: NodeIR
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    captures: bool = False
    concurrency: int = 1
    timeout_s: float | None = None
    """Of one attempt."""
    retry: Retry | None = None
    on_failure: OnFailure = "fail"
    branch: Branch | None = None
    expand: Expand | None = None
    collects: int | None = None
    """This node is the exit of that node's for_each."""
    loop: Loop | None = None
    gather: Gather | None = None
    window: Mapping[int, Window] = field(default_factory=dict[int, Window])
    """By input edge."""
    rate: Rate | None = None
    first_first: bool = False
    """Earlier inputs come before later ones, instead of taking turns."""

    @property
    def alias(self) -> str:
        """The node's name within the flow."""
        return self.ir.alias


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is scheduled by."""

    name: str
    profile: str
    nodes: tuple[NodePlan, ...]
    edges: tuple[EdgePlan, ...]
    trigger: int
    capture: int
    capture_capacity: int = CAPTURE_CAPACITY
    by_alias: Mapping[str, int] = field(default_factory=dict[str, int])
    slides: tuple[int, ...] = ()
    """By number of the node: its only output edge, where what it gives may go on to the next node
    without standing in a queue; 0: it may not (`plain.slides_of`)."""
    chain: tuple[int, ...] = ()
    """The nodes from the trigger to the capture, where nothing but one after the other is between
    them (`plain.chain_of`)."""
    many: bool = False
    """A for_each without a collector: one payload gives a list of results."""
    spills: bool = False
    """Some edge may spill."""
