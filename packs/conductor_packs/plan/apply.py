"""One journal entry's change of the plan's tables: the only code that writes them.

Promise: a live mutation and a replay run the same statements with the same values, so the tables
are always what the journal says. Refusal: nothing is decided and no time is read here; an entry
that does not fit the tables as they are raises instead of being bent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from conductor_packs.plan import events
from conductor_packs.plan.errors import PlanDamaged
from conductor_packs.plan.records import Payload
from conductor_packs.plan.sql import load_sql
from conductor_sdk.chain.canonical import canonical_json

EDITABLE: Final = ("kind", "title", "priority", "assigned_to", "due_ts", "estimate")
"""The fields that an update may change."""


class Fact(msgspec.Struct, frozen=True):
    """What an entry says and where it stands."""

    sequence: int
    hash: str
    event_type: str
    payload: Payload


def apply(connection: sqlite3.Connection, fact: Fact) -> None:
    """Change the tables as an entry says; the transaction is the caller's.

    Raises:
        PlanDamaged: The tables are not those on which the entry was decided.
    """
    try:
        _APPLIERS[fact.event_type](connection, fact)
    except (KeyError, TypeError, sqlite3.IntegrityError, sqlite3.ProgrammingError) as error:
        text = f"entry {fact.sequence} ({fact.event_type}): {type(error).__name__}: {error}"
        raise PlanDamaged(text) from error
    key = fact.payload.get("idempotency_key")
    if key is not None:
        text = canonical_json(fact.payload)
        values = (key, fact.payload["request_hash"], fact.sequence, fact.hash, fact.event_type)
        connection.execute(load_sql("apply")["put_key"], (*values, text))


def _run(connection: sqlite3.Connection, name: str, fact: Fact, **more: Any) -> None:
    """Run a statement that must change exactly one row."""
    values: Mapping[str, Any] = {**_OPTIONAL, **fact.payload, **more}
    values = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
    statement = load_sql("apply").get(name) or load_sql("gateway/statements")[name]
    if connection.execute(statement, values).rowcount != 1:
        raise PlanDamaged(f"entry {fact.sequence} ({fact.event_type}) does not fit: {name}")


_OPTIONAL: Final = {"title": None, "owner_agent": None, "status": None, "estimate": None}


def _create_plan(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "create_plan", fact)


def _update_plan(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "update_plan", fact, **_targets(fact))


def _add_item(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "add_item", fact)


def _update_item(connection: sqlite3.Connection, fact: Fact) -> None:
    found = connection.execute(load_sql("statements")["item"], (fact.payload["item_id"],))
    row = found.fetchone()
    if row is None:
        raise PlanDamaged(f"entry {fact.sequence} names an item that is not there")
    names = [column[0] for column in found.description]
    fields = {name: value for name, value in zip(names, row, strict=True) if name in EDITABLE}
    _run(connection, "update_item", fact, **(fields | _targets(fact)))


def _move_item(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "move_item", fact)
    if fact.payload["to_state"] != "IN_PROGRESS":
        _free(connection, fact, strikes=0)


def _mark_ready(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "mark_ready", fact)


def _record_request(connection: sqlite3.Connection, fact: Fact) -> None:
    request = canonical_json(fact.payload["request"])
    _run(connection, "record_request", fact, request_json=request)


def _record_result(connection: sqlite3.Connection, fact: Fact) -> None:
    result = canonical_json(fact.payload["result"])
    _run(connection, "record_result", fact, result_json=result)


def _add_link(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "add_link", fact)


def _remove_link(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "remove_link", fact)


def _claim(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "claim", fact, sequence=fact.sequence, hash=fact.hash)
    if "to_state" in fact.payload:
        _run(connection, "move_item", fact)
    _reserve(connection, fact)


def _renew(connection: sqlite3.Connection, fact: Fact) -> None:
    _run(connection, "renew_lease", fact)


def _end_claim(connection: sqlite3.Connection, fact: Fact) -> None:
    _free(connection, fact, strikes=fact.payload.get("strikes"))
    _run(connection, "move_item", fact)


def _reserve(connection: sqlite3.Connection, fact: Fact) -> None:
    rows = [(fact.payload["item_id"], path) for path in fact.payload["paths"]]
    connection.executemany(load_sql("apply")["reserve"], rows)


def _free(connection: sqlite3.Connection, fact: Fact, strikes: int | None) -> None:
    item_id = fact.payload["item_id"]
    connection.execute(load_sql("apply")["end_claim"], {"item_id": item_id, "strikes": strikes})
    connection.execute(load_sql("apply")["free_paths"], (item_id,))


def _put_order(connection: sqlite3.Connection, fact: Fact) -> None:
    body = canonical_json(fact.payload["body"])
    _run(connection, "put_order", fact, body_json=body)


def _change_order(statement: str) -> Callable[[sqlite3.Connection, Fact], None]:
    return lambda connection, fact: _run(connection, statement, fact)


def _targets(fact: Fact) -> dict[str, Any]:
    """Return what each changed field has become."""
    return {name: change["to"] for name, change in fact.payload["changes"].items()}


_APPLIERS: Final[Mapping[str, Callable[[sqlite3.Connection, Fact], None]]] = {
    events.PLAN_CREATED: _create_plan,
    events.PLAN_UPDATED: _update_plan,
    events.ITEM_ADDED: _add_item,
    events.ITEM_UPDATED: _update_item,
    events.ITEM_STATE_CHANGED: _move_item,
    events.ITEM_MARKED_READY: _mark_ready,
    events.ITEM_EXEC_REQUESTED: _record_request,
    events.ITEM_EXEC_RESULT_RECORDED: _record_result,
    events.LINK_ADDED: _add_link,
    events.LINK_REMOVED: _remove_link,
    events.ITEM_CLAIMED: _claim,
    events.ITEM_LEASE_RENEWED: _renew,
    events.ITEM_RELEASED: _end_claim,
    events.ITEM_LEASE_EXPIRED: _end_claim,
    events.PATHS_RESERVED: _reserve,
    events.ORDER_RECEIVED: _put_order,
    events.ORDER_CLAIMED: _change_order("claim_order"),
    events.ORDER_COMPLETED: _change_order("end_order"),
    events.ORDER_ATTEMPT_FAILED: _change_order("end_order"),
    events.ORDER_DEAD: _change_order("end_order"),
    events.ORDER_REDRIVEN: _change_order("redrive_order"),
}
