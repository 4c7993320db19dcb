"""`Flow`: functions, and what goes from one to another.

Promise: a flow is built by saying, in any order that makes sense, and what cannot be is refused at
the line that says it; `ir()` is its document and `program()` something that runs, after every rule
of the validator. Refusal: no host: `run` is for tests and scripts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

import msgspec

from conductor_flows.dsl.draft import Draft, Handle, Placed
from conductor_flows.dsl.edges import EdgeWords
from conductor_flows.dsl.errors import FlowInvalid, FlowRefused
from conductor_flows.dsl.gatherings import GatheringWords
from conductor_flows.dsl.node import Node, Ports
from conductor_flows.dsl.options import NodeOptions, member, with_options
from conductor_flows.dsl.subflows import flows_inside, narrowed, subflow_node
from conductor_flows.dsl.surfaces import SurfaceWords
from conductor_flows.dsl.written import positive
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Handler, Program
from conductor_flows.ir.identity import flow_id, node_id
from conductor_flows.ir.model import Entrypoint, FlowIR, Metadata, Policies
from conductor_flows.ir.terms import DurabilityMode, NodeKind, Profile
from conductor_flows.validate.run import validate

if TYPE_CHECKING:
    from conductor_flows.execute.outcomes import Outcome
    from conductor_flows.execute.services import Services

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")
AnyHandle = Handle[Any, Any]
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SEMVER = re.compile(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class Flow(EdgeWords, SurfaceWords, GatheringWords):
    """A flow that is being built. Not safe to build from several threads."""

    def __init__(
        self, name: str, version: str, *,
        profile: Literal["web", "queue", "temporal", "wasm", "dev"] = "dev",
        summary: str | None = None, tags: Sequence[str] = (),
        durability: Literal["off", "partial", "strong"] | None = None,
        policies: Policies | None = None,
    ) -> None:  # fmt: skip
        """Begin a flow.

        Args:
            name: snake_case; with the version it makes the flow's id.
            version: Of the flow, semver.
            profile: The host that it is for.
            summary: A line for people.
            tags: For finding it.
            durability: When checkpoints are written; over what `policies` say.
            policies: What holds for the whole flow.

        Raises:
            FlowRefused: A name, version, profile or mode that is none.
        """
        if not _NAME.fullmatch(name):
            raise FlowRefused(f"a flow's name is snake_case, not {name!r}", location="/name")
        if not _SEMVER.fullmatch(version):
            raise FlowRefused(f"a version is like 1.0.0, not {version!r}", location="/version")
        self.name, self.version, self.summary = name, version, summary
        self.profile = member(Profile, profile, "profile")
        self.id = flow_id(name, version)
        self._tags = list(tags)
        self._policies = policies or Policies()
        if durability is not None:
            mode = member(DurabilityMode, durability, "durability")
            inner = msgspec.structs.replace(self._policies.durability, mode=mode)
            self._policies = msgspec.structs.replace(self._policies, durability=inner)
        self._draft = Draft(name)
        self._entrypoints: list[Entrypoint] = []

    def add(
        self, node: Node[In, Out], alias: str | None = None, **overrides: Unpack[NodeOptions]
    ) -> Handle[In, Out]:
        """Put a node into the flow.

        Args:
            node: A decorated function, or a halt node.
            alias: Unique within the flow; by default the function's name.
            overrides: Options that hold in this flow, over those of the function.

        Raises:
            FlowRefused: DAG205 for an alias that is taken; and as `with_options`.
        """
        _must_be_a_node(node)
        name = node.ir.alias if alias is None else alias
        ir = with_options(node.ir, overrides, name)
        ir = msgspec.structs.replace(ir, identifier=self._identifier(ir.identifier, node.handler))
        return self._place(name, Placed(ir, node.ports, node.handler, None, node.handler.streams))

    def _identifier(self, identifier: str, handler: Handler) -> str:
        """Tell functions of one name apart, as those that are made in a function."""
        taken = {each.ir.identifier: each.handler for each in self._draft.nodes.values()}
        number, found = 1, identifier
        while taken.get(found, handler) is not handler:
            number += 1
            found = f"{identifier}#{number}"
        return found

    def _place(self, alias: str, placed: Placed) -> Handle[Any, Any]:
        if not _ALIAS.fullmatch(alias):
            raise FlowRefused(f"{alias!r} is no alias: a letter, then letters, digits, _ or -")
        ir = msgspec.structs.replace(placed.ir, id=node_id(self.id, alias), alias=alias)
        self._draft.place(alias, replace(placed, ir=ir))
        return Handle(alias, self._draft)

    def handle(self, alias: str) -> AnyHandle:
        """Return the node of that alias; raises DAG202 where there is none."""
        found: AnyHandle = Handle(alias, self._draft)
        self._draft.alias(found)
        return found

    @overload
    def connect(self, source: Handle[Any, T], target: Handle[T, Any]) -> None: ...
    @overload
    def connect(self, source: AnyHandle, target: AnyHandle, *, into: Literal[True]) -> None: ...
    def connect(self, source: AnyHandle, target: AnyHandle, *, into: bool = False) -> None:
        """Send what one node gives to another.

        Args:
            source: Gives.
            target: Takes.
            into: Convert by way of JSON: needed where the types differ.

        Raises:
            FlowRefused: DAG201 for types that do not fit, DAG202, DAG207 for a second edge.
        """
        draft = self._draft
        ends = draft.alias(source, "connect"), draft.alias(target, "connect")
        draft.connect(*ends, into=into)

    @overload
    def subflow(self, inner: Flow, alias: str | None = None, *, entry: Handle[In, Any],
                capture: Handle[Any, Out], **options: Unpack[NodeOptions]
                ) -> Handle[In, Out]: ...  # fmt: skip
    @overload
    def subflow(self, inner: Flow, alias: str | None = None, **options: Unpack[NodeOptions]
                ) -> AnyHandle: ...  # fmt: skip
    def subflow(
        self, inner: Flow, alias: str | None = None, *, entry: AnyHandle | None = None,
        capture: AnyHandle | None = None, **options: Unpack[NodeOptions],
    ) -> AnyHandle:  # fmt: skip
        """Put a whole flow into this one, as it is now.

        Args:
            inner: The flow.
            alias: Of the node; by default the inner flow's name.
            entry: Its trigger; by default its only way in.
            capture: The node of it whose answer is the node's; by default its only way out.
            options: Over what the flow inside amounts to.

        Raises:
            FlowRefused: DAG200 for a flow within itself; and for one that waits.
            FlowInvalid: The inner flow breaks rules.
            UnknownAlias: The inner flow has several ways in or out, and none was chosen.
        """
        name = alias or inner.name
        program = inner.program()
        if inner is self or self.id in flows_inside(program):
            raise FlowRefused(f"{name}: {self.name} would be within itself", code="DAG200")
        ends, nodes = inner.ends(entry, capture), inner._draft.nodes
        ports = Ports(nodes[ends.trigger].ports.takes, nodes[ends.capture].ports.gives)
        ir = subflow_node(program.flow, ends, name, default=entry is None and capture is None)
        ir = with_options(ir, options, name)
        streams = nodes[ends.capture].streams
        return self._place(name, Placed(ir, ports, None, narrowed(program, ends), streams))

    def ends(self, entry: AnyHandle | None = None, capture: AnyHandle | None = None) -> Ends:
        """Return the way in and out: those given, or the only ones.

        Raises:
            UnknownAlias: One is not given, and there is more than one.
            FlowRefused: DAG202.
        """
        if entry is not None and capture is not None:
            return Ends(self._draft.alias(entry, "entry"), self._draft.alias(capture, "capture"))
        # The executor is loaded by those who run flows; a document is made without it.
        from conductor_flows.execute.runner import default_ends

        default = default_ends(self.ir())
        if entry is not None:
            return Ends(self._draft.alias(entry, "entry"), default.capture)
        if capture is not None:
            return Ends(default.trigger, self._draft.alias(capture, "capture"))
        return default

    def entrypoint(
        self, trigger: AnyHandle, capture: AnyHandle, *, path: str | None = None,
        method: str | None = None, aliases: Sequence[str] = (), deadline_ms: int | None = None,
        respond: Literal["immediate", "on_last", "explicit", "stream"] | None = None,
    ) -> None:  # fmt: skip
        """Declare a way in; without any, the only trigger and the only sink are.

        Args:
            trigger: Where payloads go in.
            capture: Whose answer is the answer.
            path: Of the HTTP route.
            method: Of the HTTP route; POST by default.
            aliases: More paths.
            deadline_ms: Of a run.
            respond: When the answer is given.

        Raises:
            FlowRefused: DAG202, DAG207 for the same ends again; or the trigger is none.
        """
        start, end = self._draft.alias(trigger, "trigger"), self._draft.alias(capture, "capture")
        if self._draft.nodes[start].ir.kind is not NodeKind.TRIGGER:
            raise FlowRefused(f"entrypoint: {start} is no trigger")
        if any((e.trigger_alias, e.capture_alias, e.route_path) == (start, end, path)
               for e in self._entrypoints):  # fmt: skip
            raise FlowRefused(f"entrypoint {start} -> {end} is said twice", code="DAG207")
        if deadline_ms is not None:
            positive(deadline_ms, "entrypoint: `deadline_ms`")
        self._entrypoints.append(Entrypoint(
            trigger_alias=start, capture_alias=end, route_path=path, method=method,
            route_aliases=list(aliases), deadline_ms=deadline_ms, respond=respond,
        ))  # fmt: skip

    def ir(self) -> FlowIR:
        """Return the document, as the flow is now; it may break rules."""
        draft = self._draft
        return FlowIR(
            id=self.id, name=self.name, version=self.version, profile=self.profile,
            summary=self.summary, nodes=[each.ir for each in draft.nodes.values()],
            edges=list(draft.edges.values()), control_surfaces=list(draft.surfaces),
            policies=self._policies,
            metadata=Metadata(tags=list(self._tags), entrypoints=list(self._entrypoints)),
        )  # fmt: skip

    def program(self) -> Program:
        """Return what can be run, as the flow is now.

        Raises:
            FlowInvalid: It breaks rules; carries all diagnostics.
        """
        flow, placed = self.ir(), self._draft.nodes.values()
        found = validate(flow)
        if any(each.severity.fails for each in found):
            raise FlowInvalid(self.name, found)
        handlers = {each.ir.identifier: each.handler for each in placed if each.handler}
        inner = {each.ir.identifier: each.inner for each in placed if each.inner}
        return Program(flow, handlers, inner)

    async def run(
        self, payload: Any, *, services: Services | None = None, deadline_s: float | None = None
    ) -> Outcome:
        """Run a payload (JSON) through the flow, as it is now: for tests and scripts.

        Args:
            payload: Goes to the only entrypoint, or the only trigger.
            services: What nodes may use; nothing by default.
            deadline_s: Of the run.

        Raises:
            FlowInvalid: The flow breaks rules.
            FlowError: As `Runner.run`.
        """
        # The executor is loaded by those who run flows; a document is made without it.
        from conductor_flows.execute.runner import Invocation, Runner

        invocation = Invocation(payload, deadline_s=deadline_s)
        return await Runner(self.program(), services).run(invocation)


def _must_be_a_node(found: object) -> None:
    if not isinstance(found, Node):
        raise FlowRefused(f"{found!r} is no node; decorate it with @node or @trigger")
