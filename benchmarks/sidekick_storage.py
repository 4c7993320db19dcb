"""Sidekick's storage with 20,000 memories: creates and recalls a second, and their ratios.

Promise: each round measures everything, so that what disturbs a round disturbs both sides of a
ratio; a create is a record and its audit entry, on disk when it counts. Refusal: nothing is
asserted; `python -m benchmarks.more sidekick` writes the report.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from benchmarks.bench import Bench
from benchmarks.storage_peers import LineFile, RawSqlite, Row
from conductor_packs.sidekick.records import MEMORIES, Memory
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.port import Change, MemoryQuery, StoragePort
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort

RECORDS = 20_000
ROUNDS = 5
AT_ONCE = 64
AT = "2026-01-01T00:00:00.000Z"
LIMIT = 10

PORTS: dict[str, Callable[[Path], StoragePort]] = {
    "files": FilesystemStoragePort, "sqlite": SqliteStoragePort,
}  # fmt: skip
RATIOS = {
    "create_files_to_line_file": ("create_files", "create_line_file"),
    "create_sqlite_to_line_file": ("create_sqlite", "create_line_file"),
    "create_files_to_raw_sqlite": ("create_files", "create_raw_sqlite"),
    "create_sqlite_to_raw_sqlite": ("create_sqlite", "create_raw_sqlite"),
    "create_files_64_to_line_file": ("create_files_64", "create_line_file"),
    "create_sqlite_64_to_line_file": ("create_sqlite_64", "create_line_file"),
    "create_files_64_to_raw_sqlite": ("create_files_64", "create_raw_sqlite"),
    "create_sqlite_64_to_raw_sqlite": ("create_sqlite_64", "create_raw_sqlite"),
    "recall_files_to_line_file": ("recall_files", "recall_line_file"),
    "recall_sqlite_to_line_file": ("recall_sqlite", "recall_line_file"),
    "recall_files_to_raw_sqlite": ("recall_files", "recall_raw_sqlite"),
    "recall_sqlite_to_raw_sqlite": ("recall_sqlite", "recall_raw_sqlite"),
}
"""What is divided by what."""


class Library:
    """Memories of a few words each; some words are common and most are rare, as in a language."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = ["".join(self._random.choices(letters, k=7)) for _ in range(5_000)]
        self._number = 0

    def row(self) -> Row:
        """Return a new memory as plain data."""
        self._number += 1
        ranks = (
            int(5_000 ** self._random.random()) - 1 for _ in range(self._random.randint(6, 24))
        )
        return {
            "id": f"mem-{self._number:08x}", "type": "fact", "tags": ["bench"], "created_at": AT,
            "updated_at": AT, "content": " ".join(self._words[rank] for rank in ranks),
        }  # fmt: skip

    def question(self) -> list[str]:
        """Return two words, neither very common nor unique."""
        return [self._words[self._random.randrange(50, 1_000)] for _ in range(2)]


def measure(bench: Bench, *, records: int = RECORDS, rounds: int = ROUNDS) -> None:
    """Measure all of it in interleaved rounds, in directories of the bench."""
    for number in range(rounds):
        bench.part(f"Sidekick's storage with {records} memories, round {number + 1} of {rounds}")
        library = Library(number)
        rows = [library.row() for _ in range(records)]
        directory = bench.directory / bench.name("storage")
        directory.mkdir()
        _line_file(bench, directory, library, rows)
        _raw_sqlite(bench, directory, library, rows)
        for name in PORTS:
            asyncio.run(_port(bench, name, directory, library, rows))
        shutil.rmtree(directory)


def _line_file(bench: Bench, directory: Path, library: Library, rows: list[Row]) -> None:
    peer = LineFile(directory / "memory.jsonl")
    peer.fill(rows)
    peer.create(library.row())
    bench.add("create_line_file", "/s", _rate(20, lambda: peer.create(library.row())))
    asked = [" ".join(library.question()) for _ in range(20)]
    bench.add("recall_line_file", "/s", _rate(20, lambda: peer.recall(asked.pop(), LIMIT)))


def _raw_sqlite(bench: Bench, directory: Path, library: Library, rows: list[Row]) -> None:
    peer = RawSqlite(directory / "raw.db")
    peer.fill(rows)
    peer.create(library.row())
    bench.add("create_raw_sqlite", "/s", _rate(300, lambda: peer.create(library.row())))
    asked = [library.question() for _ in range(200)]
    bench.add("recall_raw_sqlite", "/s", _rate(200, lambda: peer.recall(asked.pop(), LIMIT)))
    peer.close()


def _rate(number: int, act: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(number):
        act()
    return number / (time.perf_counter() - began)


async def _port(
    bench: Bench, name: str, directory: Path, library: Library, rows: list[Row]
) -> None:
    port = PORTS[name](directory / name / ".sidekick")

    async def create() -> None:
        record = _memory(library.row())
        await port.change(lambda change: _create(change, record))

    async def recall() -> None:
        query = MemoryQuery(" ".join(library.question()), limit=LIMIT)
        await port.read(lambda view: view.search(query))

    await port.change(lambda change: _fill(change, rows))
    await create()
    await recall()
    bench.add(f"create_{name}", "/s", await _async_rate(100, 1, create))
    bench.add(f"create_{name}_{AT_ONCE}", "/s", await _async_rate(1_920, AT_ONCE, create))
    await recall()
    bench.add(f"recall_{name}", "/s", await _async_rate(200, 1, recall))
    await port.close()


async def _async_rate(number: int, at_once: int, act: Callable[[], Awaitable[None]]) -> float:
    async def one_after_another() -> None:
        for _ in range(number // at_once):
            await act()

    began = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return number / (time.perf_counter() - began)


def _memory(row: Row) -> Memory:
    return Memory(**{**row, "tags": tuple(row["tags"])})


def _create(change: Change, record: Memory) -> None:
    change.put(MEMORIES, record)
    change.audit("create", "memory:store", actor="bench", ids=[record.id])


def _fill(change: Change, rows: list[Row]) -> None:
    for row in rows:
        change.put(MEMORIES, _memory(row))
