"""What the replay log and the dead letters share: one state of the inbound tables in memory.

Promise: memory here is a copy of committed tables, read again after anything failed. Refusal: it
decides nothing; receiving, settling and the rest are works on it.

Everything runs on the database's writer thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from conductor_sdk.clock import epoch_ms
from conductor_sdk.records import Cursor, Position
from conductor_state.batches import (
    BATCH_MAX,
    Kinds,
    from_ranges,
    index_of,
    position_of,
    unpack_outcomes,
)
from conductor_state.claims import Claims
from conductor_state.database import Database
from conductor_state.errors import StoreCorrupt
from conductor_state.key_index import SEAL_AT, KeyIndex, remove_unfinished
from conductor_state.pack_keys import PackKeys
from conductor_state.queries import load_queries

T = TypeVar("T")

_OPEN_BATCHES = 2048
"""Unsettled batches that are kept in memory; others are read when they are needed."""


class LogState(msgspec.Struct, frozen=True):
    """The row of `log_state`."""

    epoch: str
    sequence: int
    next_batch: int
    last_ms: int

    @property
    def cursor(self) -> Cursor:
        """How far the link's history is stored."""
        return Cursor(self.epoch, self.sequence)


class OpenBatch:
    """A batch of which some event is not settled."""

    __slots__ = ("kinds", "number", "received_ms", "redriven", "remaining", "settled")

    def __init__(
        self, number: int, received_ms: int, events: int, kinds: Kinds, *, redriven: bool
    ) -> None:
        self.number = number
        self.received_ms = received_ms
        self.redriven = redriven
        self.kinds = kinds
        self.settled = bytearray(events)
        """One byte for each event: 1 when it is settled."""
        self.remaining = events

    def settle(self, indexes: list[int]) -> None:
        """Mark events that are not marked yet."""
        settled = self.settled
        first = indexes[0]
        if indexes[-1] - first + 1 == len(indexes):
            settled[first : first + len(indexes)] = b"\1" * len(indexes)
        else:
            for index in indexes:
                settled[index] = 1
        self.remaining -= len(indexes)


class Inbound:
    """The inbound tables of a `sidecar` database. One for each database; `open` makes it."""

    def __init__(self, database: Database, *, seal_at: int) -> None:
        self.database = database
        self.keys = KeyIndex(0, seal_at=seal_at)
        self.pack_keys = PackKeys(seal_at=seal_at)
        self.claims = Claims()
        self.state = LogState("", 0, 1, 0)
        self._stored_state = self.state
        self._open: dict[int, OpenBatch] = {}
        self._stale = True

    @classmethod
    async def open(cls, database: Database, *, seal_at: int = SEAL_AT) -> Inbound:
        """Read what memory holds: the cursor, the claims and the newest keys."""
        inbound = cls(database, seal_at=seal_at)
        database.on_rollback(inbound.mark_stale)
        await inbound.write(remove_unfinished)
        return inbound

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a work in the next commit; whatever fails in it, memory is read again after it."""

        def guarded(connection: sqlite3.Connection) -> T:
            self.refresh(connection)
            self._stale = True
            result = work(connection)
            self._stale = False
            return result

        return await self.database.write(guarded)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a work on committed state."""

        def refreshed(connection: sqlite3.Connection) -> T:
            self.refresh(connection)
            return work(connection)

        return await self.database.read(refreshed)

    def mark_stale(self) -> None:
        """Read memory again before the next work."""
        self._stale = True

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Read memory again if something failed since it was read."""
        if not self._stale:
            return
        sql = load_queries("replay_log")
        row = connection.execute(sql["state"]).fetchone()
        try:
            self.state = self._stored_state = msgspec.convert(
                dict(zip(LogState.__struct_fields__, row, strict=True)), LogState
            )
        except (TypeError, msgspec.ValidationError) as error:
            raise StoreCorrupt(f"the cursor: {error}") from None
        self._open.clear()
        self.claims.load(connection)
        self.keys.load(
            connection, lambda row: connection.execute(sql["receipt_keys_after"], (row,))
        )
        self.pack_keys.load(connection)
        self._stale = False

    def now_ms(self) -> int:
        """Return the time for a new row: never before the newest one.

        A clock that jumps back would otherwise make new rows look old, and they would be
        forgotten early; so after a jump forward and back, rows are kept longer by that jump.
        """
        return max(epoch_ms(self.database.clock.now()), self.state.last_ms)

    def store_state(self, connection: sqlite3.Connection) -> None:
        """Write `state` where it differs from what is stored."""
        if self.state != self._stored_state:
            connection.execute(
                load_queries("replay_log")["put_state"], msgspec.structs.astuple(self.state)
            )
            self._stored_state = self.state

    def remember(self, batch: OpenBatch) -> None:
        """Keep an unsettled batch in memory."""
        self._open[batch.number] = batch
        if len(self._open) > _OPEN_BATCHES:
            del self._open[next(iter(self._open))]

    def forget(self, number: int) -> None:
        """Drop a batch that is settled as a whole."""
        self._open.pop(number, None)

    def open_batch(self, connection: sqlite3.Connection, number: int) -> OpenBatch | None:
        """Return an unsettled batch; None when all of it is settled, or it is unknown."""
        batch = self._open.get(number)
        if batch is None:
            sql = load_queries("replay_log")
            found = connection.execute(sql["open_batch"], (number,)).fetchone()
            if found is None:
                return None
            received_ms, redriven, events, kinds = found
            if not 0 < events <= BATCH_MAX:
                raise StoreCorrupt(f"batch {number} says that it has {events} events")
            read = Kinds.unpack(kinds)
            if len(read.codes) not in {0, events}:
                raise StoreCorrupt(f"batch {number} has kinds for {len(read.codes)} events")
            batch = OpenBatch(number, received_ms, events, read, redriven=bool(redriven))
            for _, blob in connection.execute(sql["settlements"], batch_range(number)):
                for run in unpack_outcomes(blob):
                    batch.settle(_indexes(run.ranges, batch))
            self.remember(batch)
        return batch

    def is_unsettled(self, connection: sqlite3.Connection, position: Position) -> bool:
        """Tell whether the event at a position is stored and not settled."""
        batch = self.open_batch(connection, position >> 12)
        index = index_of(position)
        return batch is not None and index < len(batch.settled) and not batch.settled[index]

    def add_step(
        self, connection: sqlite3.Connection, position: Position, at_ms: int, what: str, detail: str
    ) -> None:
        """Add to the history of the event at a position."""
        sql = load_queries("replay_log")
        found = connection.execute(
            sql["key_at"], (position >> 12, 1 + 16 * index_of(position))
        ).fetchone()
        if found is not None:
            connection.execute(sql["put_step"], (found[0], position, at_ms, what, detail))


def batch_range(number: int) -> tuple[Position, Position]:
    """Return the first and last position that a batch may have."""
    return position_of(number, 0), position_of(number + 1, 0) - 1


def _indexes(ranges: Sequence[int], batch: OpenBatch) -> list[int]:
    try:
        found = from_ranges(ranges)
    except IndexError:
        found = []
    if not found or found[0] < 0 or found[-1] >= len(batch.settled):
        raise StoreCorrupt(f"batch {batch.number} has settlements of events that it has not")
    return found
