"""The plan's event types in the journal, and the actions that their payloads name.

Promise: the set is closed; a type that changes a table stands in `CHANGES`, one that tells of a
refusal in `REFUSALS`. Refusal: no payload is built here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PLAN_CREATED: Final = "PLAN_CREATED"
PLAN_UPDATED: Final = "PLAN_UPDATED"
ITEM_ADDED: Final = "PLAN_ITEM_ADDED"
ITEM_UPDATED: Final = "PLAN_ITEM_UPDATED"
ITEM_STATE_CHANGED: Final = "PLAN_ITEM_STATE_CHANGED"
ITEM_MARKED_READY: Final = "PLAN_ITEM_MARKED_READY"
ITEM_EXEC_REQUESTED: Final = "PLAN_ITEM_EXEC_REQUESTED"
ITEM_EXEC_RESULT_RECORDED: Final = "PLAN_ITEM_EXEC_RESULT_RECORDED"
LINK_ADDED: Final = "PLAN_LINK_ADDED"
LINK_REMOVED: Final = "PLAN_LINK_REMOVED"
ITEM_CLAIMED: Final = "PLAN_ITEM_CLAIMED"
ITEM_LEASE_RENEWED: Final = "PLAN_ITEM_LEASE_RENEWED"
ITEM_RELEASED: Final = "PLAN_ITEM_RELEASED"
ITEM_LEASE_EXPIRED: Final = "PLAN_ITEM_LEASE_EXPIRED"
PATHS_RESERVED: Final = "PLAN_PATHS_RESERVED"
ORDER_RECEIVED: Final = "PLAN_ORDER_RECEIVED"
ORDER_CLAIMED: Final = "PLAN_ORDER_CLAIMED"
ORDER_COMPLETED: Final = "PLAN_ORDER_COMPLETED"
ORDER_ATTEMPT_FAILED: Final = "PLAN_ORDER_ATTEMPT_FAILED"
ORDER_DEAD: Final = "PLAN_ORDER_DEAD"
ORDER_REDRIVEN: Final = "PLAN_ORDER_REDRIVEN"
ORDER_REFUSED: Final = "PLAN_ORDER_REFUSED"
CONFLICT_DETECTED: Final = "PLAN_CONFLICT_DETECTED"
MOVE_REFUSED: Final = "PLAN_ITEM_MOVE_REFUSED"

ACTIONS: Final[Mapping[str, str]] = {
    PLAN_CREATED: "CREATE_PLAN",
    PLAN_UPDATED: "UPDATE_PLAN",
    ITEM_ADDED: "ADD_ITEM",
    ITEM_UPDATED: "UPDATE_ITEM",
    ITEM_STATE_CHANGED: "STATE_CHANGE",
    ITEM_MARKED_READY: "MARK_READY",
    ITEM_EXEC_REQUESTED: "RECORD_REQUEST",
    ITEM_EXEC_RESULT_RECORDED: "RECORD_RESULT",
    LINK_ADDED: "ADD_LINK",
    LINK_REMOVED: "REMOVE_LINK",
    ITEM_CLAIMED: "CLAIM",
    ITEM_LEASE_RENEWED: "HEARTBEAT",
    ITEM_RELEASED: "RELEASE",
    ITEM_LEASE_EXPIRED: "EXPIRE",
    PATHS_RESERVED: "RESERVE",
    ORDER_RECEIVED: "SUBMIT_ORDER",
    ORDER_CLAIMED: "CLAIM_ORDER",
    ORDER_COMPLETED: "COMPLETE_ORDER",
    ORDER_ATTEMPT_FAILED: "FAIL_ORDER",
    ORDER_DEAD: "GIVE_UP_ORDER",
    ORDER_REDRIVEN: "REDRIVE_ORDER",
}
"""From an event type to the `action` of its payload; a refusal has the action it refuses."""
CHANGES: Final = frozenset(ACTIONS)
"""The types whose entries change a table."""
REFUSALS: Final = frozenset({CONFLICT_DETECTED, MOVE_REFUSED, ORDER_REFUSED})
"""The types whose entries only tell of what was not done."""
NOT_PUSHED: Final = frozenset({ITEM_LEASE_RENEWED})
"""Changes that nobody else needs to hear of: one a minute for each worker."""


def pushed_kind(event_type: str) -> str:
    """Return the kind under which an entry is pushed: `PLAN_ITEM_ADDED` is `plan:item_added`."""
    name = event_type.removeprefix("PLAN_").lower()
    return f"plan:plan_{name}" if event_type in {PLAN_CREATED, PLAN_UPDATED} else f"plan:{name}"
