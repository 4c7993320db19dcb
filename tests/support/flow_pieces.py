"""Flows put together from segments, with pure functions behind their nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conductor_flows.execute.planning.compiling import Ends, compile_plan
from conductor_flows.execute.planning.plan import Plan
from conductor_flows.ir.identity import flow_id, node_id
from conductor_flows.ir.model import Buffer, EdgeIR, FlowIR, NodeIR, Opaque, Policies, SurfaceIR
from conductor_flows.ir.rich import Schedule
from conductor_flows.ir.terms import (
    Delivery,
    Determinism,
    Effects,
    NodeKind,
    Ordering,
    Profile,
    SurfaceKind,
)

Function = Callable[[Any], Any]


def node_ir(alias: str, *, kind: NodeKind = NodeKind.INLINE, concurrency: int = 1,
            **more: Any) -> NodeIR:  # fmt: skip
    """One node; its handler has the node's name."""
    return NodeIR(
        id=node_id("f", alias), alias=alias, identifier=alias, name=alias, kind=kind,
        in_schema=Opaque(), out_schema=Opaque(), schedule=Schedule(concurrency=concurrency),
        **({"effects": Effects.PURE, "determinism": Determinism.STRICT} | more),
    )  # fmt: skip


def edge_ir(source: str, to: str, **more: Any) -> EdgeIR:
    """One edge of capacity 2."""
    return EdgeIR(
        source=source, to=to, delivery=Delivery.AT_LEAST_ONCE,
        **({"ordering": Ordering.ORDERED, "buffer": Buffer(max_items=2)} | more),
    )  # fmt: skip


def flow_ir(nodes: list[NodeIR], edges: list[EdgeIR], surfaces: list[SurfaceIR] | None = None,
            policies: Policies | None = None, name: str = "pieces") -> FlowIR:  # fmt: skip
    """One flow."""
    return FlowIR(
        id=flow_id(name, "1.0.0"), name=name, version="1.0.0", profile=Profile.DEV, nodes=nodes,
        edges=edges, control_surfaces=surfaces or [], policies=policies or Policies(),
    )  # fmt: skip


def number_of(value: Any) -> int:
    """Whatever it is, a number that depends on all of it, but not on the order of lists."""
    if isinstance(value, dict):
        return sum(len(key) * number_of(each) for key, each in value.items()) % 9973
    if isinstance(value, list):
        return sum(number_of(each) ** 2 for each in value) % 9973
    return int(value) if isinstance(value, int) else 7


def step(value: Any) -> Any:
    number = number_of(value)
    return {"n": number * 3 % 101 + 1, "t": number * 10}


def fan(value: Any) -> Any:
    number = number_of(value)
    return {"n": number, "t": number, "items": [{"n": number + each} for each in range(number % 4)]}


def go_round(value: Any) -> Any:
    number = value["n"]
    return {"n": number // 2, "t": number, "more": number > 3}


class FlowPieces:
    """Segments one after the other, from a trigger to a sink."""

    def __init__(self, segments: list[str]) -> None:
        self.nodes = [node_ir("trigger", kind=NodeKind.TRIGGER)]
        self.edges: list[EdgeIR] = []
        self.surfaces: list[SurfaceIR] = []
        self.functions: dict[str, Function] = {"trigger": step}
        self._last = "trigger"
        for number, segment in enumerate(segments):
            getattr(self, f"_{segment}")(f"s{number}")
        self._add("sink", step)

    def plan(self) -> tuple[Plan, dict[int, Function]]:
        plan = compile_plan(flow_ir(self.nodes, self.edges, self.surfaces), Ends("trigger", "sink"))
        return plan, {plan.by_alias[alias]: each for alias, each in self.functions.items()}

    def _node(self, alias: str, function: Function, concurrency: int = 1) -> str:
        self.nodes.append(node_ir(alias, concurrency=concurrency))
        self.functions[alias] = function
        return alias

    def _add(self, alias: str, function: Function, **edge: Any) -> str:
        self._node(alias, function)
        self.edges.append(edge_ir(self._last, alias, **edge))
        self._last = alias
        return alias

    def _surface(self, kind: SurfaceKind, targets: list[str], **config: Any) -> None:
        self.surfaces.append(SurfaceIR(
            id=f"{kind}:{targets[0]}:{len(self.surfaces)}", kind=kind, targets=targets,
            config={"v": 1, **config},
        ))  # fmt: skip

    def _step(self, name: str) -> None:
        self._add(name, step, timeout_ms=3_600_000)

    def _wide(self, name: str) -> None:
        self._add(f"{name}a", step)
        self._node(f"{name}b", step, concurrency=3)
        self.edges.append(edge_ir(
            f"{name}a", f"{name}b", ordering=Ordering.UNORDERED, partition_key="/n"
        ))  # fmt: skip
        self._last = f"{name}b"

    def _rated(self, name: str) -> None:
        self._add(name, step)
        self._surface(SurfaceKind.RATE_LIMIT, [name], target=name, qps=2, burst=1)

    def _join(self, name: str, kind: SurfaceKind = SurfaceKind.JOIN) -> None:
        source = self._add(f"{name}a", step)
        sides = [self._node(f"{name}{side}", step) for side in "bc"]
        target = self._node(f"{name}d", step)
        self.edges += [edge_ir(source, side) for side in sides]
        self.edges += [edge_ir(side, target) for side in sides]
        self._surface(kind, [*sides, target], sources=sides)
        self._last = target

    def _zip(self, name: str) -> None:
        self._join(name, SurfaceKind.ZIP)

    def _for_each(self, name: str) -> None:
        self._add(f"{name}a", fan)
        entry = self._add(f"{name}b", step)
        leave = self._add(f"{name}c", step)
        collect = self._add(f"{name}d", step)
        self._surface(
            SurfaceKind.FOR_EACH, [f"{name}a", entry], source=f"{name}a", body_entry=entry,
            body_exit=leave, collect=collect, items_pointer="/items",
        )  # fmt: skip

    def _nested(self, name: str) -> None:
        source, inner = self._add(f"{name}a", fan), self._add(f"{name}b", fan)
        leaf, gathered = self._add(f"{name}c", step), self._add(f"{name}d", step)
        collect = self._add(f"{name}e", step)
        self._surface(
            SurfaceKind.FOR_EACH, [inner, leaf], source=inner, body_entry=leaf, body_exit=leaf,
            collect=gathered, items_pointer="/items",
        )  # fmt: skip
        self._surface(
            SurfaceKind.FOR_EACH, [source, inner], source=source, body_entry=inner,
            body_exit=gathered, collect=collect, items_pointer="/items", concurrency=2,
        )  # fmt: skip

    def _loop(self, name: str) -> None:
        source, entry = self._add(f"{name}a", step), self._add(f"{name}b", go_round)
        leave = self._add(f"{name}c", go_round)
        self._add(f"{name}d", step)
        self._surface(
            SurfaceKind.LOOP, [source, entry, leave], source=source, body_entry=entry,
            body_exit=leave, condition_pointer="/more", max_iterations=1000,
        )  # fmt: skip

    def _window(self, name: str) -> None:
        source, target = self._add(f"{name}a", step), self._add(f"{name}b", step)
        self._surface(
            SurfaceKind.WINDOW, [source, target], event_time_pointer="/t", size_ms=100,
            allowed_lateness_ms=10**9,
        )  # fmt: skip
