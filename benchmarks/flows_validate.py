"""How long it takes to judge a flow: 10,000 and 100,000 nodes.

Promise: prints wall-clock seconds and microseconds for each node of a flow that uses every part of
a document, and how the two sizes compare. Refusal: nothing is asserted; tests hold the growth.

Run it: python benchmarks/flows_validate.py [NODES …]
"""

from __future__ import annotations

import sys
import time

from conductor_flows.ir.identity import flow_id, node_id
from conductor_flows.ir.model import (
    Buffer,
    EdgeIR,
    Entrypoint,
    FlowIR,
    Idempotency,
    Metadata,
    Named,
    NodeIR,
    SurfaceIR,
)
from conductor_flows.ir.read import read_flow
from conductor_flows.ir.small import emit
from conductor_flows.ir.terms import (
    Delivery,
    Determinism,
    Effects,
    NodeKind,
    Ordering,
    Profile,
    SurfaceKind,
)
from conductor_flows.validate.run import validate

SIZES = (10_000, 100_000)
REPEATS = 3


def flow_of(count: int) -> FlowIR:
    """Return a valid flow: a trigger, then diamonds in a row, each chosen by an `if`."""
    nodes = [_node("n0", NodeKind.TRIGGER)]
    nodes += [_node(f"n{number}", NodeKind.INLINE) for number in range(1, count)]
    edges: list[EdgeIR] = []
    surfaces: list[SurfaceIR] = []
    for number in range(0, count - 3, 3):
        source, left, right, join = (f"n{number + step}" for step in range(4))
        edges += [_edge(source, left), _edge(source, right), _edge(left, join), _edge(right, join)]
        surfaces.append(SurfaceIR(
            id=f"if:{source}:{number // 3}", kind=SurfaceKind.IF, targets=[source, left, right],
            config={"v": 1, "source": source, "selector_pointer": "/left", "then": left,
                    "else": right},
        ))  # fmt: skip
    last = edges[-1].to
    return FlowIR(
        id=flow_id("large", "1.0.0"), name="large", version="1.0.0", profile=Profile.WEB,
        summary="Diamonds", nodes=nodes, edges=edges, control_surfaces=surfaces,
        metadata=Metadata(entrypoints=[
            Entrypoint(trigger_alias="n0", capture_alias=last, route_path="/large", method="POST")
        ]),
    )  # fmt: skip


def _node(alias: str, kind: NodeKind) -> NodeIR:
    return NodeIR(
        id=node_id("large", alias), alias=alias, identifier=f"large::{alias}", name=alias,
        kind=kind, summary="Does a part", in_schema=Named(name="Item"),
        out_schema=Named(name="Item"), effects=Effects.EFFECTFUL,
        determinism=Determinism.BEST_EFFORT, idempotency=Idempotency(key="id", ttl_ms=300_000),
        effect_hints=["resource::kv::write"], determinism_hints=["resource::kv"],
    )  # fmt: skip


def _edge(source: str, to: str) -> EdgeIR:
    return EdgeIR(source=source, to=to, delivery=Delivery.AT_LEAST_ONCE,
                  ordering=Ordering.ORDERED, buffer=Buffer(max_items=8))  # fmt: skip


def main(sizes: tuple[int, ...]) -> None:
    """Print one line for each size."""
    for size in sizes:
        flow = flow_of(size)
        best = min(_seconds(flow) for _ in range(REPEATS))
        document = emit(flow, pretty=False)
        begin = time.perf_counter()
        read_flow(document)
        reading = time.perf_counter() - begin
        print(f"{size:>7} nodes, {len(flow.edges):>7} edges: validate {best:7.3f} s "
              f"({best / size * 1e6:5.2f} µs a node), read {reading:7.3f} s "
              f"({len(document) / 1e6:.1f} MB), {len(validate(flow))} diagnostics")  # fmt: skip


def _seconds(flow: FlowIR) -> float:
    begin = time.perf_counter()
    validate(flow)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(tuple(int(each) for each in sys.argv[1:]) or SIZES)
