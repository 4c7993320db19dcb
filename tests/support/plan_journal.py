"""The workspace's journal as the plan pack is given it: over the real file, for tests.

Promise: entries and tables are committed as the daemon commits them. Refusal: no daemon, no
configuration, no check of table names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from conductor_sdk.chain.entry import Draft
from conductor_sdk.clock import Clock
from conductor_sdk.context import JournalReceipt
from conductor_sdk.context import JournalTransaction as PackTransaction
from conductor_sdk.reading import read_nothing
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalMissing
from conductor_state.journal_transaction import JournalTransaction

T = TypeVar("T")


class Transaction:
    def __init__(self, inner: JournalTransaction, actor: str) -> None:
        self.connection = inner.connection
        self._inner = inner
        self._actor = actor

    def append(
        self, event_type: str, payload: Mapping[str, Any], *,
        actor: str | None = None, session_id: str | None = None, task_id: str | None = None,
    ) -> JournalReceipt:  # fmt: skip
        draft = Draft(event_type, actor or self._actor, payload, session_id or "", task_id or "")
        entry = self._inner.append(draft)
        return JournalReceipt(entry.sequence, entry.hash)


class PackJournal:
    """A `JournalPort` over `SqliteJournal`."""

    def __init__(self, journal: SqliteJournal, actor: str = "pack:plan") -> None:
        self.journal = journal
        self._actor = actor

    async def append(self, event_type: str, payload: Mapping[str, Any]) -> int:
        return await self.journal.append(event_type, self._actor, payload)

    async def transaction(self, work: Callable[[PackTransaction], T]) -> T:
        return await self.journal.transaction(lambda inner: work(Transaction(inner, self._actor)))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self.journal.view(lambda view: work(view.connection))
        except JournalMissing:
            return read_nothing(work)


@asynccontextmanager
async def opened(
    path: Path, clock: Clock | None = None, **options: Any
) -> AsyncGenerator[PackJournal]:
    journal = SqliteJournal(path, clock=clock, **options)
    try:
        yield PackJournal(journal)
    finally:
        await journal.close()
