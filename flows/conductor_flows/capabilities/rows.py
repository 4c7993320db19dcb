"""Named bytes on shelves: what every store of a flow is built on, and the one in memory.

Promise: `run` sees and leaves a consistent state; nobody else's work comes between. A failure of
the work leaves everything as it was (for files: row by row, in the order in which it was put).
Refusal: bytes have no meaning here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Rows(Protocol):
    """The shelves, inside of one piece of work. Keys are ordered by code points."""

    def get(self, shelf: str, key: str) -> bytes | None:
        """Return a row."""
        ...

    def put(self, shelf: str, key: str, data: bytes) -> None:
        """Keep a row, in the place of what was there."""
        ...

    def drop(self, shelf: str, key: str) -> bool:
        """Forget a row; whether there was one."""
        ...

    def keys(
        self, shelf: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[str]:
        """Return keys with a prefix that come after another key."""
        ...


class RowStore(Protocol):
    """Somewhere with shelves."""

    async def run(self, work: Callable[[Rows], T]) -> T:
        """Do a piece of work, alone; what it put is durable when this returns.

        The work may run in another thread, and runs to its end even if the call is cancelled.
        """
        ...

    async def close(self) -> None:
        """Give up files and threads. Idempotent."""
        ...


class MemoryRows:
    """A `RowStore` that lasts as long as the process; for tests and development."""

    def __init__(self) -> None:
        self._shelves: dict[str, dict[str, bytes]] = {}
        self._before: list[tuple[str, str, bytes | None]] = []

    async def run(self, work: Callable[[Rows], T]) -> T:
        """See `RowStore.run`; the work runs at once, in this thread."""
        self._before.clear()
        try:
            return work(self)
        except BaseException:
            for shelf, key, data in reversed(self._before):
                if data is None:
                    self._shelves[shelf].pop(key, None)
                else:
                    self._shelves[shelf][key] = data
            raise

    async def close(self) -> None:
        """Keep everything: it may be opened again by the same process."""

    def get(self, shelf: str, key: str) -> bytes | None:
        """See `Rows.get`."""
        return self._shelves.get(shelf, {}).get(key)

    def put(self, shelf: str, key: str, data: bytes) -> None:
        """See `Rows.put`."""
        rows = self._shelves.setdefault(shelf, {})
        self._before.append((shelf, key, rows.get(key)))
        rows[key] = data

    def drop(self, shelf: str, key: str) -> bool:
        """See `Rows.drop`."""
        found = self._shelves.get(shelf, {}).pop(key, None)
        if found is not None:
            self._before.append((shelf, key, found))
        return found is not None

    def keys(
        self, shelf: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[str]:
        """See `Rows.keys`."""
        rows = self._shelves.get(shelf, {})
        return sorted(key for key in rows if key.startswith(prefix) and key > after)[:limit]
