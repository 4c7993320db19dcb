"""Items of an edge that leave memory while they wait.

Promise: an item that is over the edge's threshold, or that fills the edge, stands in a blob store
until its node begins; what comes back is what went, by its checksum. Refusal: the bound of an edge
stays what it was: spilling spares memory, it lets nobody run ahead.

Items that a surface still has to look into (windows, joins by key, what is held back) stay.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.calling import Calls
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.durability import Keeper, Running
from conductor_flows.execute.errors import Failure, FlowError, NodeFailed, SpillUnsupported
from conductor_flows.execute.measuring import Measures
from conductor_flows.execute.notices import Notice, Tell, logged
from conductor_flows.execute.planning.plan import EdgePlan
from conductor_flows.execute.scheduling.core import Core
from conductor_flows.execute.scheduling.items import Invocation, Item
from conductor_flows.execute.scheduling.spilled import SPILL_LOAD_FAILED, Spilled
from conductor_flows.execute.values import Values


class SpillStore(Protocol):
    """Where values go; a `BlobStore` is one."""

    async def get(self, key: str) -> bytes | None:
        """Return bytes; None: they are gone."""
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Keep bytes."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a key."""
        ...


class Spiller:
    """Moves the values of one run out and in."""

    def __init__(
        self, bound: Bound, run: RunInfo, stores: Mapping[str, SpillStore],
        measures: Measures | None = None, tell: Tell = logged,
    ) -> None:  # fmt: skip
        self._bound = bound
        self._run = run
        self._measures = measures
        self._say = tell
        self._values = Values(bound)
        self._stores: dict[int, SpillStore] = {}
        self._out: dict[str, SpillStore] = {}
        """What is in a store because of this run."""
        self._going: set[int] = set()
        """Identities of items that somebody is putting into a store just now."""
        self._count = 0
        for edge in bound.plan.edges:
            if edge.spill is not None:
                store = stores.get(edge.spill.tier)
                if store is None:
                    raise SpillUnsupported(f"tier {edge.spill.tier!r} of edge {edge.name}")
                self._stores[edge.index] = store

    async def spill(self, core: Core, node: int) -> None:
        """Move out what a node has just put on its edges; what is on its way already is left."""
        for number in self._bound.plan.nodes[node].outputs:
            edge = self._bound.plan.edges[number]
            gather = self._bound.plan.nodes[edge.to].gather
            if edge.spill is None or (gather is not None and gather.key is not None):
                continue
            for item in core.board.queues[number].waiting():
                if not isinstance(item.value, Spilled) and id(item) not in self._going:
                    await self._move(core, edge, item)

    async def _move(self, core: Core, edge: EdgePlan, item: Item) -> None:
        lanes = core.board.queues[edge.index]
        threshold = None if edge.spill is None else edge.spill.threshold_bytes
        full = lanes.length >= edge.capacity
        if threshold is None and not full:
            return
        data = msgspec.json.encode(self._bound.view(edge.source, item.value))
        small = threshold is None or len(data) < threshold
        if (small and not full) or item not in lanes.waiting():
            return  # or it has begun while another was put
        self._going.add(id(item))
        try:
            ref = await self._put(edge, data)
        finally:
            self._going.discard(id(item))
        if item in lanes.waiting():
            item.value = Spilled(ref, len(data), hashlib.sha256(data).hexdigest())
            self._tell(edge, len(data))
        else:
            await self._forget(ref)  # it has begun meanwhile, with the value that it had

    async def _put(self, edge: EdgePlan, data: bytes) -> str:
        self._count += 1
        ref = f"spill/{self._run.run_id}/{edge.index}/{self._count}"
        store = self._stores[edge.index]
        self._out[ref] = store  # also where it is not known whether the bytes came there
        try:
            await store.put(ref, data)
        except Exception as error:
            raise FlowError(f"edge {edge.name} cannot spill: {error}") from error
        return ref

    def _tell(self, edge: EdgePlan, size: int) -> None:
        if self._measures is not None:
            self._measures.spilled(edge.index, size)
        name = self._bound.plan.name
        self._say(Notice("RUN040", name, edge.name, f"{size} bytes left memory"))

    async def load(self, invocation: Invocation) -> None:
        """Bring the values of an invocation back.

        Raises:
            NodeFailed: Of kind `spill_load_failed`: one is gone, or is not what went.
        """
        back = False
        for edge, item in zip(invocation.edges, invocation.items, strict=True):
            if isinstance(item.value, Spilled):
                back = True
                value = await self._load(edge, item.value, invocation.node)
                # A whole window is JSON already.
                item.value = value if item.closed else self._values.on_edge(edge, value)
        gather = self._bound.plan.nodes[invocation.node].gather
        if back:
            values = [item.value for item in invocation.items]
            invocation.value = values[0]
            if gather is not None:
                named = dict(zip(gather.names, values, strict=True))
                invocation.value = values if gather.kind == "zip" else named

    async def _load(self, edge: int, spilled: Spilled, node: int) -> Any:
        alias, store = self._bound.plan.nodes[node].alias, self._stores[edge]
        self._out[spilled.ref] = store
        try:
            data = await store.get(spilled.ref)
        except Exception as error:
            raise self._lost(alias, f"{spilled.ref}: {error}") from error
        if data is None:
            raise self._lost(alias, f"{spilled.ref} is gone")
        if hashlib.sha256(data).hexdigest() != spilled.digest:
            raise self._lost(alias, f"{spilled.ref} is not what was spilled")
        return msgspec.json.decode(data)

    def _lost(self, alias: str, detail: str) -> NodeFailed:
        if self._measures is not None:
            self._measures.failed(alias, SPILL_LOAD_FAILED)
        return NodeFailed(alias, detail, kind=SPILL_LOAD_FAILED, failure=Failure.PERMANENT)

    async def clear(self) -> None:
        """Delete everything that this run has in a store."""
        while self._out:
            await self._forget(next(reversed(self._out)))

    async def _forget(self, ref: str) -> None:
        store = self._out.pop(ref)
        with contextlib.suppress(Exception):  # what is gone already is as good as deleted
            await store.delete(ref)


