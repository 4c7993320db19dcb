"""A flow while it is being built: nodes, edges and surfaces, in the order in which they were said.

Promise: an alias stands for one node, an edge for one pair of nodes, and each property of an edge
is said once; whatever breaks that is refused at the line that does it. Refusal: nothing is run, and
rules that need the whole flow are the validator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import msgspec

from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.node import Ports
from conductor_flows.dsl.port_types import assignable
from conductor_flows.execute.program import Handler, Program
from conductor_flows.ir.model import Buffer, EdgeIR, NodeIR, SurfaceIR, Transform
from conductor_flows.ir.terms import Delivery, Ordering, SurfaceKind

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Placed:
    """A node in a flow."""

    ir: NodeIR
    ports: Ports
    handler: Handler | None
    """None: a subflow, which the runner runs."""
    inner: Program | None = None
    streams: bool = False


class Handle(Generic[In_contra, Out_co]):
    """A node in a flow, for saying more about it."""

    __slots__ = ("alias", "draft")

    def __init__(self, alias: str, draft: Draft) -> None:
        self.alias = alias
        self.draft = draft
        """The flow that it belongs to."""

    def __repr__(self) -> str:
        return f"<node {self.alias}>"


@dataclass(slots=True, eq=False)
class Draft:
    """The parts of a flow, so far."""

    name: str
    nodes: dict[str, Placed] = field(default_factory=dict[str, Placed])
    edges: dict[tuple[str, str], EdgeIR] = field(default_factory=dict[tuple[str, str], EdgeIR])
    surfaces: list[SurfaceIR] = field(default_factory=list[SurfaceIR])
    said: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]])
    """What may be said once."""

    def place(self, alias: str, placed: Placed) -> None:
        """Put a node in; raises DAG205 for an alias that is taken."""
        if alias in self.nodes:
            at = f"/nodes/{list(self.nodes).index(alias)}/alias"
            raise FlowRefused(f"there is a node {alias!r} already", code="DAG205", location=at)
        self.nodes[alias] = placed

    def alias(self, handle: object, what: str = "node") -> str:
        """Return the alias of a node of this flow.

        Raises:
            FlowRefused: DAG202: the node is another flow's; without a code: it is no node at all.
        """
        if not isinstance(handle, Handle):
            name = getattr(handle, "__name__", None)
            told = f"{handle!r} is no node" if name is None else f"{name} is not in the flow yet"
            given = f"flow.add({name or '...'})"
            raise FlowRefused(f"{what}: {told}; give what {given} returned")
        if handle.draft is not self or handle.alias not in self.nodes:
            raise FlowRefused(f"{what}: {self.name} has no node {handle.alias!r}", code="DAG202")
        return handle.alias

    def aliases(self, handles: object, what: str) -> list[str]:
        """Return the aliases of a list of nodes; raises as `alias`, and for an empty list."""
        found: list[object] = [handles]
        if isinstance(handles, Iterable):
            found = list(cast("Iterable[object]", handles))
        if not found:
            raise FlowRefused(f"{what}: give at least one node")
        return [self.alias(each, what) for each in found]

    def connect(self, source: str, to: str, *, into: bool) -> None:
        """Draw an edge.

        Raises:
            FlowRefused: DAG201 for ports that do not fit, DAG207 for a second edge; without a code:
                the source streams, which only the end of a flow may.
        """
        self.once("edge", source, to)
        if self.nodes[source].streams:
            raise FlowRefused(f"{source} streams its answer: nothing can come after it")
        gives, takes = self.nodes[source].ports.gives, self.nodes[to].ports.takes
        if not into and not assignable(gives.kind or Any, takes.kind or Any):
            raise FlowRefused(
                f"{source} gives {gives.name}, {to} takes {takes.name}; say into=True to convert",
                code="DAG201", location=f"/edges/{len(self.edges)}",
            )  # fmt: skip
        # An adapter stands wherever the names of the two types differ: a subclass is one as well.
        differ = gives.name is not None and takes.name is not None and gives.name != takes.name
        self.edges[source, to] = EdgeIR(
            source=source, to=to, delivery=Delivery.AT_LEAST_ONCE, ordering=Ordering.ORDERED,
            buffer=Buffer(), transform=Transform("into") if into or differ else None,
        )  # fmt: skip

    def made(self, source: str, to: str) -> None:
        """Draw the edge of a surface that makes its own values, unless it is there."""
        if (source, to) not in self.edges:
            self.connect(source, to, into=True)

    def must_have(self, source: str, to: str, what: str) -> None:
        """Refuse (DAG206) what is said about an edge that is not there."""
        if (source, to) not in self.edges:
            raise FlowRefused(f"{what}: there is no edge {source} -> {to}", code="DAG206")

    def once(self, what: str, *names: str) -> None:
        """Refuse (DAG207) what is said a second time."""
        if (what, *names) in self.said:
            location = self._place(names)
            text = f"{what} is said twice for {' -> '.join(names)}"
            raise FlowRefused(text, code="DAG207", location=location)
        self.said.add((what, *names))

    def _place(self, names: tuple[str, ...]) -> str:
        if len(names) == 1:
            return f"/nodes/{list(self.nodes).index(names[0])}"
        edges = list(self.edges)
        return f"/edges/{edges.index((names[0], names[1]))}"

    def change_edge(self, source: object, to: object, what: str, **changes: Any) -> None:
        """Say something about an edge, once.

        Raises:
            FlowRefused: DAG202, DAG206 or DAG207.
        """
        ends = self.alias(source, what), self.alias(to, what)
        self.must_have(*ends, what)
        self.once(what, *ends)
        buffer = changes.pop("buffer", None)
        if buffer is not None:
            changes["buffer"] = msgspec.structs.replace(self.edges[ends].buffer, **buffer)
        self.edges[ends] = msgspec.structs.replace(self.edges[ends], **changes)

    def surface(self, kind: SurfaceKind, targets: Iterable[str], config: Mapping[str, Any]) -> str:
        """Add a control surface; returns its id, `<kind>:<source alias>:<n>`."""
        named = list(dict.fromkeys(targets))
        number = sum(each.kind is kind for each in self.surfaces)
        surface_id = f"{kind}:{named[0]}:{number}"
        filled = {key: value for key, value in config.items() if value is not None}
        self.surfaces.append(
            SurfaceIR(id=surface_id, kind=kind, targets=named, config={"v": 1, **filled})
        )
        return surface_id
