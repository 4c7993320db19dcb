"""The durable side of flows, and what it stands on, in one process.

Promise: `alone` runs one after the other, `together` all at once; `commits` and `files` are the
same work without a flow. Refusal: nothing is measured but what `durable` asks for.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.flows.answering import answer
from benchmarks.flows.chain_ours import chain, first, run, step
from benchmarks.flows.spilling import Spilling
from conductor_flows import Flow, callback
from conductor_flows.capabilities.rows import Rows
from conductor_flows.capabilities.sqlite_rows import SqliteRows
from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability, on_rows
from conductor_flows.durable.stores import RECORDS
from conductor_flows.execute.outcomes import Halted, Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services

T = TypeVar("T")
JOURNAL_MODE = "TRUNCATE"
"""Of packs' databases (`conductor_sdk.storage_worker`); the connection has it, not the file."""


class Counted:
    """A `RowStore` that counts pieces of work, and the records that they write."""

    def __init__(self, rows: SqliteRows) -> None:
        self._rows = rows
        self.jobs = self.records = 0

    async def run(self, work: Callable[[Rows], T]) -> T:
        """See `RowStore.run`."""
        self.jobs += 1
        return await self._rows.run(lambda rows: work(_Counting(rows, self)))

    async def close(self) -> None:
        """See `RowStore.close`."""
        await self._rows.close()


class _Counting:
    """Shelves that count what is put on the one for records."""

    def __init__(self, rows: Rows, count: Counted) -> None:
        self._count = count
        self._put = rows.put
        self.get, self.drop, self.keys = rows.get, rows.drop, rows.keys

    def put(self, shelf: str, key: str, data: bytes) -> None:
        """See `Rows.put`."""
        self._count.records += shelf == RECORDS
        self._put(shelf, key, data)


class Durably:
    """What `durable` asks for."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoints.db"
        self._rows = Counted(SqliteRows(self.path))
        self.durability: Durability = on_rows(self._rows)
        self._services = Services(durability=self.durability)
        self._runner = Runner(chain("strong").program(), self._services)
        self._raw: sqlite3.Connection | None = None

    async def alone(self, runs: int) -> dict[str, int]:
        """Run one after the other."""
        self._rows.jobs = self._rows.records = 0
        await run(self._runner, runs)
        return {"jobs": self._rows.jobs, "records": self._rows.records}

    async def together(self, runs: int) -> dict[str, int]:
        """Run all at once: what comes together shares commits."""
        self._rows.jobs = self._rows.records = 0
        await asyncio.gather(*(run(self._runner, 1) for _ in range(runs)))
        return {"jobs": self._rows.jobs, "records": self._rows.records}

    async def commits(self, number: int) -> None:
        """Commit as often, a row of the size of a checkpoint in the place of the one before."""
        if self._raw is None:
            self._raw = sqlite3.connect(self.path, isolation_level=None)
            self._raw.execute(f"PRAGMA journal_mode={JOURNAL_MODE}")
            self._raw.execute("PRAGMA synchronous=FULL")
            self._raw.execute("CREATE TABLE IF NOT EXISTS raw (key TEXT PRIMARY KEY, data BLOB)")
        data = os.urandom(1_100)
        for _ in range(number):
            self._raw.execute("BEGIN IMMEDIATE")
            self._raw.execute("INSERT OR REPLACE INTO raw VALUES ('key', ?)", (data,))
            self._raw.execute("COMMIT")

    async def resume(self, nodes: int) -> dict[str, float]:
        """Resume a run that has that many nodes behind it; only that is timed."""
        flow = Flow("waits", "1.0.0", durability="partial")
        last = flow.add(first)
        for number in range(1, nodes):
            following = flow.add(step, alias=f"step{number}")
            flow.connect(last, following)
            last = following
        waits = flow.add(callback("waits", dict[str, int], dict[str, int]))
        flow.connect(last, waits)
        flow.connect(waits, flow.add(step, alias="last"))
        runner = Runner(flow.program(), self._services)
        halted = await runner.run(Invocation({"n": 0}))
        assert isinstance(halted, Halted)
        assert halted.checkpoint_id is not None
        size = await self._size(halted.checkpoint_id)
        # The worker that goes on is another process than the one that halted.
        runner = Runner(flow.program(), self._services)
        signal = Signal({"n": 0}, halted.token)
        begin = time.perf_counter()
        outcome = await resume(runner, self.durability, halted.checkpoint_id, signal=signal)
        took_s = time.perf_counter() - begin
        assert Value({"n": 1}) == outcome
        return {"took_s": took_s, "record_kb": size / 1000}

    async def _size(self, checkpoint_id: str) -> int:
        def read(rows: Rows) -> int:
            (key,) = (key for key in rows.keys(RECORDS) if key.endswith(checkpoint_id))
            return len(rows.get(RECORDS, key) or b"")

        return await self._rows.run(read)

    async def long(self, nodes: int) -> dict[str, int]:
        """Run a chain of that many nodes once."""
        self._rows.jobs = self._rows.records = 0
        runner = Runner(chain("strong", nodes).program(), self._services)
        outcome = await runner.run(Invocation({"n": 0}))
        assert Value({"n": nodes}) == outcome
        return {"records": self._rows.records}


async def main() -> None:
    """Answer."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as name:
        folder = Path(name)
        durably, spilling = Durably(folder), Spilling(folder)
        await durably.alone(1)
        modes: dict[str, Callable[[int], Any]] = {
            "alone": durably.alone, "together": durably.together, "commits": durably.commits,
            "resume": durably.resume, "long": durably.long, "spill_files": spilling.spill_files,
            "spill_sqlite": spilling.spill_sqlite, "spill_memory": spilling.memory,
            "files": spilling.files, "synced_files": spilling.synced_files,
        }  # fmt: skip
        await answer(modes, journal_mode=JOURNAL_MODE.lower())
        await durably.durability.close()


if __name__ == "__main__":
    asyncio.run(main())
