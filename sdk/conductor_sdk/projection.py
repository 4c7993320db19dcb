"""Tables that are derived from the journal, and how whoever owns them rebuilds them.

Promise: with a projection, `conductor log verify` can tell tables from what the journal says, and
`conductor log replay --write` can build them again. Refusal: a projection reads nothing but
the entries that it is given, neither clock nor files, so that two replays give equal tables.

A distribution names its projections in the entry-point group `conductor.projections`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Protocol

from conductor_sdk.chain.entry import Entry

GROUP = "conductor.projections"


class Projection(Protocol):
    """Some tables in `journal.db` whose content follows from the journal's entries."""

    @property
    def name(self) -> str:
        """How people know it, for example `plan`."""
        ...

    @property
    def tables(self) -> Sequence[str]:
        """The tables' names, a referenced table before those that refer to it."""
        ...

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the tables, empty, in a database that has none of them."""
        ...

    def replay(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Apply entries in order; called again and again until all have passed.

        Entries that are not its own are passed over. A damaged payload may raise: the replay then
        counts as drift. The transaction is the caller's.
        """
        ...
