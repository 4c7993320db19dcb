"""How one store does: its commits, and whether it takes writes now.

Promise: `refuses` is set by the write that failed and cleared by `prove`, which writes for no other
reason; nothing is counted that did not happen. Refusal: no statement is run here, and an error of
the caller's own, as an approval that was decided before, is no fault of the store.

One thread writes these and another reads them: plain numbers, each right by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable

from conductor_state.errors import StoreCorrupt, StoreFull, StoreIOError, StoreLocked

FAULTS = (StoreFull, StoreIOError, StoreCorrupt, StoreLocked)
"""The errors that are the disk's or the file's, and not the caller's."""


def _nobody(seconds: float) -> None:
    """Take no note of a duration."""


class Vitals:
    """One for each database file."""

    def __init__(self, name: str, prove: Callable[[], Awaitable[None]]) -> None:
        """Begin with nothing known.

        Args:
            name: The file's name.
            prove: Writes something that changes nothing, through the same way as everybody.
        """
        self.name = name
        self.commits = 0
        self.failures = 0
        """Transactions that failed as a whole, or of which a part was refused by the disk."""
        self.refuses: str | None = None
        """The code of the last failure; None once a write is proved to work again."""
        self.took: Callable[[float], None] = _nobody
        """Told the seconds of each commit, on the store's thread."""
        self._prove = prove

    async def prove(self) -> None:
        """Write once, durably; `refuses` is None afterwards.

        Raises:
            StateError: It still refuses.
        """
        await self._prove()
        self.refuses = None

    def committed(self, seconds: float) -> None:
        """Note a commit."""
        self.commits += 1
        self.took(seconds)

    def refused(self, error: BaseException | None) -> None:
        """Note what a write failed with, if that is the store's own; nothing otherwise."""
        if isinstance(error, FAULTS):
            self.failures += 1
            self.refuses = error.code


def write_the_same(connection: sqlite3.Connection) -> None:
    """Write the number that stands there: a page and a sync, and no change."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version}")