class SpillingCaller:
    """Calls functions with values that are in memory."""

    def __init__(self, caller: Calls, spiller: Spiller) -> None:
        self._caller = caller
        self._spiller = spiller

    def check(self, payload: Any) -> None:
        """See `Caller.check`."""
        self._caller.check(payload)

    async def call(self, invocation: Invocation) -> Any:
        """See `Caller.call`."""
        await self._spiller.load(invocation)
        return await self._caller.call(invocation)


class SpillKeeper:
    """A `Keeper` that spills, before another that writes checkpoints, if there is one.

    Values stay in the store to the end of the run where a checkpoint may name them.
    """

    def __init__(self, spiller: Spiller, keeper: Keeper | None) -> None:
        self._spiller = spiller
        self._keeper = keeper

    @property
    def busy(self) -> bool:
        """See `Keeper.busy`."""
        return self._keeper is not None and self._keeper.busy

    async def begun(self, instance: Running) -> None:
        """See `Keeper.begun`."""
        if self._keeper is not None:
            await self._keeper.begun(instance)

    async def settled(self, instance: Running, invocation: Invocation) -> None:
        """See `Keeper.settled`."""
        await self._spiller.spill(instance.core, invocation.node)
        if self._keeper is not None:
            await self._keeper.settled(instance, invocation)

    async def halted(self, instance: Running) -> tuple[str | None, str | None]:
        """See `Keeper.halted`."""
        return (None, None) if self._keeper is None else await self._keeper.halted(instance)

    async def completed(self) -> None:
        """See `Keeper.completed`."""
        if self._keeper is not None:
            await self._keeper.completed()
        await self._spiller.clear()

    async def abandoned(self) -> None:
        """See `Keeper.abandoned`."""
        if self._keeper is not None:
            await self._keeper.abandoned()
        else:
            await self._spiller.clear()
