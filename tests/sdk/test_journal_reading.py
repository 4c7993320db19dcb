"""Reading the harness's journal: the contract of every journal that a pack is given."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from conductor_sdk.testing.journal import RecordingJournal
from conductor_sdk.testing.journal_contract import (
    FILE,
    JournalFileReadingContract,
    JournalReadingContract,
)


class TestHarnessJournalInMemory(JournalReadingContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[RecordingJournal]:
        journal = RecordingJournal(actor="pack:demo")
        yield journal
        await journal.close()


class TestHarnessJournalInAFile(JournalFileReadingContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[RecordingJournal]:
        journal = RecordingJournal(actor="pack:demo", path=folder / FILE)
        yield journal
        await journal.close()
