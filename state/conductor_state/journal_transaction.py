"""One state of the journal's file, to read from, and one commit, to write statements and entries.

Promise: what a transaction wrote and appended becomes durable together or not at all. Refusal: no
lock and no commit here; both are the file's, and neither object outlives its call.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from conductor_sdk.chain.batch import as_entry
from conductor_sdk.chain.entry import Draft, Entry, Head, Prepared, extend, prepare
from conductor_state.journal_errors import journal_error
from conductor_state.shared_file import fetch_rows


class JournalView:
    """The journal as of one state of the file."""

    def __init__(
        self, connection: sqlite3.Connection, log_id: str, queries: Mapping[str, str]
    ) -> None:
        self.connection = connection
        """For the tables that stand beside the journal."""
        self.log_id = log_id
        """"" when the file holds no log at all, or the log has lost its name."""
        self._queries = queries

    def entries(self, after: int, limit: int) -> list[Entry]:
        """Return entries beyond a sequence, in order; none where the file holds no log."""
        return self.select(self._queries["page"], (after, limit)) if self.log_id else []

    def select(self, query: str, values: Sequence[object]) -> list[Entry]:
        """Return what a query finds whose columns are those of an entry."""
        rows = fetch_rows(self.connection, query, values)
        return [as_entry(row, self.log_id) for row in rows]


class JournalTransaction(JournalView):
    """Statements and entries of one commit, under the file's write lock."""

    def __init__(
        self, connection: sqlite3.Connection, log_id: str, head: Head,
        queries: Mapping[str, str], now: Callable[[], str], where: str,
    ) -> None:  # fmt: skip
        super().__init__(connection, log_id, queries)
        self._now = now
        self._where = where
        self.head = head
        """The last entry so far, the ones of this transaction included."""

    def append(self, draft: Draft) -> Entry:
        """Append one entry; its sequence and hash are the receipt once the commit is through.

        Raises:
            EntryRefused: A name has the wrong shape.
            PayloadRefused: The payload is not JSON of the allowed kind.
            StateError: The journal's file refused.
        """
        return self.append_prepared([prepare(draft)])[0]

    def append_prepared(self, drafts: Sequence[Prepared]) -> list[Entry]:
        """Append checked drafts, in order; at least one."""
        entries = extend(self.log_id, self.head, drafts, self._now())
        last = entries[-1]
        try:
            self.connection.executemany(self._queries["insert"], map(_row, entries))
            self.connection.execute(self._queries["record_head"], (last.sequence, last.hash))
        except sqlite3.Error as error:
            raise journal_error(error, self._where) from error
        self.head = Head(last.sequence, last.hash)
        return entries


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        entry.chain_version, entry.sequence, entry.time, entry.event_type, entry.actor,
        entry.session_id, entry.task_id, entry.payload, entry.previous, entry.hash,
    )  # fmt: skip
