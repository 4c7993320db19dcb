"""Strong mode with an interval: fewer records, and what a crash then repeats."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

from conductor_flows.dsl.ports import port_of
from conductor_flows.durable.ports import Lease
from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability, in_memory
from conductor_flows.execute.outcomes import Halt, Halted, Streamed, Value
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import DurabilityPolicy, NodeDurability, Policies
from conductor_flows.ir.terms import DurabilityMode, Effects, NodeKind
from flow_pieces import edge_ir, flow_ir, node_ir
from virtual_time import LoopClock, turns, virtual

ANY = port_of(Any)
NODES = ("trigger", *(f"n{number}" for number in range(6)))


class Kept:
    """A chain of nodes that take a second each, and a store whose writes are counted."""

    def __init__(self, interval_ms: int | None, *, halts: str = "", streams: str = "") -> None:
        self.calls: Counter[str] = Counter()
        self.keys: set[tuple[str, str]] = set()
        self.writes: list[float] = []
        self.durability: Durability = in_memory(clock=LoopClock())
        self._count_writes()
        nodes = [
            node_ir(
                name, kind=NodeKind.INLINE if place else NodeKind.TRIGGER,
                effects=Effects.EFFECTFUL, durability=NodeDurability(halts=name == halts),
            )
            for place, name in enumerate(NODES)
        ]  # fmt: skip
        policy = DurabilityPolicy(mode=DurabilityMode.STRONG, checkpoint_interval=interval_ms)
        edges = [edge_ir(*pair) for pair in pairwise(NODES)]
        flow = flow_ir(nodes, edges, policies=Policies(durability=policy))
        handlers = {
            name: Handler(
                self._call(name, halts) if name != streams else self._stream, ANY, ANY, True,
                streams=name == streams,
            )
            for name in NODES
        }  # fmt: skip
        self.runner = Runner(Program(flow, handlers), Services(durability=self.durability))

    def _count_writes(self) -> None:
        store = self.durability.store
        assert store is not None
        put, begin = store.put, store.begin

        async def counted(*args: Any) -> None:
            self.writes.append(round(asyncio.get_running_loop().time(), 3))
            await put(*args)

        async def begun(*args: Any) -> Lease:
            self.writes.append(round(asyncio.get_running_loop().time(), 3))
            return await begin(*args)

        store.put, store.begin = counted, begun  # type: ignore[method-assign]

    def _call(self, name: str, halts: str) -> Any:
        async def call(value: Any, context: Any) -> Any:
            self.calls[name] += 1
            self.keys.add((name, context.idempotency_key))
            await asyncio.sleep(1)
            return Halt("callback", value) if name == halts else value

        return call

    async def _stream(self, value: Any, context: Any) -> Any:
        self.calls[context.alias] += 1

        async def pieces() -> AsyncIterator[Any]:
            yield value
            await asyncio.sleep(100)

        return pieces()

    async def checkpoint_id(self) -> str:
        assert self.durability.store is not None
        (found,) = await self.durability.store.list()
        return found.checkpoint_id


@virtual
async def test_a_record_is_written_at_most_once_in_an_interval() -> None:
    kept = Kept(2500)
    assert Value(1) == await kept.runner.run(Invocation(1))
    assert [0.0, 2.5, 5.0] == kept.writes


@virtual
async def test_without_an_interval_every_boundary_is_written() -> None:
    kept = Kept(None)
    assert Value(1) == await kept.runner.run(Invocation(1))
    assert [float(second) for second in range(len(NODES))] == kept.writes  # the end is no record


@virtual
async def test_a_crash_repeats_what_ended_since_the_record_under_the_same_keys() -> None:
    kept = Kept(2500)
    run = asyncio.create_task(kept.runner.run(Invocation(1)))
    await asyncio.sleep(4.5)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    checkpoint = await kept.checkpoint_id()
    assert Value(1) == await resume(kept.runner, kept.durability, checkpoint)
    # At 2.5 s two nodes had ended and n1 was under way; n2 and n3 had ended or begun by 4.5 s.
    assert {"trigger": 1, "n0": 1, "n1": 2, "n2": 2, "n3": 2, "n4": 1, "n5": 1} == kept.calls
    assert len(NODES) == len(kept.keys)


@virtual
async def test_a_halt_is_written_at_once_and_no_task_is_left() -> None:
    kept = Kept(60_000, halts="n2")
    halted = await kept.runner.run(Invocation(1))
    assert isinstance(halted, Halted)
    assert [0.0, 4.0] == kept.writes
    await turns()
    assert 1 == len(asyncio.all_tasks())
    outcome = await resume(
        kept.runner, kept.durability, str(halted.checkpoint_id), signal=Signal(7, halted.token)
    )
    assert Value(7) == outcome
    assert dict.fromkeys(NODES, 1) == kept.calls
    await turns()
    assert 1 == len(asyncio.all_tasks())


@virtual
async def test_nothing_is_written_once_a_stream_is_handed_out() -> None:
    kept = Kept(4500, streams=NODES[-1])
    outcome = await kept.runner.run(Invocation(1))
    assert isinstance(outcome, Streamed)
    assert 1 == await anext(outcome.items)
    await asyncio.sleep(10)
    assert [0.0, 4.5] == kept.writes  # 6.0 s: the capture; 9.0 s: the interval is over
    async with contextlib.aclosing(outcome.items):  # type: ignore[type-var]
        pass
    again = await resume(kept.runner, kept.durability, await kept.checkpoint_id())
    assert isinstance(again, Streamed)
    assert 1 == await anext(again.items)
    assert 2 == kept.calls[NODES[-1]]
    async with contextlib.aclosing(again.items):  # type: ignore[type-var]
        pass
