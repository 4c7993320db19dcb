"""Reads a log that the original planning tool wrote: its `events` table, and nothing else.

Promise: the file is opened for reading only, and its rows reach the verifier as they are stored.
Refusal: nothing is created, migrated or mended, and a file without such a table is named as that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from conductor_sdk.chain.entry import Head
from conductor_sdk.chain.v0 import LOG_ID, OriginalRow, verify_original
from conductor_sdk.chain.verdict import Verdict, missing
from conductor_sdk.errors import Exit
from conductor_state.errors import StateError
from conductor_state.journal_errors import journal_error
from conductor_state.queries import load_queries

_FETCH = 1000


class OriginalUnreadable(StateError):
    """This is not a log of the original tool."""

    code = "ORIGINAL_LOG_UNREADABLE"
    default_hint = "name the SQLite file that holds the table `events`: --original FILE"
    exit_code = Exit.USAGE


def verify_original_file(path: Path, anchors: Sequence[Head] = ()) -> Verdict:
    """Walk the log of the original tool in a file; a missing file is a verdict.

    Raises:
        OriginalUnreadable: The file holds no such log.
        StateError: The disk or a lock kept us from reading.
    """
    if not path.is_file():
        return missing(LOG_ID)
    queries = load_queries("journal_original")
    try:
        with closing(_opened(path)) as connection:
            connection.execute("BEGIN")
            if connection.execute(queries["has_events"]).fetchone()[0] == 0:
                raise OriginalUnreadable(str(path))
            return verify_original(
                _rows(connection, queries["events"]),
                anchors=anchors,
                recorded_head=_recorded(connection, queries),
                last_id=_last_id(connection, queries),
            )
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise journal_error(error, str(path)) from error
        raise OriginalUnreadable(f"{path}: {error}") from error


def _opened(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.text_factory = _text
    return connection


def _rows(connection: sqlite3.Connection, query: str) -> Generator[OriginalRow]:
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(_FETCH):
        for row in rows:
            yield OriginalRow(*row)


def _recorded(connection: sqlite3.Connection, queries: Mapping[str, str]) -> str | None:
    if connection.execute(queries["has_chain_state"]).fetchone()[0] == 0:
        return None
    found = connection.execute(queries["latest_hash"]).fetchone()
    return None if found is None else str(found[0])


def _last_id(connection: sqlite3.Connection, queries: Mapping[str, str]) -> int | None:
    if connection.execute(queries["has_sequence"]).fetchone()[0] == 0:
        return None
    found = connection.execute(queries["last_id"]).fetchone()
    return found[0] if found is not None and isinstance(found[0], int) else None


def _text(data: bytes) -> str:
    """Read text that may be damaged, so that the verifier judges it."""
    return data.decode("utf-8", "surrogateescape")
