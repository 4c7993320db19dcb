"""Statements that only read: what the `work` of a journal's `read` may do.

Promise: inside of `read_only` SQLite refuses every statement that would change something, before
it runs, whoever prepared it. Refusal: no transaction is begun or ended here, and no file opened.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final, TypeVar

T = TypeVar("T")

TELLING_PRAGMAS: Final = frozenset(
    {"table_info", "table_xinfo", "index_list", "index_info", "data_version"}
)
"""Those that only tell something; SQLite's own full-text tables ask the last one."""
_READS: Final = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
})  # fmt: skip


@contextlib.contextmanager
def read_only(connection: sqlite3.Connection) -> Generator[None]:
    """Let statements read every table and change nothing inside the block.

    What is refused is an `sqlite3.DatabaseError`, "not authorized".
    """
    connection.set_authorizer(_authorize)
    try:
        yield
    finally:
        connection.set_authorizer(None)


def read_nothing(work: Callable[[sqlite3.Connection], T]) -> T:
    """Run `work` on an empty database, as where no file was made yet."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty, read_only(empty):
        return work(empty)


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_PRAGMA:
        allowed = (first or "").lower() in TELLING_PRAGMAS
    else:
        allowed = action in _READS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
