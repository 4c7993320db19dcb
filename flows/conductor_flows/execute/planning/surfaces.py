"""Control surfaces, put where they act in a plan.

Promise: one function for each kind, and a configuration that cannot be used is refused by name.
Refusal: no rule about good style; the validator has those.

Configurations all carry `v: 1`; docs/reference/flow-ir.md tables them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, cast

from conductor_flows.execute.errors import IfInvalid, SurfaceInvalid
from conductor_flows.execute.planning.plan import (
    Branch,
    EdgePlan,
    Expand,
    Gather,
    Loop,
    NodePlan,
    OnFailure,
    Plan,
    Rate,
    Retry,
    Window,
)
from conductor_flows.execute.planning.pointers import Getter, getter
from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.loops import body_exit
from conductor_flows.ir.model import SurfaceIR
from conductor_flows.ir.terms import SurfaceKind

SERVED: Final = frozenset(SurfaceKind)
"""Every surface: this host serves them all."""
NO_LIMIT: Final = 1 << 30


def apply(plan: Plan, surface: SurfaceIR) -> Plan:
    """Put one surface into a plan.

    Raises:
        SurfaceInvalid: Its configuration cannot be used; IfInvalid for an `if`.
    """
    return _APPLY[surface.kind](plan, _Config(plan, surface))


@dataclass(frozen=True, slots=True)
class _Config:
    """A configuration that is read field by field."""

    plan: Plan
    surface: SurfaceIR

    @property
    def values(self) -> Mapping[str, Any]:
        found = as_object(self.surface.config)
        if found is None:
            self.refuse("the configuration is no object")
        return found

    def refuse(self, detail: str) -> NoReturn:
        kind = IfInvalid if self.surface.kind is SurfaceKind.IF else SurfaceInvalid
        data = {"id": self.surface.id, "kind": str(self.surface.kind)}
        raise kind(f"{self.surface.id}: {detail}", data=data)

    def node(self, key: str) -> int:
        alias = self.values.get(key)
        return self.named(alias, key)

    def named(self, alias: object, key: str) -> int:
        if not isinstance(alias, str) or alias not in self.plan.by_alias:
            self.refuse(f"`{key}` names no node: {alias!r}")
        return self.plan.by_alias[alias]

    def nodes(self, found: object, key: str) -> list[int]:
        items = as_array(found)
        if not items:
            self.refuse(f"`{key}` is no list of nodes")
        return [self.named(item, key) for item in items]

    def pointer(self, key: str) -> Getter:
        text = self.values.get(key)
        if not isinstance(text, str):
            self.refuse(f"`{key}` is no JSON Pointer")
        try:
            return getter(text)
        except ValueError:
            self.refuse(f"`{key}` is no JSON Pointer: {text!r}")

    def number(self, key: str, default: float | None = None) -> float:
        found = self.values.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
            self.refuse(f"`{key}` is no number above 0")
        return found

    def edge(self, source: int, to: int) -> int:
        found = edge_between(self.plan, source, to)
        if found is None:
            nodes = self.plan.nodes
            self.refuse(f"there is no edge {nodes[source].alias} -> {nodes[to].alias}")
        return found


def edge_between(plan: Plan, source: int, to: int) -> int | None:
    """Return the edge between two nodes."""
    return next((e for e in plan.nodes[source].outputs if plan.edges[e].to == to), None)


def _change(plan: Plan, node: int, **changes: Any) -> Plan:
    nodes: list[NodePlan] = list(plan.nodes)
    nodes[node] = replace(nodes[node], **changes)
    return replace(plan, nodes=tuple(nodes))


def _change_edge(plan: Plan, edge: int, **changes: Any) -> Plan:
    edges: list[EdgePlan] = list(plan.edges)
    edges[edge] = replace(edges[edge], **changes)
    return replace(plan, edges=tuple(edges))


def _if(plan: Plan, config: _Config) -> Plan:
    source = config.node("source")
    cases = {"true": config.edge(source, config.node("then")),
             "false": config.edge(source, config.node("else"))}  # fmt: skip
    return _branch(plan, config, source, Branch(
        "if", config.pointer("selector_pointer"), cases, None, frozenset(cases.values())
    ))  # fmt: skip


def _switch(plan: Plan, config: _Config) -> Plan:
    source = config.node("source")
    found = as_object(config.values.get("cases"))
    if not found:
        config.refuse("`cases` is no object with at least one case")
    cases = {case: config.edge(source, config.named(alias, f"cases/{case}"))
             for case, alias in found.items()}  # fmt: skip
    default = None
    if config.values.get("default") is not None:
        default = config.edge(source, config.node("default"))
    taken = list(cases.values())
    if default is not None:
        taken.append(default)
    return _branch(plan, config, source, Branch(
        "switch", config.pointer("selector_pointer"), cases, default, frozenset(taken)
    ))  # fmt: skip


def _branch(plan: Plan, config: _Config, source: int, branch: Branch) -> Plan:
    if plan.nodes[source].branch is not None:
        config.refuse(f"{plan.nodes[source].alias} has a second routing surface")
    return _change(plan, source, branch=branch)


def _for_each(plan: Plan, config: _Config) -> Plan:
    source = config.node("source")
    edge = config.edge(source, config.node("body_entry"))
    expand = Expand(config.pointer("items_pointer"), edge)
    if config.values.get("collect") is not None:
        leave = config.node("body_exit")
        collect = config.edge(leave, config.node("collect"))
        expand = replace(expand, exit=leave, collect=collect)
        plan = _change(plan, leave, collects=source)
    if config.values.get("concurrency") is not None:
        entry = plan.edges[edge].to
        plan = _change(plan, entry, concurrency=int(config.number("concurrency")))
        plan = _change_edge(plan, edge, ordered=False)
    return _change(plan, source, expand=expand)


def _loop(plan: Plan, config: _Config) -> Plan:
    source, entry = config.node("source"), config.node("body_entry")
    names = [node.alias for node in plan.nodes]
    pairs = {(names[edge.source], names[edge.to]) for edge in plan.edges if edge.source >= 0}
    found = body_exit(config.values, config.surface.targets, pairs)
    if found is None:
        config.refuse("`body_exit` is missing, and no one edge goes back")
    leave = config.named(found, "body_exit")
    config.edge(source, entry)
    plan, back = _back(plan, leave, entry, source)
    loop = Loop(
        config.pointer("condition_pointer"), back, int(config.number("max_iterations"))
    )  # fmt: skip
    # What goes round comes before what enters: that bounds what is inside.
    head = plan.edges[back].to
    others = (edge for edge in plan.nodes[head].inputs if edge != back)
    plan = _change(plan, head, inputs=(back, *others), first_first=True)
    return _change(plan, leave, loop=loop)


def _back(plan: Plan, leave: int, entry: int, source: int) -> tuple[Plan, int]:
    """Find the edge that goes back, or make one; it has room for everything in the body."""
    for head in (entry, source):
        found = edge_between(plan, leave, head)
        if found is not None and leave != source:
            return _change_edge(plan, found, capacity=NO_LIMIT), found
    back = EdgePlan(
        len(plan.edges), leave, entry, NO_LIMIT, name=f"loop->{plan.nodes[entry].alias}"
    )
    plan = replace(plan, edges=(*plan.edges, back))
    return _change(plan, leave, outputs=(*plan.nodes[leave].outputs, back.index)), back.index


def _window(plan: Plan, config: _Config) -> Plan:
    if len(config.surface.targets) < 2:  # noqa: PLR2004  # a source and a target
        config.refuse("`targets` names no source and no target")
    source, target = (config.named(alias, "targets") for alias in config.surface.targets[:2])
    lateness = config.values.get("allowed_lateness_ms", 0)
    late = None
    if config.values.get("late") is not None:
        late = config.edge(source, config.node("late"))
    window = Window(
        config.pointer("event_time_pointer"), int(config.number("size_ms")),
        int(lateness) if isinstance(lateness, int) else 0, late,
    )  # fmt: skip
    edge = config.edge(source, target)
    return _change(plan, target, window={**plan.nodes[target].window, edge: window})


def _partition(plan: Plan, config: _Config) -> Plan:
    ends = as_object(config.values.get("edge")) or {}
    edge = config.edge(config.named(ends.get("from"), "edge/from"),
                       config.named(ends.get("to"), "edge/to"))  # fmt: skip
    key = config.values.get("key")
    if not isinstance(key, str) or not key:
        config.refuse("`key` is empty")
    if plan.edges[edge].partition is not None:
        return plan  # the edge itself says how, and more exactly
    pointer = key if key.startswith("/") else "/" + key.replace(".", "/")
    return _change_edge(plan, edge, partition=getter(pointer))


def _timeout(plan: Plan, config: _Config) -> Plan:
    scope = as_object(config.values.get("scope")) or {}
    seconds = config.number("duration_ms") / 1000
    behaviour = config.values.get("behaviour", "cancel")
    for node in config.nodes(scope.get("nodes"), "scope/nodes"):
        changes: dict[str, Any] = {"timeout_s": seconds}
        if behaviour == "dead_letter":
            changes["on_failure"] = "dead_letter"
        elif behaviour == "retry":
            changes["retry"] = plan.nodes[node].retry or Retry(3, 0.2, 2.0, 30.0)
        elif behaviour != "cancel":
            config.refuse(f"`behaviour` is unknown: {behaviour!r}")
        plan = _change(plan, node, **changes)
    return plan


def _rate_limit(plan: Plan, config: _Config) -> Plan:
    rate = Rate(config.number("qps"), max(1, int(config.number("burst"))))
    return _change(plan, config.node("target"), rate=rate)


def _error_handler(plan: Plan, config: _Config) -> Plan:
    scope = as_object(config.values.get("scope")) or {}
    strategy = config.values.get("strategy")
    if strategy not in {"retry", "fail", "continue", "dead_letter"}:
        config.refuse(f"`strategy` is unknown: {strategy!r}")
    for node in config.nodes(scope.get("nodes"), "scope/nodes"):
        if strategy == "retry":
            retry = Retry(1 + int(config.number("max_retries", 2)),
                          config.number("backoff_ms", 200) / 1000, 2.0, 30.0)  # fmt: skip
            plan = _change(plan, node, retry=retry)
        else:
            plan = _change(plan, node, on_failure=cast("OnFailure", strategy), retry=None)
    return plan


def _gather(plan: Plan, config: _Config) -> Plan:
    sources = config.nodes(config.values.get("sources"), "sources")
    target = config.named(config.surface.targets[-1], "targets")
    key = config.pointer("key_pointer") if "key_pointer" in config.values else None
    gather = Gather(
        "join" if config.surface.kind is SurfaceKind.JOIN else "zip",
        tuple(config.edge(source, target) for source in sources),
        tuple(plan.nodes[source].alias for source in sources), key,
        config.number("timeout_ms") / 1000 if config.values.get("timeout_ms") is not None else None,
    )  # fmt: skip
    return _change(plan, target, gather=gather)


def _as_it_is(plan: Plan, config: _Config) -> Plan:
    """A merge is what edges do anyway: each item comes by itself."""
    del config
    return plan


_APPLY: Final[Mapping[SurfaceKind, Callable[[Plan, _Config], Plan]]] = {
    SurfaceKind.IF: _if, SurfaceKind.SWITCH: _switch, SurfaceKind.FOR_EACH: _for_each,
    SurfaceKind.LOOP: _loop, SurfaceKind.WINDOW: _window, SurfaceKind.PARTITION: _partition,
    SurfaceKind.TIMEOUT: _timeout, SurfaceKind.RATE_LIMIT: _rate_limit,
    SurfaceKind.ERROR_HANDLER: _error_handler, SurfaceKind.JOIN: _gather,
    SurfaceKind.ZIP: _gather, SurfaceKind.MERGE: _as_it_is,
}  # fmt: skip
