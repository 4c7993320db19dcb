"""The journal: durable appends and verification, against raw SQLite and raw SHA-256.

Promise: both sides of a ratio are measured in the same round. Refusal: no figure of a chain that
does not verify; the walk's verdict is looked at every time.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.journal_entries import ENTRY_COLUMNS, draft, hashed_bytes
from benchmarks.processes import CONDUCTOR, MeasurementFailed, environment, python
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_state.journal import SqliteJournal
from conductor_state.journal_transaction import JournalTransaction

PROCESSES = 4
CALLERS = 16
_BATCH = 20_000
_SAMPLE = 10_000
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class JournalSizes:
    """How much is measured."""

    rounds: int
    alone: int
    """Appends of one caller, and of each of several processes."""
    together: int
    """Appends of several callers in all."""
    bulk: int
    """Entries of one call."""
    verified: int
    """Entries of the log that is verified."""
    walks: int
    """Rounds of verifying."""


FULL = JournalSizes(rounds=5, alone=500, together=4_000, bulk=20_000, verified=1_000_000, walks=3)
QUICK = JournalSizes(rounds=1, alone=100, together=800, bulk=4_000, verified=20_000, walks=1)


def measure(bench: Bench) -> None:
    """Measure appends, then verification, in interleaved rounds."""
    sizes = QUICK if bench.sizes.rounds == 1 else FULL
    for number in range(sizes.rounds):
        bench.part(f"appends, round {number + 1} of {sizes.rounds}")
        _appends(bench, sizes)
    bench.part(f"filling a journal with {sizes.verified} entries")
    workspace = _filled(bench, sizes.verified)
    for number in range(sizes.walks):
        bench.part(f"verifying {sizes.verified} entries, round {number + 1} of {sizes.walks}")
        _verifying(bench, workspace, sizes.verified)
    shutil.rmtree(workspace.root)


def _appends(bench: Bench, sizes: JournalSizes) -> None:
    directory = bench.directory / bench.name("appends")
    directory.mkdir()

    def note(name: str, mode: str, count: int, at_once: int = 1, processes: int = 1) -> None:
        path = directory / f"{name}.db"
        bench.add(name, "entries/s", _rate(mode, path, count, at_once, processes))
        if mode == "journal":
            asyncio.run(_sound(path, count * processes))

    note("raw_sqlite", "raw", sizes.alone)
    note("append_alone", "journal", sizes.alone)
    note("append_callers", "journal", sizes.together, CALLERS)
    note("raw_sqlite_processes", "raw", sizes.alone, 1, PROCESSES)
    note("append_processes", "journal", sizes.alone, 1, PROCESSES)
    bench.add("append_bulk", "entries/s", asyncio.run(_bulk(directory / "bulk.db", sizes.bulk)))
    bench.add("raw_sha256", "entries/s", _SAMPLE / _hashing(_SAMPLE))
    shutil.rmtree(directory)


def _rate(mode: str, path: Path, count: int, at_once: int, processes: int) -> float:
    """Return the appends a second of all processes together, from the first to the last."""
    arguments = (mode, path, count, at_once)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(python("benchmarks.clients.appenders", *arguments))
            for _ in range(processes)
        ]
        for client in clients:
            client.hear("waiting")
        for client in clients:
            client.say()
        said = [client.hear_all("ended") for client in clients]
    took: float = max(each["ended"] for each in said) - min(each["began"] for each in said)
    return processes * count / took


async def _sound(path: Path, size: int) -> None:
    journal = SqliteJournal(path)
    verdict = await journal.verify()
    await journal.close()
    if (verdict.chain, verdict.size) != ("OK", size):
        raise MeasurementFailed(f"{verdict.chain}, {verdict.size} entries: {verdict.detail}")


async def _bulk(path: Path, count: int) -> float:
    """Return the entries a second of one call that brings many."""
    journal = SqliteJournal(path)
    await journal.create()
    drafts = [draft(number) for number in range(count)]
    began = time.monotonic()
    await journal.append_many(drafts)
    took = time.monotonic() - began
    await journal.close()
    return count / took


def _filled(bench: Bench, count: int) -> Workspace:
    root = bench.directory / bench.name("verified")
    root.mkdir()
    workspace = resolve_workspace(root)
    workspace.create()
    asyncio.run(_fill(workspace.journal_db, count))
    return workspace


async def _fill(path: Path, count: int) -> None:
    def widen(transaction: JournalTransaction) -> None:
        # Previous hashes are random, so that their index wants more cache than single appends do.
        transaction.connection.execute("PRAGMA cache_size = -262144")

    journal = SqliteJournal(path)
    await journal.create()
    await journal.transaction(widen)
    for first in range(0, count, _BATCH):
        await journal.append_many([draft(n) for n in range(first, min(first + _BATCH, count))])
    await journal.close()


def _verifying(bench: Bench, workspace: Workspace, count: int) -> None:
    path = workspace.journal_db
    bench.add("raw_read", "s", _took(lambda: _read(path)))
    bench.add("raw_hashing", "s", count / _SAMPLE * _hashing(_SAMPLE))
    bench.add("verify", "s", _took(lambda: asyncio.run(_sound(path, count))))
    bench.add("verify_command", "s", _took(lambda: _command(workspace)))


def _read(path: Path) -> None:
    """Read every column of every row, and look at none."""
    columns = ", ".join(ENTRY_COLUMNS)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {columns} FROM journal ORDER BY sequence")
        while rows.fetchmany(_PAGE):
            pass


def _hashing(count: int) -> float:
    """Return the seconds of hashing so many entries that are there already."""
    data, sha256 = hashed_bytes(count), hashlib.sha256
    began = time.perf_counter()
    for each in data:
        sha256(each).hexdigest()
    return time.perf_counter() - began


def _command(workspace: Workspace) -> None:
    """Run `conductor log verify`: the walk, a replay by every installed projection, the verdict."""
    arguments = [str(CONDUCTOR), "log", "verify", "--workspace", str(workspace.root)]
    subprocess.run(arguments, check=True, env=environment(), stdout=subprocess.DEVNULL)


def _took(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
