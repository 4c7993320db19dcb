"""Checkpoints and leases on shelves of any kind.

Promise: a lease is taken, checked and given up in one step that nobody comes between, and so is a
record that is put under one; who has a lease keeps it until somebody else has taken it, however
the clock jumps. Refusal: no token (`signals`), and no blob is read or written (`blobs`).

As files: `<flow>/<run>/<checkpoint>.json`, leases in `.leases/<checkpoint>.json`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Final

import msgspec

from conductor_flows.capabilities.rows import Rows, RowStore
from conductor_flows.durable.blobs import BLOBS
from conductor_flows.durable.errors import (
    CheckpointNotFound,
    LeaseConflict,
    LeaseLost,
    StateCorrupted,
    VersionIncompatible,
)
from conductor_flows.durable.ports import LEASE_MAX_S, LEASES_READ, Lease, LeasePage
from conductor_flows.durable.records import VERSION, Checkpoint, Status
from conductor_sdk.clock import Clock, SystemClock, epoch_ms

RECORDS: Final = ""
LEASES: Final = ".leases"
LEASE_MIN_S: Final = 0.05


class _Held(msgspec.Struct, frozen=True):
    holder: str
    until_ms: int
    ttl_ms: int = round(LEASE_MAX_S * 1000)

    def of(self, checkpoint_id: str) -> Lease:
        return Lease(checkpoint_id, self.holder, self.until_ms, self.ttl_ms)


class RowCheckpointStore:
    """A `CheckpointStore`, and a `LeaseBook`."""

    keeps_ended = False

    def __init__(self, rows: RowStore, *, clock: Clock | None = None) -> None:
        self._rows = rows
        self._clock = clock or SystemClock()
        self._keys: dict[str, str] = {}
        """By id, of those that are there; a checkpoint never changes its key."""

    @property
    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())

    async def put(self, checkpoint: Checkpoint, lease: Lease | None = None) -> None:
        """See `CheckpointStore.put`."""
        data, key = msgspec.json.encode(checkpoint), _key_of(checkpoint)

        def write(rows: Rows) -> None:
            if lease is not None:
                _held(rows, lease)
            rows.put(RECORDS, key, data)

        await self._rows.run(write)
        self._keys[checkpoint.checkpoint_id] = key

    async def begin(self, checkpoint: Checkpoint, ttl_s: float) -> Lease:
        """See `CheckpointStore.begin`."""
        data, key = msgspec.json.encode(checkpoint), _key_of(checkpoint)
        lease, now_ms = self._lease(checkpoint.checkpoint_id, ttl_s), self._now_ms

        def write(rows: Rows) -> None:
            _free(rows, lease.checkpoint_id, now_ms)
            rows.put(RECORDS, key, data)  # first: no lease is left without a record
            try:
                _write(rows, lease)
            except BaseException:
                rows.drop(RECORDS, key)  # where files fail in the middle, as on a full disk
                raise

        await self._rows.run(write)
        self._keys[checkpoint.checkpoint_id] = key
        return lease

    def _lease(self, checkpoint_id: str, ttl_s: float) -> Lease:
        ttl_ms = _clamped_ms(ttl_s)
        return Lease(checkpoint_id, uuid.uuid4().hex, self._now_ms + ttl_ms, ttl_ms)

    async def get(self, checkpoint_id: str) -> Checkpoint:
        """See `CheckpointStore.get`."""
        data = await self._rows.run(lambda rows: rows.get(RECORDS, self._key(rows, checkpoint_id)))
        if data is None:
            raise CheckpointNotFound(checkpoint_id)
        return _decoded(data, checkpoint_id)

    def _key(self, rows: Rows, checkpoint_id: str) -> str:
        known = self._keys.get(checkpoint_id)
        if known is None:
            end = f"/{checkpoint_id}"
            known = next((key for key in rows.keys(RECORDS) if key.endswith(end)), None)
            if known is None:
                raise CheckpointNotFound(checkpoint_id)
        return known

    async def ack(
        self, checkpoint_id: str, *, retain_s: float | None = None, lease: Lease | None = None
    ) -> None:
        """See `CheckpointStore.ack`."""
        now_ms = self._now_ms

        def end(rows: Rows) -> None:
            if lease is not None:
                _held(rows, lease)
            key = self._key(rows, checkpoint_id)
            data = rows.get(RECORDS, key)
            if data is None:
                raise CheckpointNotFound(checkpoint_id)
            rows.drop(LEASES, checkpoint_id)
            if retain_s is None:
                rows.drop(RECORDS, key)
                return
            over = msgspec.structs.replace(
                _decoded(data, checkpoint_id), completed_at_ms=now_ms,
                ttl_ms=round(retain_s * 1000),
            )  # fmt: skip
            rows.put(RECORDS, key, msgspec.json.encode(over))

        await self._rows.run(end)
        self._keys.pop(checkpoint_id, None)

    async def lease(self, checkpoint_id: str, ttl_s: float) -> Lease:
        """See `CheckpointStore.lease`."""
        lease, now_ms = self._lease(checkpoint_id, ttl_s), self._now_ms

        def take(rows: Rows) -> None:
            if rows.get(RECORDS, self._key(rows, checkpoint_id)) is None:
                raise CheckpointNotFound(checkpoint_id)
            _free(rows, checkpoint_id, now_ms)
            _write(rows, lease)

        await self._rows.run(take)
        return lease

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """See `CheckpointStore.renew`."""
        ttl_ms = _clamped_ms(ttl_s)
        longer = Lease(lease.checkpoint_id, lease.holder, self._now_ms + ttl_ms, ttl_ms)

        def hold(rows: Rows) -> None:
            _held(rows, lease)
            _write(rows, longer)

        await self._rows.run(hold)
        return longer

    async def release_lease(self, lease: Lease) -> None:
        """See `CheckpointStore.release_lease`."""

        def give_up(rows: Rows) -> None:
            held = _read(rows, lease.checkpoint_id)
            if held is not None and held.holder == lease.holder:
                rows.drop(LEASES, lease.checkpoint_id)

        await self._rows.run(give_up)

    async def leases(self, *, after: str = "", limit: int = LEASES_READ) -> LeasePage:
        """See `LeaseBook.leases`."""

        def read(rows: Rows) -> LeasePage:
            ids = rows.keys(LEASES, after=after, limit=limit)
            more_after = ids[-1] if ids and len(ids) == limit else ""
            return LeasePage(tuple(_readable_leases(rows, ids)), more_after)

        return await self._rows.run(read)

    async def list(
        self, *, flow: str | None = None, run: str | None = None, status: Status | None = None
    ) -> list[Checkpoint]:
        """See `CheckpointStore.list`."""
        now_ms = self._now_ms

        def read(rows: Rows) -> list[Checkpoint]:
            found = _readable(rows, "" if flow is None else f"{flow}/")
            return [
                each
                for each in found
                if run in {None, each.run_id} and status in {None, each.status(now_ms)}
            ]

        return await self._rows.run(read)

    async def collect(self) -> int:
        """Delete what has expired, and what was kept as completed for long enough.

        Blobs go with their records, where they are on the same shelves.
        """
        now_ms = self._now_ms

        def drop(rows: Rows) -> int:
            over = [each for each in _readable(rows, "") if _outlived(each, now_ms)]
            for each in over:
                rows.drop(LEASES, each.checkpoint_id)
                rows.drop(RECORDS, _key_of(each))
                for blob in rows.keys(BLOBS, f"{each.checkpoint_id}/"):
                    rows.drop(BLOBS, blob)
                self._keys.pop(each.checkpoint_id, None)
            return len(over)

        return await self._rows.run(drop)


def _key_of(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.flow_id}/{checkpoint.run_id}/{checkpoint.checkpoint_id}"


def _outlived(checkpoint: Checkpoint, now_ms: int) -> bool:
    since = checkpoint.completed_at_ms or checkpoint.created_at_ms
    return checkpoint.ttl_ms is not None and since + checkpoint.ttl_ms <= now_ms


def _readable(rows: Rows, prefix: str) -> Iterator[Checkpoint]:
    for key in rows.keys(RECORDS, prefix):
        data = rows.get(RECORDS, key)
        try:
            if data is not None:
                yield _decoded(data, key)
        except (StateCorrupted, VersionIncompatible):
            continue


def _decoded(data: bytes, name: str) -> Checkpoint:
    try:
        found = msgspec.json.decode(data, type=Checkpoint)
    except msgspec.MsgspecError as error:
        raise StateCorrupted(f"{name}: {error}") from None
    if found.version != VERSION:
        raise VersionIncompatible(f"{name}: a record of version {found.version}")
    return found


def _clamped_ms(ttl_s: float) -> int:
    return round(min(max(ttl_s, LEASE_MIN_S), LEASE_MAX_S) * 1000)


def _read(rows: Rows, checkpoint_id: str) -> _Held | None:
    data = rows.get(LEASES, checkpoint_id)
    try:
        return None if data is None else msgspec.json.decode(data, type=_Held)
    except msgspec.MsgspecError as error:
        raise StateCorrupted(f"the lease of {checkpoint_id}: {error}") from None


def _readable_leases(rows: Rows, ids: list[str]) -> Iterator[Lease]:
    for checkpoint_id in ids:
        try:
            held = _read(rows, checkpoint_id)
        except StateCorrupted:
            continue  # whoever asks for this one is told
        if held is not None:
            yield held.of(checkpoint_id)


def _free(rows: Rows, checkpoint_id: str, now_ms: int) -> None:
    """Check that nobody has a lease."""
    held = _read(rows, checkpoint_id)
    if held is not None and held.of(checkpoint_id).holds(now_ms):
        raise LeaseConflict(checkpoint_id, data={"until_ms": held.until_ms})


def _write(rows: Rows, lease: Lease) -> None:
    data = msgspec.json.encode(_Held(lease.holder, lease.until_ms, lease.ttl_ms))
    rows.put(LEASES, lease.checkpoint_id, data)


def _held(rows: Rows, lease: Lease) -> None:
    """Check that nobody has replaced a lease; that its time is over means nothing by itself.

    A clock that jumps, or a machine that slept, ends no run that nobody else has taken up.
    """
    held = _read(rows, lease.checkpoint_id)
    if held is None or held.holder != lease.holder:
        raise LeaseLost(lease.checkpoint_id)
