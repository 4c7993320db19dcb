"""The plan's tables as what the journal's entries say.

Promise: replaying the journal gives the tables that the mutations made, because both go through
the same `apply`. Refusal: no clock, no file, and no entry but the plan's own is looked at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from conductor_packs.plan.apply import Fact, apply
from conductor_packs.plan.events import CHANGES
from conductor_packs.plan.sql import load_sql
from conductor_sdk.chain.canonical import parse_payload
from conductor_sdk.chain.entry import Entry
from conductor_sdk.projection import Projection

TABLES: Final = (
    "plans", "plan_items", "plan_links", "plan_claims", "plan_reservations", "plan_keys",
    "plan_orders",
)  # fmt: skip


class PlanProjection:
    """Rebuilds the plan's tables."""

    name = "plan"
    tables: Sequence[str] = TABLES

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the tables, empty, where they are missing."""
        for statement in load_sql("schema").values():
            connection.execute(statement)

    def replay(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Apply entries in order; the ones that are not a plan's are passed over.

        Raises:
            PlanDamaged: An entry does not fit the tables that the entries before it made.
            PayloadRefused: A payload is not what the journal writes.
        """
        for entry in entries:
            if entry.event_type in CHANGES:
                payload = parse_payload(entry.payload)
                apply(connection, Fact(entry.sequence, entry.hash, entry.event_type, payload))


projection: Projection = PlanProjection()
