"""Which operation of a simulated disk fails, and how."""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass, field

from simdisk.disk import CHANGES, FULL, Failure, Kind

ENOSPC = FULL
WRITE_EIO = Failure(sqlite3.SQLITE_IOERR_WRITE, errno.EIO)
READ_EIO = Failure(sqlite3.SQLITE_IOERR_READ, errno.EIO)
SYNC_EIO = Failure(sqlite3.SQLITE_IOERR_FSYNC, errno.EIO)


@dataclass(slots=True)
class FailFrom:
    """From the `first` matching operation on, `count` of them fail; None: until it is mended."""

    first: int
    failure: Failure
    kinds: frozenset[Kind] = CHANGES - {"remove"}  # type: ignore[assignment]  a frozenset of Kind
    count: int | None = None
    suffixes: tuple[str, ...] = ("",)
    seen: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)

    def __call__(self, kind: Kind, path: str) -> Failure | None:
        if kind not in self.kinds or not path.endswith(self.suffixes):
            return None
        self.seen += 1
        if self.seen < self.first or (self.count is not None and self.failed >= self.count):
            return None
        self.failed += 1
        return self.failure
