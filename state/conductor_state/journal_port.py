"""What audits, replays and commands use of a journal: a port, so that none names the store.

Promise: everything here but `transaction` only reads. Refusal: no entry can be appended except
inside a transaction of the owner of derived tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from conductor_sdk.chain.batch import Row, Sink
from conductor_sdk.chain.entry import Entry, Head
from conductor_sdk.chain.verdict import Verdict
from conductor_state.journal_transaction import JournalTransaction, JournalView

T = TypeVar("T")


class AuditedJournal(Protocol):
    """A journal, open; `SqliteJournal` says what each method promises."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    async def head(self) -> tuple[int, str]:
        """Return size and last hash."""
        ...

    async def tail(self, after: int = 0, limit: int = 100) -> list[Entry]:
        """Return entries beyond `after`, at most `limit`."""
        ...

    async def latest(self, limit: int = 20) -> list[Entry]:
        """Return the newest entries, in order."""
        ...

    async def verify(self, anchors: Sequence[Head] = ()) -> Verdict:
        """Walk the log."""
        ...

    async def walk(
        self,
        anchors: Sequence[Head] = (),
        sink: Sink | None = None,
        pages: Callable[[str, Sequence[Row]], object] | None = None,
    ) -> tuple[str, Verdict]:
        """Walk the log and hand out the bytes, or the rows, of every sound entry."""
        ...

    async def view(self, work: Callable[[JournalView], T]) -> T:
        """Read one state of the file."""
        ...

    async def transaction(self, work: Callable[[JournalTransaction], T]) -> T:
        """Write statements and entries in one commit."""
        ...

    async def close(self) -> None:
        """Release the file."""
        ...
