"""The embedded conductor's durable memory: what goes down, what came up, tokens and anchors.

Promise: a workspace's downward sequences are 1, 2, 3, … without a hole, an id keeps the first
sequence that it got, and every write is durable when it returns. Refusal: no token is kept, only
digests; nothing is sent from here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from itertools import starmap
from operator import itemgetter
from typing import Generic
from zlib import crc32

import msgspec

from conductor_sdk.clock import epoch_ms
from conductor_sdk.records import Outgoing
from conductor_state.database import Database
from conductor_state.history_records import AnchorT, EventT, HistoryRecords, TokenT
from conductor_state.queries import load_queries

_SEQUENCE_BITS = 40
_PAGE = 1000


class _Workspace(msgspec.Struct, frozen=True):
    number: int
    first: int
    last: int

    @property
    def base(self) -> int:
        """The place before the workspace's first event."""
        return self.number << _SEQUENCE_BITS


class SqliteHistory(Generic[EventT, AnchorT, TokenT]):
    """A history in an SQLite file of the schema `conductor`. Make it with `open`."""

    def __init__(
        self, database: Database, records: HistoryRecords[EventT, AnchorT, TokenT], epoch: str
    ) -> None:
        self._database = database
        self._clock = database.clock
        self._records = records
        self._epoch = epoch
        self._sql = load_queries("history")

    @classmethod
    async def open(
        cls, database: Database, records: HistoryRecords[EventT, AnchorT, TokenT]
    ) -> SqliteHistory[EventT, AnchorT, TokenT]:
        """Open the history of a database; `close` closes the database."""
        sql = load_queries("history")["epoch"]
        epoch: str = await database.read(lambda c: c.execute(sql).fetchone()[0])
        return cls(database, records, epoch)

    @property
    def epoch(self) -> str:
        """Random id of this history, made with the database; a lost database means a new one."""
        return self._epoch

    async def append(
        self, workspace: str, events: Sequence[Outgoing], *, again: bool = False
    ) -> list[int]:
        """Append downward events, one commit; returns their sequences, in order.

        An id already there, or earlier in the call, keeps and returns its first sequence; one
        that was forgotten is new. With `again` every event becomes a new entry: a resend.
        """
        if not events:
            return []
        at_ms = self._now()
        return await self._database.write(
            lambda c: self._append(c, workspace, events, at_ms, again=again)
        )

    async def read(self, workspace: str, after: int, limit: int, max_bytes: int) -> list[EventT]:
        """Read downward events after a sequence, in order; at least one if there is one."""
        return await self._database.read(
            lambda c: self._read(c, workspace, after, limit, max_bytes)
        )

    async def bounds(self, workspace: str) -> tuple[int, int]:
        """Return (first kept sequence, last sequence); (1, 0) when there is nothing.

        When all was forgotten the first is the last plus one.
        """
        found = await self._database.read(lambda c: self._find_workspace(c, workspace))
        return (1, 0) if found is None else (found.first, found.last)

    async def forget(self, workspace: str, through: int) -> int:
        """Drop downward events up to a sequence: how a gap is made. Returns how many."""
        return await self._database.write(lambda c: self._forget(c, workspace, through))

    async def record_push(self, workspace: str, events: Sequence[Outgoing]) -> list[bool]:
        """Store pushed events in order, one commit; False for an id that the workspace pushed."""
        if not events:
            return []
        at_ms = self._now()
        return await self._database.write(lambda c: self._push(c, workspace, events, at_ms))

    async def pushed(self, workspace: str | None, after: int, limit: int) -> list[EventT]:
        """Read pushed events after a sequence, in the order in which they were stored.

        Their sequences count the pushes of all workspaces together.
        """
        sql = self._sql["pushed" if workspace is None else "pushed_by"]
        given = (after, limit) if workspace is None else (workspace, after, limit)
        return await self._database.read(
            lambda c: list(starmap(self._records.event, c.execute(sql, given)))
        )

    async def workspaces(self) -> list[str]:
        """Every workspace that has events, tokens or anchors, sorted."""
        return await self._database.read(
            lambda c: [name for (name,) in c.execute(self._sql["workspaces"])]
        )

    async def put_anchor(self, anchor: AnchorT) -> None:
        """Keep a journal head."""
        row = (anchor.workspace, anchor.size, anchor.hash, anchor.at_ms)
        await self._database.write(lambda c: c.execute(self._sql["add_anchor"], row).rowcount)

    async def anchors(self, workspace: str) -> list[AnchorT]:
        """Return a workspace's anchors, oldest first."""
        return await self._database.read(
            lambda c: list(
                starmap(self._records.anchor, c.execute(self._sql["anchors"], (workspace,)))
            )
        )

    async def put_token(self, token: TokenT) -> None:
        """Insert or replace a token by its id."""
        row = (token.token_id, token.digest, token.purpose, token.workspace, token.issued_ms,
               token.expires_ms, token.revoked_ms, token.used_ms)  # fmt: skip
        await self._database.write(lambda c: c.execute(self._sql["put_token"], row).rowcount)

    async def token_by_digest(self, digest: str) -> TokenT | None:
        """Find a token by the SHA-256 hex digest of its text."""
        rows = await self._database.read(
            lambda c: c.execute(self._sql["token_by_digest"], (digest,)).fetchall()
        )
        return self._records.token(*rows[0]) if rows else None

    async def tokens(self) -> list[TokenT]:
        """Return all tokens, oldest first."""
        return await self._database.read(
            lambda c: list(starmap(self._records.token, c.execute(self._sql["tokens"])))
        )

    async def close(self) -> None:
        """Release the database. Idempotent."""
        await self._database.close()

    def _append(
        self, c: sqlite3.Connection, name: str, events: Sequence[Outgoing], at_ms: int, *,
        again: bool,
    ) -> list[int]:  # fmt: skip
        workspace = self._workspace(c, name)
        base, last = workspace.base, workspace.last
        known = {} if again else self._known(c, workspace, events, down=True)
        places: list[int] = []
        rows: list[tuple[int, str, str, int, bytes]] = []
        for event in events:
            place = known.get(event.event_id)
            if place is None:
                last += 1
                place = base + last
                rows.append((place, event.event_id, event.kind, at_ms, event.body))
                if not again:
                    known[event.event_id] = place
            places.append(place)
        if rows:
            c.executemany(self._sql["add_downward"], rows)
            keys = sorted((_key(workspace, row[1]), row[0]) for row in rows)
            c.executemany(self._sql["add_downward_id"], keys)
            c.execute(self._sql["set_last"], (last, workspace.number))
        return [place - base for place in places]

    def _read(
        self, c: sqlite3.Connection, name: str, after: int, limit: int, max_bytes: int
    ) -> list[EventT]:
        workspace = self._find_workspace(c, name)
        if workspace is None:
            return []
        base = workspace.base
        found: list[EventT] = []
        size = 0
        places = (base + max(after, 0), base + workspace.last, limit)
        for place, event_id, kind, body, at_ms in c.execute(self._sql["read_downward"], places):
            size += len(body)
            if found and size > max_bytes:
                break
            found.append(self._records.event(place - base, event_id, kind, body, at_ms))
        return found

    def _forget(self, c: sqlite3.Connection, name: str, through: int) -> int:
        workspace = self._find_workspace(c, name)
        if workspace is None or through < workspace.first:
            return 0
        first, end = workspace.first, min(through, workspace.last)
        place, last_place = workspace.base + first, workspace.base + end
        while place <= last_place:
            page = c.execute(
                self._sql["downward_ids_between"], (place, last_place, _PAGE)
            ).fetchall()
            c.executemany(
                self._sql["drop_downward_id"], [(_key(workspace, i), at) for i, at in page]
            )
            place += _PAGE
        c.execute(self._sql["drop_downward"], (workspace.base + first, last_place))
        c.execute(self._sql["set_first"], (end + 1, workspace.number))
        return end - first + 1

    def _push(
        self, c: sqlite3.Connection, name: str, events: Sequence[Outgoing], at_ms: int
    ) -> list[bool]:
        workspace = self._workspace(c, name)
        known = self._known(c, workspace, events, down=False)
        row = c.execute(self._sql["last_upward"]).fetchone()
        last: int = 0 if row is None else row[0]
        rows: list[tuple[int, int, str, str, int, bytes]] = []
        fresh: list[bool] = []
        for event in events:
            fresh.append(event.event_id not in known)
            if fresh[-1]:
                last += 1
                known[event.event_id] = last
                rows.append((last, workspace.number, event.event_id, event.kind, at_ms, event.body))
        c.executemany(self._sql["add_upward"], rows)
        keys = sorted((_key(workspace, row[2]), row[0]) for row in rows)
        c.executemany(self._sql["add_upward_id"], keys)
        return fresh

    def _known(
        self, c: sqlite3.Connection, workspace: _Workspace, events: Collection[Outgoing], *,
        down: bool,
    ) -> dict[str, int]:  # fmt: skip
        ids = {event.event_id for event in events}
        keys = _json([_key(workspace, event_id) for event_id in ids])
        find = self._sql["find_downward" if down else "find_upward"]
        places = [place for (place,) in c.execute(find, (keys,))]
        if not places:
            return {}
        if down:
            base, end = workspace.base, workspace.base + workspace.last
            mine = [place for place in places if base < place <= end]
            rows = c.execute(self._sql["downward_ids_at"], (_json(mine),))
        else:
            given = (_json(places), workspace.number)
            rows = c.execute(self._sql["upward_ids_at"], given)
        # The lowest place last: of an id that was sent again, the first entry counts.
        found = sorted(rows, key=itemgetter(1), reverse=True)
        return {event_id: place for event_id, place in found if event_id in ids}

    def _workspace(self, c: sqlite3.Connection, name: str) -> _Workspace:
        found = self._find_workspace(c, name)
        if found is not None:
            return found
        number = c.execute(self._sql["add_workspace"], (name,)).lastrowid
        return _Workspace(number or 0, 1, 0)

    def _find_workspace(self, c: sqlite3.Connection, name: str) -> _Workspace | None:
        row = c.execute(self._sql["workspace"], (name,)).fetchone()
        return None if row is None else _Workspace(*row)

    def _now(self) -> int:
        return epoch_ms(self._clock.now())


def _key(workspace: _Workspace, event_id: str) -> int:
    return crc32(event_id.encode("utf-8", "surrogatepass"), workspace.number)


def _json(numbers: list[int]) -> str:
    return msgspec.json.encode(numbers).decode()
