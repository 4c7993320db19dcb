"""Reading the plan's tables into records, inside of one transaction.

Promise: what is not there raises an error that names it. Refusal: nothing is written, and nothing
is kept between transactions.
"""

from __future__ import annotations

import sqlite3
from typing import Literal, TypeAlias

from conductor_packs.plan.errors import (
    ItemNotFound,
    LinkNotFound,
    PlanNotFound,
)
from conductor_packs.plan.records import Board, Claim, Item, Link, Plan, Reservation, State
from conductor_packs.plan.sql import load_sql

Need: TypeAlias = tuple[str, State, Literal["DEPENDS_ON", "PARENT"]]
"""An item that another one waits for, the state it is in, and by which link."""


class Reader:
    """The tables as they are in a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._sql = load_sql("statements")

    def present(self) -> bool:
        """Tell whether the tables were made."""
        return self.connection.execute(self._sql["present"]).fetchone() is not None

    def plans(self) -> list[Plan]:
        """Return every plan, oldest first."""
        return [Plan(*row) for row in self.connection.execute(self._sql["plans"])]

    def plan(self, plan_id: str) -> Plan:
        """Return a plan.

        Raises:
            PlanNotFound: There is none.
        """
        row = self.connection.execute(self._sql["plan"], (plan_id,)).fetchone()
        if row is None:
            raise PlanNotFound(repr(plan_id), data={"plan_id": plan_id})
        return Plan(*row)

    def has_plan(self, plan_id: str) -> bool:
        """Tell whether there is such a plan."""
        return self.connection.execute(self._sql["plan"], (plan_id,)).fetchone() is not None

    def items(self, plan_id: str) -> list[Item]:
        """Return a plan's items, oldest first."""
        return [Item(*row) for row in self.connection.execute(self._sql["items"], (plan_id,))]

    def find_item(self, item_id: str) -> Item | None:
        """Return an item, or None."""
        row = self.connection.execute(self._sql["item"], (item_id,)).fetchone()
        return None if row is None else Item(*row)

    def item(self, item_id: str) -> Item:
        """Return an item.

        Raises:
            ItemNotFound: There is none.
        """
        found = self.find_item(item_id)
        if found is None:
            raise ItemNotFound(repr(item_id), data={"item_id": item_id})
        return found

    def links(self, plan_id: str) -> list[Link]:
        """Return a plan's links, oldest first."""
        return [Link(*row) for row in self.connection.execute(self._sql["links"], (plan_id,))]

    def find_link(self, link_id: str) -> Link | None:
        """Return a link, or None."""
        row = self.connection.execute(self._sql["link"], (link_id,)).fetchone()
        return None if row is None else Link(*row)

    def link(self, link_id: str) -> Link:
        """Return a link.

        Raises:
            LinkNotFound: There is none.
        """
        found = self.find_link(link_id)
        if found is None:
            raise LinkNotFound(repr(link_id), data={"link_id": link_id})
        return found

    def same_link(self, from_item_id: str, to_item_id: str, link_type: str) -> Link | None:
        """Return the link that already says this."""
        values = {"from_item_id": from_item_id, "to_item_id": to_item_id, "link_type": link_type}
        row = self.connection.execute(self._sql["same_link"], values).fetchone()
        return None if row is None else Link(*row)

    def parent(self, item_id: str) -> str | None:
        """Return the item of which this one is a part."""
        row = self.connection.execute(self._sql["parent"], (item_id,)).fetchone()
        return None if row is None else row[0]

    def waits_for(self, item_id: str) -> list[str]:
        """Return the items that an item waits for."""
        rows = self.connection.execute(self._sql["waits_for"], {"item": item_id})
        return [row[0] for row in rows]

    def open_needs(self, item_id: str) -> list[Need]:
        """Return what keeps an item from being started and from being done."""
        return self.connection.execute(self._sql["open_needs"], {"item": item_id}).fetchall()

    def claim(self, item_id: str) -> Claim | None:
        """Return an item's claim, also one that ended."""
        row = self.connection.execute(self._sql["claim"], (item_id,)).fetchone()
        return None if row is None else Claim(*row)

    def claims(self, plan_id: str) -> dict[str, Claim]:
        """Return the claims of a plan's items, by item."""
        rows = self.connection.execute(self._sql["claims"], (plan_id,))
        return {row[0]: Claim(*row) for row in rows}

    def overdue(self, now: str) -> list[Claim]:
        """Return the claims whose lease ran out, the longest overdue first."""
        return [Claim(*row) for row in self.connection.execute(self._sql["overdue_claims"], (now,))]

    def reservations(self) -> list[Reservation]:
        """Return every reserved path, of all plans."""
        return [Reservation(*row) for row in self.connection.execute(self._sql["reservations"])]

    def board(self, plan_id: str, now: str) -> Board:
        """Return a plan with all that belongs to it.

        Raises:
            PlanNotFound: There is none.
        """
        return Board(
            self.plan(plan_id), self.items(plan_id), self.links(plan_id), self.claims(plan_id),
            self.reservations(), now,
        )  # fmt: skip
