"""Checkpoints that outlive their run until its outcome is known to everybody.

Promise: a run that has completed can be taken up from its last checkpoint until `release`, so a
crash between its end and the record of its end runs nothing anew. Refusal: nothing else is changed
about the store behind it.
"""

from __future__ import annotations

import builtins
import contextlib

from conductor_flows.durable.errors import CheckpointNotFound
from conductor_flows.durable.ports import CheckpointBlobStore, CheckpointStore, Lease
from conductor_flows.durable.records import BlobRef, Checkpoint, Status


class HeldStore:
    """A `CheckpointStore` whose `ack` waits for `release`."""

    keeps_ended = True

    def __init__(self, inner: CheckpointStore, blobs: CheckpointBlobStore | None) -> None:
        self._inner = inner
        self._blobs = blobs
        self.ended: dict[str, float | None] = {}
        """Checkpoints of runs that have completed, with how long they are to be kept."""
        self._of_run: dict[str, str] = {}

    def of_run(self, run_id: str) -> str | None:
        """Return the checkpoint that a run of this process has written last."""
        return self._of_run.get(run_id)

    async def release(self, run_id: str, checkpoint_id: str | None) -> None:
        """Let a checkpoint go, with what belongs to it. Idempotent.

        Args:
            run_id: Whose outcome is known.
            checkpoint_id: Of the run, where it is known.
        """
        found = self._of_run.pop(run_id, None) or checkpoint_id
        if found is None:
            return
        with contextlib.suppress(CheckpointNotFound):
            await self._inner.ack(found, retain_s=self.ended.pop(found, None))
        if self._blobs is not None:
            await self._blobs.delete_checkpoint_blobs(found)

    def forget(self, run_id: str) -> None:
        """Forget which checkpoint a run has; it stays."""
        found = self._of_run.pop(run_id, None)
        if found is not None:
            self.ended.pop(found, None)

    async def put(self, checkpoint: Checkpoint, lease: Lease | None = None) -> None:
        """See `CheckpointStore.put`."""
        await self._inner.put(checkpoint, lease)
        self._of_run[checkpoint.run_id] = checkpoint.checkpoint_id

    async def begin(self, checkpoint: Checkpoint, ttl_s: float) -> Lease:
        """See `CheckpointStore.begin`."""
        lease = await self._inner.begin(checkpoint, ttl_s)
        self._of_run[checkpoint.run_id] = checkpoint.checkpoint_id
        return lease

    async def get(self, checkpoint_id: str) -> Checkpoint:
        """See `CheckpointStore.get`."""
        return await self._inner.get(checkpoint_id)

    async def ack(
        self, checkpoint_id: str, *, retain_s: float | None = None, lease: Lease | None = None
    ) -> None:
        """Remember that the run is over; nothing is deleted, and nobody else gets the lease."""
        del lease
        self.ended[checkpoint_id] = retain_s

    async def lease(self, checkpoint_id: str, ttl_s: float) -> Lease:
        """See `CheckpointStore.lease`."""
        return await self._inner.lease(checkpoint_id, ttl_s)

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See `CheckpointStore.renew`."""
        return await self._inner.renew(lease, ttl_s)

    async def release_lease(self, lease: Lease) -> None:
        """See `CheckpointStore.release_lease`."""
        await self._inner.release_lease(lease)

    async def list(
        self, *, flow: str | None = None, run: str | None = None, status: Status | None = None
    ) -> builtins.list[Checkpoint]:
        """See `CheckpointStore.list`."""
        return await self._inner.list(flow=flow, run=run, status=status)


class HeldBlobs:
    """A `CheckpointBlobStore` that keeps what a held checkpoint names."""

    def __init__(self, inner: CheckpointBlobStore, held: HeldStore) -> None:
        self._inner = inner
        self._held = held

    async def put_checkpoint_blob(self, checkpoint_id: str, field: str, data: bytes) -> BlobRef:
        """See `CheckpointBlobStore.put_checkpoint_blob`."""
        return await self._inner.put_checkpoint_blob(checkpoint_id, field, data)

    async def get_checkpoint_blob(self, ref: BlobRef) -> bytes:
        """See `CheckpointBlobStore.get_checkpoint_blob`."""
        return await self._inner.get_checkpoint_blob(ref)

    async def delete_checkpoint_blobs(self, checkpoint_id: str, *, keep: str = "") -> int:
        """See `CheckpointBlobStore.delete_checkpoint_blobs`; nothing of a held one goes."""
        if checkpoint_id in self._held.ended:
            return 0
        return await self._inner.delete_checkpoint_blobs(checkpoint_id, keep=keep)
