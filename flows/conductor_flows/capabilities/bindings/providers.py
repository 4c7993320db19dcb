"""The providers by name.

Promise: one table says what can be bound, what each needs, and how it is made. Refusal: nothing is
opened by making one: files and connections come with the first use.

Checkpoint stores are named here, and made by `conductor_flows.durable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from conductor_flows.capabilities.caches import MemoryCache
from conductor_flows.capabilities.chance import PinnedClock, SeededRng, SystemRng
from conductor_flows.capabilities.errors import BindingRefused
from conductor_flows.capabilities.rows import MemoryRows, RowStore
from conductor_flows.capabilities.stores import RowBlobs, RowDedupe, RowKeyValue, RowQueue
from conductor_sdk.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Making:
    """What a provider is made with."""

    connect: Mapping[str, Any]
    clock: Clock
    closing: Callable[[Any], None]
    """Told of everything that has to be closed."""

    def text(self, key: str) -> str:
        """Return a text of `connect`."""
        found = self.connect.get(key)
        if not isinstance(found, str) or not found:
            raise BindingRefused(f"`connect` has no {key!r}")
        return found


Factory = Callable[[Making], Any]


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of the table."""

    make: Factory | None
    """None: it is made elsewhere."""
    argument: str | None = None
    """The key of `connect` that it needs."""


def _memory(making: Making) -> RowStore:
    del making
    return MemoryRows()


def _files(making: Making) -> RowStore:
    from conductor_flows.capabilities.file_rows import FileRows

    return FileRows(Path(making.text("root")))


def _sqlite(making: Making) -> RowStore:
    from conductor_flows.capabilities.sqlite_rows import SqliteRows

    rows = SqliteRows(Path(making.text("path")))
    making.closing(rows)
    return rows


def _kv(rows: Callable[[Making], RowStore]) -> Factory:
    return lambda making: RowKeyValue(rows(making), clock=making.clock)


def _blob(rows: Callable[[Making], RowStore]) -> Factory:
    return lambda making: RowBlobs(rows(making))


def _queue(rows: Callable[[Making], RowStore]) -> Factory:
    return lambda making: RowQueue(rows(making))


def _dedupe(rows: Callable[[Making], RowStore]) -> Factory:
    return lambda making: RowDedupe(rows(making), clock=making.clock)


def _database(making: Making) -> Any:
    from conductor_flows.capabilities.databases import SqliteDatabase

    memory = "path" not in making.connect
    path = None if memory else Path(making.text("path"))
    database = SqliteDatabase(path, clock=making.clock)
    making.closing(database)
    return database


def _http(making: Making) -> Any:
    from conductor_flows.capabilities.web import HttpClient

    client = HttpClient(reading=making.connect.get("reading") is True)
    making.closing(client)
    return client


def _pinned(making: Making) -> PinnedClock:
    try:
        return PinnedClock(datetime.fromisoformat(making.text("at")))
    except ValueError as error:
        raise BindingRefused(f"clock.pinned: {error}") from None


def _seeded(making: Making) -> SeededRng:
    try:
        return SeededRng(int(making.text("seed")))
    except ValueError:
        raise BindingRefused("rng.seeded: the seed is no whole number") from None


PROVIDERS: Final[Mapping[str, Provider]] = {
    "kv.memory": Provider(_kv(_memory)),
    "kv.filesystem": Provider(_kv(_files), "root"),
    "kv.sqlite": Provider(_kv(_sqlite), "path"),
    "blob.memory": Provider(_blob(_memory)),
    "blob.filesystem": Provider(_blob(_files), "root"),
    "blob.sqlite": Provider(_blob(_sqlite), "path"),
    "queue.memory": Provider(_queue(_memory)),
    "queue.sqlite": Provider(_queue(_sqlite), "path"),
    "dedupe.memory": Provider(_dedupe(_memory)),
    "dedupe.sqlite": Provider(_dedupe(_sqlite), "path"),
    "db.memory": Provider(_database),
    "db.sqlite": Provider(_database, "path"),
    "cache.memory": Provider(lambda making: MemoryCache(clock=making.clock)),
    "http.httpx2": Provider(_http),
    "clock.system": Provider(lambda _: SystemClock()),
    "clock.pinned": Provider(_pinned, "at"),
    "rng.system": Provider(lambda _: SystemRng()),
    "rng.seeded": Provider(_seeded, "seed"),
    "checkpoint_store.memory": Provider(None),
    "checkpoint_store.filesystem": Provider(None, "root"),
    "checkpoint_store.sqlite": Provider(None, "path"),
}


def argument_of(kind: str) -> str | None:
    """Return the key of `connect` that a kind of provider needs."""
    return PROVIDERS[kind].argument
