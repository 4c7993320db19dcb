"""Schemas and their migrations: plain SQL files, applied in order, forward only.

Promise: a file is at a version that this program knows when `migrate` returns, and a copy of it
from before stands beside it. Refusal: a file of a newer program is not touched.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from conductor_state.errors import SchemaTooNew, StoreCorrupt
from conductor_state.event_sums import teach
from conductor_state.storage import DISK, Storage

VERSION_MAX = 10_000
"""No program of ours will ever have so many migrations: such a version is damage."""
_MIGRATIONS = Path(__file__).parent / "migrations"


class Schema(msgspec.Struct, frozen=True):
    """A named list of migrations; a file at version `n` has had the first `n` of them."""

    name: str
    migrations: tuple[str, ...]

    @property
    def version(self) -> int:
        """The version that this program writes: kept in the file as `PRAGMA user_version`."""
        return len(self.migrations)

    def is_of(self, connection: sqlite3.Connection) -> bool:
        """Tell whether a database holds every statement that its version should; others may be too.

        A damaged statement can still be one that SQLite understands: `INTEGER ?RIMARY KEY` is a
        column like any other, in which no row has a value.
        """
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if not 0 < found <= self.version:
            return True  # `migrate` judges the version
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
            teach(fresh)
            for script in self.migrations[:found]:
                fresh.executescript(script)
            return _statements(fresh) <= _statements(connection)


def _statements(connection: sqlite3.Connection) -> set[tuple[bytes, bytes, bytes]]:
    return set(
        connection.execute(  # as bytes: what is damaged need not be text
            "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_master"
            " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'"
        )
    )


def load_schema(name: str) -> Schema:
    """Read a schema that ships with this package: `sidecar` or `conductor`."""
    files = sorted((_MIGRATIONS / name).glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return Schema(name, tuple(file.read_text(encoding="utf-8") for file in files))


def migrate(
    connection: sqlite3.Connection, schema: Schema, path: Path, storage: Storage = DISK
) -> None:
    """Bring the database to `schema.version`, each migration in a transaction of its own.

    An existing database is copied to `<file>.v<N>.bak` (mode 0600) before it changes.

    Raises:
        SchemaTooNew: The file has a higher version than this program knows.
    """
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= found < VERSION_MAX:
        raise StoreCorrupt(f"{path}: {found} is no version")
    if found > schema.version:
        raise SchemaTooNew(f"{path} has version {found}, this program knows {schema.version}")
    if 0 < found < schema.version:
        storage.back_up(connection, path.with_name(f"{path.name}.v{found}.bak"))
    teach(connection)
    for number, script in enumerate(schema.migrations[found:], start=found + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
