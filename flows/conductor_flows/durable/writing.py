"""A run, written down.

Promise: a state that is too large stands in a blob that is there before the record that names it,
and the one before it goes only then. Refusal: no decision about when (`keeper` has those).
"""

from __future__ import annotations

import hashlib
import uuid
from bisect import bisect_left
from collections import deque
from typing import Any, Final

import msgspec

from conductor_flows.durable.errors import StateCorrupted
from conductor_flows.durable.ports import CheckpointStore, Lease, Places
from conductor_flows.durable.records import (
    INLINE_MAX,
    Checkpoint,
    Completed,
    Progress,
    State,
    Tokens,
    Wait,
)
from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.durability import Running
from conductor_flows.execute.keys import Keys
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.scheduling.frontier import Frontier, freeze, shape
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.execute.scheduling.spilled import Spilled
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import Effects
from conductor_sdk.clock import epoch_ms

TOKENS_KEPT: Final = 100
"""Consumed keys of each node; the newest."""


class Writer:
    """Writes the checkpoint of one run."""

    def __init__(
        self, places: Places, flow: FlowIR, ends: Ends, bound: Bound, run: RunInfo
    ) -> None:
        self.checkpoint_id = f"cp-{uuid.uuid4()}"
        self.wrote = False
        self._places = places
        self._flow = flow
        self._ends = ends
        self._bound = bound
        self._run = run
        self._keys = Keys(bound, run)
        self._shape = shape(bound.plan)
        self._done: list[int] = []
        """Nodes that have given something, in order; beside them what is written about them."""
        self._completed: list[Completed] = []
        self._consumed: dict[str, deque[str]] = {}
        self._turn = 0
        """Blobs that were written."""
        self._adopted = False
        """Whether another process may have left a blob."""
        self._created_at_ms: int | None = None

    def adopt(self, checkpoint: Checkpoint) -> None:
        """Go on with a checkpoint that was read."""
        self.checkpoint_id, self.wrote, self._adopted = checkpoint.checkpoint_id, True, True
        self._created_at_ms = checkpoint.created_at_ms
        by_alias = self._bound.plan.by_alias
        for each in checkpoint.frontier.completed:
            self._count(by_alias[each.node_alias], each.cursor or 1)
        for alias, keys in checkpoint.idempotency.consumed.items():
            self._consumed[alias] = deque(keys, maxlen=TOKENS_KEPT)
        for ref in checkpoint.state.blobs:
            self._turn = int(ref.ref_id.rpartition(".")[2])

    def note(self, invocation: Invocation) -> None:
        """Count what has ended, and remember the key of an effect."""
        self._count(invocation.node, 1)
        node = self._bound.plan.nodes[invocation.node]
        if node.ir.effects is Effects.EFFECTFUL:
            kept = self._consumed.setdefault(node.alias, deque(maxlen=TOKENS_KEPT))
            kept.append(self._keys.of(invocation))

    def _count(self, node: int, more: int) -> None:
        place = bisect_left(self._done, node)
        if place < len(self._done) and self._done[place] == node:
            known = self._completed[place]
            self._completed[place] = Completed(known.node_alias, cursor=(known.cursor or 1) + more)
        else:
            self._done.insert(place, node)
            alias = self._bound.plan.nodes[node].alias
            self._completed.insert(place, Completed(alias, cursor=more))

    async def write(
        self, instance: Running, lease: Lease | None, *, waits: list[Wait] | None = None
    ) -> None:
        """Write the run as it is now.

        Args:
            instance: The run.
            lease: That must be the current one, if there is one.
            waits: What waits, in the order of `instance.halted`; None: those are to be done again.

        Raises:
            LeaseLost: Somebody else has taken the run over.
        """
        store = self._places.store
        if store is None:
            return
        record, kept = await self._prepared(instance, waits)
        await store.put(record, lease)
        self.wrote = True
        if self._places.blobs is not None and self._turn:
            await self._places.blobs.delete_checkpoint_blobs(self.checkpoint_id, keep=kept)

    async def begin(self, instance: Running, store: CheckpointStore, ttl_s: float) -> Lease:
        """Write the run for the first time, and take the lease on it."""
        record, _ = await self._prepared(instance, None)
        lease = await store.begin(record, ttl_s)
        self.wrote = True
        return lease

    async def clear(self) -> None:
        """Delete the blobs of the run, where it may have some."""
        if self._places.blobs is not None and (self._turn or self._adopted):
            await self._places.blobs.delete_checkpoint_blobs(self.checkpoint_id)

    async def _prepared(
        self, instance: Running, waits: list[Wait] | None
    ) -> tuple[Checkpoint, str]:
        """Return the record, and the name of its blob, which is there already."""
        record, state = self._record(instance, waits)
        blobs, policy = self._places.blobs, self._flow.policies.durability
        most = INLINE_MAX if policy.blob_threshold_bytes is None else policy.blob_threshold_bytes
        if len(state) <= most or blobs is None:
            return record, ""
        self._turn += 1
        field = f"state.{self._turn}"
        ref = await blobs.put_checkpoint_blob(self.checkpoint_id, field, state)
        return msgspec.structs.replace(record, state=State(blobs=[ref])), ref.ref_id

    def _record(self, instance: Running, waits: list[Wait] | None) -> tuple[Checkpoint, bytes]:
        board, run = instance.core.board, self._run
        frontier = freeze(
            board, self._bound.view, instance.now, captured=instance.given, known=self._shape,
            halted=[invocation for invocation, _ in instance.halted] if waits is not None else (),
        )  # fmt: skip
        state = msgspec.json.encode(frontier)
        now_ms = epoch_ms(self._places.clock.now())
        self._created_at_ms = self._created_at_ms or now_ms
        times = [wait.resume_after_ms for wait in waits or () if wait.resume_after_ms is not None]
        ttl_ms = self._flow.policies.durability.checkpoint_ttl
        record = Checkpoint(
            checkpoint_id=self.checkpoint_id, flow_id=self._flow.id,
            flow_version=self._flow.version, run_id=run.run_id,
            parent_run_id=run.labels.get("lf.parent_run_id"), trigger=self._ends.trigger,
            capture=self._ends.capture, frontier=self._progress(frontier),
            state=State(msgspec.Raw(state)), idempotency=self._tokens(instance),
            waits=waits or [], labels=dict(run.labels), extensions=dict(run.extensions),
            created_at_ms=self._created_at_ms, resume_after_ms=min(times, default=None),
            ttl_ms=ttl_ms,
        )  # fmt: skip
        return record, state

    def _progress(self, frontier: Frontier) -> Progress:
        plan = self._bound.plan
        nodes = {plan.edges[edge].to for edge in frontier.pending}
        nodes |= {plan.edges[window.edge].to for window in frontier.windows if window.items}
        nodes |= {wait.node for wait in frontier.halted}
        return Progress(self._completed[:], [plan.nodes[node].alias for node in sorted(nodes)])

    def _tokens(self, instance: Running) -> Tokens:
        pending: dict[str, list[str]] = {}
        for invocation in instance.core.board.active.values():
            node = self._bound.plan.nodes[invocation.node]
            loaded = not isinstance(invocation.items[0].value, Spilled)
            if loaded and node.ir.effects is Effects.EFFECTFUL:
                pending.setdefault(node.alias, []).append(self._keys.of(invocation))
        consumed = {alias: list(keys) for alias, keys in self._consumed.items()}
        return Tokens(consumed, pending)


async def state_of(checkpoint: Checkpoint, places: Places) -> Frontier:
    """Return the frontier of a checkpoint, from wherever it stands.

    Raises:
        StateCorrupted: DAG-CKPT-008: it is gone, or not what was written.
    """
    data: Any = checkpoint.state.data
    if checkpoint.state.blobs:
        ref = checkpoint.state.blobs[0]
        if places.blobs is None:
            raise StateCorrupted(f"{ref.ref_id}: there is no store for it")
        data = await places.blobs.get_checkpoint_blob(ref)
        if hashlib.sha256(data).hexdigest() != ref.content_hash:
            raise StateCorrupted(f"{ref.ref_id} is not what was put")
    try:
        return msgspec.json.decode(data, type=Frontier)
    except msgspec.MsgspecError as error:
        raise StateCorrupted(f"{checkpoint.checkpoint_id}: {error}") from None
