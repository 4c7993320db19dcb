"""A connection that fails when a test says so.

Promise: everything else goes to a real SQLite connection. Refusal: nothing is simulated but the
error itself; for faults below SQLite a fault-injecting file system is needed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from conductor_state.connection import connect_sqlite


def sqlite_error(code: int) -> sqlite3.OperationalError:
    """Build an error as SQLite raises it, for example `sqlite_error(sqlite3.SQLITE_FULL)`."""
    error = sqlite3.OperationalError("forced by a test")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "FORCED"
    return error


class FailingConnection:
    """Pass the class, or a function that returns one, as `connect` of `Database.open`."""

    def __init__(self, path: Path) -> None:
        self._connection = connect_sqlite(path)
        self.failures: list[tuple[str, int]] = []
        """(part of a statement, SQLite error code): the next statement with the part fails."""
        self.statements: list[str] = []
        """Every statement that was asked for."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Run a statement, unless it is to fail."""
        self._fail(sql)
        return self._connection.execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Run a statement many times, unless it is to fail."""
        self._fail(sql)
        return self._connection.executemany(sql, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _fail(self, sql: str) -> None:
        self.statements.append(sql)
        for failure in self.failures:
            if failure[0] in sql:
                self.failures.remove(failure)
                raise sqlite_error(failure[1])
