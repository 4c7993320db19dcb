"""One scrape: what is read of the daemon, then written as Prometheus reads it.

Promise: the counts of events come from the stores, a transaction for each direction, so that the
conservation law holds in what is exported; nothing is read between scrapes. Refusal: one scrape at
a time; a second one waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conductor_sdk.event import KERNEL_KINDS
from conductor_sidecar import __version__
from conductor_sidecar.delivery.downlink import GAP_KIND
from conductor_sidecar.health.examiner import Examiner
from conductor_sidecar.health.vitals import StoreVitals
from conductor_sidecar.logs import suppressed_total
from conductor_sidecar.metrics.rows import Reading, StoreReading, rows
from conductor_sidecar.metrics.tallies import Buckets
from conductor_sidecar.runtime import Daemon, Parts

TOOL_CALLED = "agent-runtime:tool_called"
_OWN_KINDS = frozenset({*KERNEL_KINDS, GAP_KIND, TOOL_CALLED})
_BESIDE = ("", "-wal", "-journal")
"""Endings of the files of one database."""


class Scraper:
    """One for the daemon's life."""

    def __init__(
        self, daemon: Daemon, parts: Parts, examiner: Examiner, stores: Sequence[StoreVitals],
        files: Mapping[str, Path],
    ) -> None:  # fmt: skip
        """Begin to measure commits; everything else is measured already.

        Args:
            daemon: Gives the status.
            parts: What it is made of.
            examiner: Gives the health.
            stores: Whose commits are counted.
            files: Their files, by name.
        """
        self._daemon = daemon
        self._parts = parts
        self._examiner = examiner
        self._files = files
        self._turn = asyncio.Lock()
        self._stores = [(store, Buckets()) for store in stores]
        for store, took in self._stores:
            store.took = took.add
        self._build = (
            __version__, ".".join(map(str, sys.version_info[:3])), sqlite3.sqlite_version,
            parts.settings.link.adapter,
        )  # fmt: skip

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return a scrape's body and its content type.

        Args:
            accept: The request's Accept header.

        Raises:
            StateError: A store cannot be read.
        """
        async with self._turn:
            reading = await self.read()
            # Beside the event loop: a thousand series take 10 ms, the first import 50 and more.
            # A thread of its own: packs may keep those of the loop busy.
            with ThreadPoolExecutor(1, "metrics") as thread:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(thread, _written, reading, accept)

    async def read(self) -> Reading:
        """Read everything once.

        Raises:
            StateError: A store cannot be read.
        """
        parts = self._parts
        status = await self._daemon.report()
        entries, _ = await parts.desk.journal.head()
        return Reading(
            status=status, link=parts.keeper.report(), health=self._examiner.report(),
            heard=parts.keeper.heard, now=parts.clock.monotonic(), kinds=self._kinds(),
            tallies=parts.tallies, journal_entries=entries, ends=parts.keeper.ends,
            failures=parts.feed.failures, gaps=parts.feed.gaps, suppressed=suppressed_total(),
            build=self._build,
            stores=tuple(
                StoreReading(
                    store.name, store.commits, store.failures, took, _size(self._files[store.name])
                )
                for store, took in self._stores
            ),
        )  # fmt: skip

    def _kinds(self) -> Collection[str]:
        found = set(_OWN_KINDS)
        for pack in self._parts.packs.registry.packs:
            found.update(pack.emits, pack.subscribes)
        return found


def _written(reading: Reading, accept: str) -> tuple[bytes, str]:
    # At the first scrape and not before: a start would pay for it.
    from conductor_sidecar.metrics.exposition import expose

    return expose(rows(reading), accept)


def _size(path: Path) -> int:
    return sum(_bytes(path.with_name(path.name + ending)) for ending in _BESIDE)


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
