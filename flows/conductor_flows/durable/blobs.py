"""States that are too large for a record.

Promise: what is read is what was put, by its hash. Refusal: nothing is deleted by age.
"""

from __future__ import annotations

import hashlib
from typing import Final

from conductor_flows.capabilities.rows import Rows, RowStore
from conductor_flows.durable.errors import StateCorrupted
from conductor_flows.durable.records import BlobRef

BLOBS: Final = ".blobs"
SCHEME: Final = "blob://checkpoint/"


class RowCheckpointBlobs:
    """A `CheckpointBlobStore`."""

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows

    async def put_checkpoint_blob(self, checkpoint_id: str, field: str, data: bytes) -> BlobRef:
        """See `CheckpointBlobStore.put_checkpoint_blob`."""
        key = f"{checkpoint_id}/{field}"
        await self._rows.run(lambda rows: rows.put(BLOBS, key, data))
        return BlobRef(SCHEME + key, len(data), hashlib.sha256(data).hexdigest())

    async def get_checkpoint_blob(self, ref: BlobRef) -> bytes:
        """See `CheckpointBlobStore.get_checkpoint_blob`."""
        key = ref.ref_id.removeprefix(SCHEME)
        data = await self._rows.run(lambda rows: rows.get(BLOBS, key))
        if data is None:
            raise StateCorrupted(f"{ref.ref_id} is gone")
        if hashlib.sha256(data).hexdigest() != ref.content_hash:
            raise StateCorrupted(f"{ref.ref_id} is not what was put")
        return data

    async def delete_checkpoint_blobs(self, checkpoint_id: str, *, keep: str = "") -> int:
        """See `CheckpointBlobStore.delete_checkpoint_blobs`."""
        kept = keep.removeprefix(SCHEME)

        def drop(rows: Rows) -> int:
            keys = rows.keys(BLOBS, f"{checkpoint_id}/")
            return sum(rows.drop(BLOBS, key) for key in keys if key != kept)

        return await self._rows.run(drop)
