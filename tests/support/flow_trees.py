"""Flows of surfaces within surfaces, each with a plain function that says what it has to give.

A tree is a list of segments; a segment is a word, or a word with a tree inside it. `Tree` makes a
program of one; `expected` runs the same tree one step after the other, without any of the engine.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.context import NodeContext
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.program import Handler, Program
from conductor_flows.ir.model import DurabilityPolicy, NodeDurability, Policies
from conductor_flows.ir.terms import DurabilityMode, NodeKind, SurfaceKind
from flow_pieces import EdgeIR, NodeIR, SurfaceIR, edge_ir, fan, flow_ir, node_ir, number_of, step

ANY = port_of(Any)
LEAVES = ("step", "flaky", "late", "join", "switch", "wide", "drops")
HOLDERS = ("for_each", "loop", "subflow")
Segment = str | tuple[str, list[Any]]
ROUNDS = 4


class Lost(Exception):
    """Nothing is left of an item."""


class TooMany(Exception):
    """A loop would go round more often than it may."""


def decide(value: Any) -> Any:
    """Say whether a loop goes on."""
    number = number_of(value)
    return {"n": number, "t": 0, "more": number % 4 == 0}


def choose(value: Any) -> Any:
    number = number_of(value)
    return {"n": number, "t": 0, "way": "left" if number % 2 else "right"}


def left(value: Any) -> Any:
    return {"n": number_of(value) + 1, "t": 1}


def right(value: Any) -> Any:
    return {"n": number_of(value) + 2, "t": 2}


def refuses(value: Any) -> bool:
    return number_of(value) % 3 == 0


def expected(tree: list[Segment], value: Any) -> Any:
    """Return what a tree gives for a value; raises `Lost` and `TooMany`."""
    for segment in tree:
        value = _expected(segment, value)
    return value


def _expected(segment: Segment, value: Any) -> Any:
    match segment:
        case ("for_each", body):
            found: list[Any] = []
            for each in fan(value)["items"]:
                try:
                    found.append(expected(body, each))
                except Lost:
                    continue
            return step(found)
        case ("loop", body):
            value = step(value)
            for _ in range(ROUNDS):
                value = decide(expected(body, value))
                if not value["more"]:
                    return step(value)
            raise TooMany
        case ("subflow", body):
            return step(expected(body, step(value)))
        case "join":
            return step({"l": left(step(value)), "r": right(step(value))})
        case "switch":
            chosen = choose(value)
            return step(left(chosen) if chosen["way"] == "left" else right(chosen))
        case "drops":
            if refuses(value):
                raise Lost
            return step(value)
        case _:
            return step(value)


class Tree:
    """The program of a tree; functions take a random time, and fail where they are to."""

    def __init__(
        self, tree: list[Segment], seed: int, *, mode: DurabilityMode = DurabilityMode.OFF,
        interval_ms: int | None = None,
    ) -> None:  # fmt: skip
        self._chance = random.Random(seed)
        self._made = 0
        self._nodes: list[NodeIR] = []
        self._edges: list[EdgeIR] = []
        self._surfaces: list[SurfaceIR] = []
        self._handlers: dict[str, Handler] = {}
        self._subflows: dict[str, Program] = {}
        self._last = self._node("t", step, kind=NodeKind.TRIGGER)
        self._grow(tree)
        self._add("end", step)
        policy = DurabilityPolicy(mode=mode, checkpoint_interval=interval_ms)
        flow = flow_ir(self._nodes, self._edges, self._surfaces, Policies(durability=policy))
        self.program = Program(flow, self._handlers, self._subflows)

    def _grow(self, tree: list[Segment]) -> None:
        for segment in tree:
            self._made += 1
            name = f"s{self._made}"
            if isinstance(segment, str):
                getattr(self, f"_{segment}")(name)
            else:
                getattr(self, f"_{segment[0]}")(name, segment[1])

    # Nodes

    def _node(self, alias: str, function: Any, **more: Any) -> str:
        self._nodes.append(node_ir(alias, **more))
        self._handlers[alias] = Handler(self._slow(function), ANY, ANY)
        return alias

    def _add(self, alias: str, function: Any, **more: Any) -> str:
        self._node(alias, function, **more)
        self._edges.append(edge_ir(self._last, alias))
        self._last = alias
        return alias

    def _slow(self, function: Any) -> Any:
        async def call(value: Any) -> Any:
            if pause := self._chance.choice([0, 0, 0, 1, 5]):
                await asyncio.sleep(pause / 100)
            return function(value)

        return call

    def _surface(self, kind: SurfaceKind, targets: list[str], **config: Any) -> None:
        self._surfaces.append(SurfaceIR(
            id=f"{kind}:{targets[0]}:{len(self._surfaces)}", kind=kind, targets=targets,
            config={"v": 1} | config,
        ))  # fmt: skip

    # Segments

    def _step(self, name: str) -> None:
        self._add(name, step)

    def _wide(self, name: str) -> None:
        self._add(name, step, concurrency=3)

    def _flaky(self, name: str) -> None:
        async def fails_twice(value: Any, context: NodeContext) -> Any:
            if context.attempt < 3:
                raise ValueError(name)
            return step(value)

        self._add(name, step)
        self._handlers[name] = Handler(fails_twice, ANY, ANY, takes_context=True)
        self._surface(SurfaceKind.ERROR_HANDLER, [name], scope={"nodes": [name]},
                      strategy="retry", max_retries=2, backoff_ms=10)  # fmt: skip

    def _late(self, name: str) -> None:
        """The first attempt hangs until its time is up, and is repeated."""

        async def hangs(value: Any, context: NodeContext) -> Any:
            if context.attempt < 2:
                await asyncio.Event().wait()
            return step(value)

        self._add(name, step)
        self._handlers[name] = Handler(hangs, ANY, ANY, takes_context=True)
        self._surface(SurfaceKind.TIMEOUT, [name], scope={"nodes": [name]}, duration_ms=50,
                      behaviour="retry")  # fmt: skip

    def _drops(self, name: str) -> None:
        def may_fail(value: Any) -> Any:
            if refuses(value):
                raise ValueError(name)
            return step(value)

        self._add(name, may_fail)
        self._surface(SurfaceKind.ERROR_HANDLER, [name], scope={"nodes": [name]},
                      strategy="continue")  # fmt: skip

    def _halt(self, name: str) -> None:
        """Waits for whoever gives `step` of what is shown."""
        self._add(
            name, lambda value: Halt("callback", value), durability=NodeDurability(halts=True)
        )

    def _join(self, name: str) -> None:
        source = self._add(f"{name}a", step)
        sides = [self._node(f"{name}l", left), self._node(f"{name}r", right)]
        target = self._node(
            f"{name}j", lambda value: step({key[-1]: each for key, each in value.items()})
        )
        self._edges += [edge_ir(source, side) for side in sides]
        self._edges += [edge_ir(side, target) for side in sides]
        self._surface(SurfaceKind.JOIN, [*sides, target], sources=sides)
        self._last = target

    def _switch(self, name: str) -> None:
        source = self._add(f"{name}a", choose)
        sides = {"left": self._node(f"{name}l", left), "right": self._node(f"{name}r", right)}
        target = self._node(f"{name}m", step)
        self._edges += [edge_ir(source, side) for side in sides.values()]
        self._edges += [edge_ir(side, target) for side in sides.values()]
        self._surface(SurfaceKind.SWITCH, [source, *sides.values()], source=source,
                      selector_pointer="/way", cases=sides)  # fmt: skip
        self._last = target

    def _for_each(self, name: str, body: list[Segment]) -> None:
        source = self._add(f"{name}a", fan)
        entry = self._add(f"{name}b", lambda value: value)
        self._grow(body)
        leave = self._add(f"{name}c", lambda value: value)
        collect = self._add(f"{name}d", step)
        config: dict[str, Any] = {}
        if self._chance.random() < 0.5:
            config["concurrency"] = 2
        self._surface(
            SurfaceKind.FOR_EACH, [source, entry], source=source, body_entry=entry,
            body_exit=leave, collect=collect, items_pointer="/items", **config,
        )  # fmt: skip

    def _loop(self, name: str, body: list[Segment]) -> None:
        source = self._add(f"{name}a", step)
        entry = self._add(f"{name}b", lambda value: value)
        self._grow(body)
        leave = self._add(f"{name}c", decide)
        self._add(f"{name}d", step)
        self._surface(
            SurfaceKind.LOOP, [source, entry, leave], source=source, body_entry=entry,
            body_exit=leave, condition_pointer="/more", max_iterations=ROUNDS,
        )  # fmt: skip

    def _subflow(self, name: str, body: list[Segment]) -> None:
        inner = Tree(body, self._chance.randrange(1000))
        self._add(name, step, kind=NodeKind.SUBFLOW)
        del self._handlers[name]
        self._subflows[name] = inner.program
