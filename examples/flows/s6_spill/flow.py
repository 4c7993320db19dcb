"""Items that are too big to wait in memory: they wait in a store instead."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from conductor_flows import Flow, NodeContext, node, trigger
from conductor_flows.ir.model import Idempotency
from conductor_flows.ir.terms import IdempotencyScope

BLOB_WRITE = "resource::blob::write"
ACK_DELAY_S = 0.12


@dataclass(frozen=True)
class Batch:
    """Some lines that belong together."""

    batch_id: str
    lines: list[str]


@dataclass(frozen=True)
class Prepared:
    """A batch as it is kept."""

    batch_id: str
    text: str


@dataclass(frozen=True)
class Stored:
    """Where a batch is."""

    batch_id: str
    size: int


@trigger(summary="Take a batch")
async def take(batch: Batch) -> Batch:
    """Take what was sent, as it is."""
    return batch


@node(determinism="strict", summary="Make one text of the lines")
async def prepare(batch: Batch) -> Prepared:
    """Number the lines."""
    numbered = (f"{number:>4} {line}" for number, line in enumerate(batch.lines, start=1))
    return Prepared(batch.batch_id, "\n".join(numbered))


@node(
    kind="activity", effects="effectful", uses=[BLOB_WRITE], summary="Keep the text",
    idempotency=Idempotency(key="batch_id", scope=IdempotencyScope.NODE, ttl_ms=300_000),
)  # fmt: skip
async def store(prepared: Prepared, context: NodeContext) -> Stored:
    """Put the text under the batch's id: a repetition puts the same in the same place."""
    data = msgspec.json.encode(prepared)
    await context.use(BLOB_WRITE).put(f"batches/{prepared.batch_id}", data)
    return Stored(prepared.batch_id, len(data))


@node(summary="Confirm, after a while")
async def ack(stored: Stored) -> Stored:
    """Take as long as a slow receiver would."""
    await asyncio.sleep(ACK_DELAY_S)
    return stored


@node(determinism="strict", summary="Answer")
async def respond(stored: Stored) -> Stored:
    """Answer with what was kept."""
    return stored


flow = Flow("s6_spill_flow", "1.0.0", profile="web", summary="Big items wait outside of memory")
start = flow.add(take, "trigger")
first, second, third = flow.add(prepare), flow.add(store), flow.add(ack)
end = flow.add(respond, "responder")
flow.connect(start, first)
flow.connect(first, second)
flow.connect(second, third)
flow.connect(third, end)
flow.buffer(first, second, max_items=1)
flow.spill(first, second, tier="local", threshold_bytes=512)
flow.entrypoint(start, end, path="/spill", method="POST", deadline_ms=2000)
