"""Items that leave memory while they wait, and come back as they went."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from conductor_flows.capabilities.rows import MemoryRows
from conductor_flows.capabilities.stores import RowBlobs
from conductor_flows.durable.resume import resume
from conductor_flows.durable.services import in_memory
from conductor_flows.execute.errors import NodeFailed, SpillUnsupported
from conductor_flows.execute.notices import Notice
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import Buffer, DurabilityPolicy, Policies, SurfaceIR
from conductor_flows.ir.terms import DurabilityMode, NodeKind, SurfaceKind
from flow_pieces import edge_ir, flow_ir, node_ir


class AnyPort:
    name = None
    kind = None

    def decode(self, value: Any) -> Any:
        return value

    def encode(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


class Blobs(RowBlobs):
    """Counts, and may spoil what it gives."""

    def __init__(self, spoil: bool = False) -> None:
        super().__init__(MemoryRows())
        self.kept: set[str] = set()
        self.most = 0
        self.spoil = spoil

    async def put(self, key: str, data: bytes) -> None:
        self.kept.add(key)
        self.most = max(self.most, len(self.kept))
        await super().put(key, data)

    async def get(self, key: str) -> bytes | None:
        found = await super().get(key)
        return found if found is None or not self.spoil else found.replace(b"1", b"2")

    async def delete(self, key: str) -> None:
        self.kept.discard(key)
        await super().delete(key)


class SlowBlobs(Blobs):
    """Lets others run while it keeps something, and counts what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Counter[bytes] = Counter()

    async def put(self, key: str, data: bytes) -> None:
        self.given[data] += 1
        for _ in range(5):
            await asyncio.sleep(0)
        await super().put(key, data)


class Numbers:
    """A recorder that keeps counts."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def count(self, name: str, labels: Mapping[str, str], by: int = 1) -> None:
        key = (name, labels.get("code") or labels.get("error_kind") or "")
        self.counts[key] = self.counts.get(key, 0) + by

    def level(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Not looked at."""

    def observe(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Not looked at."""


def program(buffer: Buffer, seen: list[Any], *, fails: list[bool] | None = None,
            mode: DurabilityMode = DurabilityMode.PARTIAL) -> Program:  # fmt: skip
    """A fan of items over an edge that spills, one after the other."""

    async def fan(value: Any) -> Any:
        return {"items": [{"n": number} for number in range(value["n"])]}

    async def take(value: Any) -> Any:
        if fails and fails.pop():
            raise LookupError
        seen.append(value)
        return value

    async def same(value: Any) -> Any:
        return value

    functions = {"trigger": fan, "first": same, "take": take, "collect": same}
    nodes = [node_ir(name, kind=NodeKind.TRIGGER if name == "trigger" else NodeKind.INLINE)
             for name in functions]  # fmt: skip
    edges = [edge_ir("trigger", "first"), edge_ir("first", "take", buffer=buffer),
             edge_ir("take", "collect")]  # fmt: skip
    surface = SurfaceIR(
        id="each", kind=SurfaceKind.FOR_EACH, targets=["trigger", "first"], config={
            "v": 1, "source": "trigger", "body_entry": "first", "body_exit": "take",
            "collect": "collect", "items_pointer": "/items",
        },
    )  # fmt: skip
    policies = Policies(durability=DurabilityPolicy(mode=mode))
    handlers = {name: Handler(each, AnyPort(), AnyPort()) for name, each in functions.items()}
    return Program(flow_ir(nodes, edges, [surface], policies), handlers)


async def test_spill_to_blob_handles_queue_overflow() -> None:
    seen: list[Any] = []
    blobs, numbers = Blobs(), Numbers()
    flow = program(Buffer(max_items=1, spill_tier="disk"), seen)
    notices: list[Notice] = []
    services = Services(spill={"disk": blobs}, recorder=numbers, tell=notices.append)
    outcome = await Runner(flow, services).run(Invocation({"n": 20}))
    assert Value([{"n": number} for number in range(20)]) == outcome
    assert [{"n": number} for number in range(20)] == seen
    assert numbers.counts["executor.spilled_total", ""] == len(notices) > 0
    assert {("RUN040", "first->take")} == {(each.code, each.where) for each in notices}
    assert (set(), True) == (blobs.kept, blobs.most > 0)


async def test_only_items_over_the_threshold_leave_memory() -> None:
    for threshold, expected in ((8, True), (1000, False)):
        buffer = Buffer(max_items=32, spill_tier="disk", spill_threshold_bytes=threshold)
        blobs, seen = Blobs(), list[Any]()
        runner = Runner(program(buffer, seen), Services(spill={"disk": blobs}))
        await runner.run(Invocation({"n": 11}))
        assert expected == (blobs.most > 0)
        assert 11 == len(seen)


@pytest.mark.parametrize(("most", "threshold"), [(1, None), (8, 4)])
async def test_an_item_is_put_once_though_several_nodes_end_meanwhile(
    most: int, threshold: int | None
) -> None:
    buffer = Buffer(max_items=most, spill_tier="disk", spill_threshold_bytes=threshold)
    blobs, seen = SlowBlobs(), list[Any]()
    runner = Runner(program(buffer, seen), Services(spill={"disk": blobs}))
    outcome = await runner.run(Invocation({"n": 40}))
    assert Value([{"n": number} for number in range(40)]) == outcome
    assert {1} == set(blobs.given.values())
    assert set() == blobs.kept


async def test_a_spilled_item_that_has_changed_fails_its_node() -> None:
    numbers = Numbers()
    flow = program(Buffer(max_items=1, spill_tier="disk"), [])
    services = Services(spill={"disk": Blobs(spoil=True)}, recorder=numbers)
    with pytest.raises(NodeFailed) as caught:
        await Runner(flow, services).run(Invocation({"n": 3}))
    assert ("take", "spill_load_failed") == (caught.value.alias, caught.value.kind)
    assert 1 == numbers.counts["executor.node_errors_total", "spill_load_failed"]


async def test_a_tier_without_a_store_is_refused_before_anything_runs() -> None:
    seen: list[Any] = []
    with pytest.raises(SpillUnsupported):
        await Runner(program(Buffer(spill_tier="tape"), seen)).run(Invocation({"n": 1}))
    assert [] == seen


@pytest.mark.parametrize("spoil", [False, True])
async def test_a_resumed_run_loads_what_was_spilled_by_its_checksum(spoil: bool) -> None:
    seen: list[Any] = []
    blobs, durability = Blobs(), in_memory()
    flow = program(Buffer(max_items=1, spill_tier="disk"), seen, mode=DurabilityMode.STRONG,
                   fails=[True])  # fmt: skip
    runner = Runner(flow, Services(spill={"disk": blobs}, durability=durability))
    with pytest.raises(NodeFailed):
        await runner.run(Invocation({"n": 5}))
    assert durability.store is not None
    (record,) = await durability.store.list()
    assert b'"digest"' in bytes(record.state.data)
    blobs.spoil = spoil
    if spoil:
        with pytest.raises(NodeFailed) as caught:
            await resume(runner, durability, record.checkpoint_id)
        assert "spill_load_failed" == caught.value.kind
        return
    outcome = await resume(runner, durability, record.checkpoint_id)
    assert Value([{"n": number} for number in range(5)]) == outcome
    assert set() == blobs.kept
