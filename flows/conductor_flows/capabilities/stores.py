"""Key-value store, blobs, queue and deduplication, on shelves of any kind.

Promise: the same behaviour in memory, in files and in SQLite; what has expired is not there, and
is let go when it is met. Refusal: no value is looked into.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from conductor_flows.capabilities.errors import CapabilityMisused, KeyMissing
from conductor_flows.capabilities.ports import Entry, KeyValueInfo, Page
from conductor_flows.capabilities.rows import Rows, RowStore
from conductor_sdk.clock import Clock, SystemClock, epoch_ms


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    value: bytes
    metadata: Any = None
    expires_at_ms: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class RowKeyValue:
    """A `KeyValue`."""

    info = KeyValueInfo(ttl="per_write", consistency="strong")

    def __init__(self, rows: RowStore, *, clock: Clock | None = None, shelf: str = "kv") -> None:
        self._rows = rows
        self._clock = clock or SystemClock()
        self._shelf = shelf

    async def get(self, key: str) -> bytes | None:
        """See `KeyValue.get`."""
        entry = await self.entry(key)
        return None if entry is None else entry.value

    async def entry(self, key: str) -> Entry | None:
        """See `KeyValue.entry`."""
        now_ms = epoch_ms(self._clock.now())
        return await self._rows.run(lambda rows: self._read(rows, key, now_ms))

    def _read(self, rows: Rows, key: str, now_ms: int) -> Entry | None:
        data = rows.get(self._shelf, key)
        if data is None:
            return None
        kept = _decode(data)
        if kept.expires_at_ms is not None and kept.expires_at_ms <= now_ms:
            rows.drop(self._shelf, key)
            return None
        return Entry(key, kept.value, kept.metadata, kept.expires_at_ms)

    async def put(
        self, key: str, value: bytes, *, ttl_s: float | None = None,
        expires_at_ms: int | None = None, metadata: Any = None,
    ) -> None:  # fmt: skip
        """See `KeyValue.put`."""
        if not key:
            raise CapabilityMisused("the key is empty")
        if ttl_s is not None and expires_at_ms is not None:
            raise CapabilityMisused("give ttl_s or expires_at_ms, not both")
        now_ms = epoch_ms(self._clock.now())
        if ttl_s is not None:
            expires_at_ms = now_ms + round(ttl_s * 1000)
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise CapabilityMisused("it would have expired already")
        data = _encode(_Kept(value, metadata, expires_at_ms))
        await self._rows.run(lambda rows: rows.put(self._shelf, key, data))

    async def delete(self, key: str) -> None:
        """See `KeyValue.delete`."""
        now_ms = epoch_ms(self._clock.now())

        def drop(rows: Rows) -> bool:
            return self._read(rows, key, now_ms) is not None and rows.drop(self._shelf, key)

        if not await self._rows.run(drop):
            raise KeyMissing(key)

    async def list(
        self, prefix: str = "", *, cursor: str | None = None, limit: int = 100,
        values: bool = False,
    ) -> Page:  # fmt: skip
        """See `KeyValue.list`."""
        if limit < 1:
            raise CapabilityMisused("a page holds at least one key")
        now_ms = epoch_ms(self._clock.now())
        after = "" if cursor is None else _key_of(cursor)

        def page(rows: Rows) -> Page:
            found: list[Entry] = []
            last = after
            while keys := rows.keys(self._shelf, prefix, last, limit):
                for last in keys:
                    entry = self._read(rows, last, now_ms)
                    if entry is None:
                        continue
                    if len(found) == limit:
                        return Page(tuple(found), found[-1].key.encode().hex())
                    found.append(entry if values else replace(entry, value=None))
            return Page(tuple(found), None)

        return await self._rows.run(page)


def _key_of(cursor: str) -> str:
    try:
        return bytes.fromhex(cursor).decode()
    except ValueError:
        raise CapabilityMisused("the cursor is not of a listing") from None


class RowBlobs:
    """A `BlobStore`."""

    def __init__(self, rows: RowStore, *, shelf: str = "blobs") -> None:
        self._rows = rows
        self._shelf = shelf

    async def get(self, key: str) -> bytes | None:
        """See `BlobStore.get`."""
        return await self._rows.run(lambda rows: rows.get(self._shelf, key))

    async def put(self, key: str, data: bytes) -> None:
        """See `BlobStore.put`."""
        if not key:
            raise CapabilityMisused("the key is empty")
        await self._rows.run(lambda rows: rows.put(self._shelf, key, data))

    async def delete(self, key: str) -> None:
        """See `BlobStore.delete`."""
        if not await self._rows.run(lambda rows: rows.drop(self._shelf, key)):
            raise KeyMissing(key)


class RowQueue:
    """A `Queue`; a message belongs to whoever dequeued it."""

    def __init__(self, rows: RowStore, *, shelf: str = "queue") -> None:
        self._rows = rows
        self._shelf = shelf

    async def enqueue(self, message: bytes) -> None:
        """See `Queue.enqueue`."""

        def append(rows: Rows) -> None:
            number = int(rows.get(self._shelf, "next") or b"0")
            rows.put(self._shelf, "next", str(number + 1).encode())
            rows.put(self._shelf, f"m{number:020d}", message)

        await self._rows.run(append)

    async def dequeue(self) -> bytes | None:
        """See `Queue.dequeue`."""

        def take(rows: Rows) -> bytes | None:
            first = rows.keys(self._shelf, "m", limit=1)
            if not first:
                return None
            message = rows.get(self._shelf, first[0])
            rows.drop(self._shelf, first[0])
            return message

        return await self._rows.run(take)


class RowDedupe:
    """A `DedupeStore`."""

    def __init__(
        self, rows: RowStore, *, clock: Clock | None = None, shelf: str = "dedupe"
    ) -> None:
        self._rows = rows
        self._clock = clock or SystemClock()
        self._shelf = shelf

    async def put_if_absent(self, key: str, ttl_s: float) -> bool:
        """See `DedupeStore.put_if_absent`."""
        if ttl_s <= 0:
            raise CapabilityMisused("ttl_s must be above 0")
        now_ms = epoch_ms(self._clock.now())
        until = str(now_ms + round(ttl_s * 1000)).encode()

        def remember(rows: Rows) -> bool:
            known = rows.get(self._shelf, key)
            if known is not None and int(known) > now_ms:
                return False
            rows.put(self._shelf, key, until)
            return True

        return await self._rows.run(remember)

    async def forget(self, key: str) -> None:
        """See `DedupeStore.forget`."""
        await self._rows.run(lambda rows: rows.drop(self._shelf, key))
