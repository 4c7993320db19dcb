"""Answers by idempotency key in SQLite, so that a call that is repeated has one effect.

Promise: one call owns a key, its answer is what every repetition gets, and another input under the
same key is told apart. Refusal: no call is run here, and a claim that a crash left is not taken
over: it is answered as interrupted.
"""

from __future__ import annotations

import sqlite3
from zlib import crc32

from conductor_sdk.records import Claimed
from conductor_state.database import Database
from conductor_state.errors import StoreCorrupt
from conductor_state.queries import load_queries
from conductor_state.tool_answers import INTERRUPTED

PRUNE_ROWS = 500
"""Answers that one commit forgets at most, so that others take their turn."""


class SqliteToolResults:
    """`ResultStore` in `sidecar.db`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, actor: str, tool: str, key: str, input_hash: str, now_ms: int) -> Claimed:
        """Claim a key before the tool runs; durable on return.

        A key belongs to one actor and one tool: others may use the same word.

        Raises:
            StoreCorrupt: The kept answer is not what was stored.
        """

        def work(connection: sqlite3.Connection) -> Claimed:
            sql = load_queries("tool_results")
            row = connection.execute(sql["find"], (key, tool, actor)).fetchone()
            if row is None:
                connection.execute(sql["claim"], (actor, tool, key, input_hash, now_ms))
                return Claimed("fresh")
            stored_hash, output, checksum = row
            if stored_hash != input_hash:
                return Claimed("conflict")
            if output is None:
                return Claimed("running")
            if crc32(output) != checksum:
                raise StoreCorrupt(f"the checksum of the answer to {tool} {key!r} does not match")
            return Claimed("done", output)

        return await self._database.write(work)

    async def finish(self, actor: str, tool: str, key: str, output: bytes, now_ms: int) -> None:
        """Keep the answer of a claimed key; durable on return. The first answer stays."""
        await self._change("finish", (output, crc32(output), now_ms, key, tool, actor))

    async def release(self, actor: str, tool: str, key: str) -> None:
        """Give a claim back: the tool was not run. An answer stays."""
        await self._change("release", (key, tool, actor))

    async def abandon_running(self) -> int:
        """At start: answer `CALL_INTERRUPTED` to what was running when the process died.

        Returns how many. The effect may have happened, so it is not run again by itself.
        """
        return await self._change("abandon", (INTERRUPTED, crc32(INTERRUPTED)))

    async def prune(self, before_ms: int) -> int:
        """Forget answers older than `before_ms`, in small steps; returns how many went.

        Calls in progress stay.
        """
        total = 0
        while gone := await self._change("prune", (before_ms, PRUNE_ROWS)):
            total += gone
        return total

    async def _change(self, name: str, values: tuple[object, ...]) -> int:
        """Run one statement; returns how many rows it changed."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(load_queries("tool_results")[name], values).rowcount

        return await self._database.write(work)
