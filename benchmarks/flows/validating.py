"""How long it takes to judge and to read a flow, from 1,000 to 100,000 nodes.

Promise: the flow uses every part of a document and breaks no rule; building it is not timed.
Refusal: nothing is asserted about time; tests hold the growth.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.flows.answering import answer
from benchmarks.flows.session import Session, answering
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

SIZES = (1_000, 10_000, 100_000)
QUICK_SIZES = (100, 1_000)
ROUNDS = 3


def measure(session: Session) -> None:
    """Ask for every size, round by round."""
    sizes, rounds = (QUICK_SIZES, 1) if session.quick else (SIZES, ROUNDS)
    with answering(session, "benchmarks.flows.validating") as process:
        for number in range(rounds):
            session.part(f"validation, round {number + 1} of {rounds}")
            for size in sizes:
                told = process.ask("validate", size)
                session.add(f"validate_{size}", "s", told["took_s"])
                session.add(f"validate_node_{size}", "µs a node", told["cpu_s"] / size * 1e6)
        session.add("read_largest", "s", process.ask("read", sizes[-1])["took_s"])


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


async def judge(nodes: int) -> dict[str, Any]:
    """Validate a flow of that many nodes."""
    flow = flow_of(nodes)
    cpu, begin = time.process_time(), time.perf_counter()
    found = validate(flow)
    took_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    if any(each.severity.fails for each in found):
        raise SystemExit(f"the flow is not valid: {found[0]}")
    return {"took_s": took_s, "cpu_s": cpu_s}


async def read(nodes: int) -> dict[str, Any]:
    """Read the document of such a flow."""
    document = emit(flow_of(nodes), pretty=False)
    begin = time.perf_counter()
    read_flow(document)
    return {"took_s": time.perf_counter() - begin, "document_mb": len(document) / 1e6}


if __name__ == "__main__":
    asyncio.run(answer({"validate": judge, "read": read}, warm=10))
