"""Adding, editing and moving items.

Promise: an item is DONE only with nothing open behind it, and, once it was handed to execution,
only with a result that is no error. Refusal: no item is removed; CANCELLED is how work ends undone.
"""

from __future__ import annotations

import secrets
from typing import Any

from msgspec import UNSET

from conductor_packs.plan import events
from conductor_packs.plan.apply import EDITABLE
from conductor_packs.plan.batch import Batch
from conductor_packs.plan.errors import (
    DependenciesOpen,
    IdTaken,
    MoveIllegal,
    PlanError,
    ResultMissing,
)
from conductor_packs.plan.mutations.guards import Attempt, active
from conductor_packs.plan.records import Changed, Item, Result, State, Unchanged
from conductor_packs.plan.requests import AddItem, Transition, UpdateItem
from conductor_packs.plan.states import MOVES, may_move


def add_item(batch: Batch, request: AddItem) -> Changed:
    """Add an item to a plan.

    Raises:
        PlanNotFound: There is no such plan.
        PlanArchived: Nothing is added to it.
        IdTaken: There is such an item, in this plan or another.
    """
    active(batch, request.plan_id)
    item_id = request.item_id or f"I-{secrets.token_hex(5)}"
    known = batch.read.find_item(item_id)
    if known is not None:
        raise IdTaken(f"item {item_id!r} of plan {known.plan_id!r}", data={"item_id": item_id})
    fields: dict[str, Any] = {
        "kind": request.kind, "title": request.title, "state": request.state,
        "priority": request.priority, "assigned_to": request.assigned_to,
        "due_ts": request.due_ts,
    }  # fmt: skip
    if request.estimate is not None:
        fields["estimate"] = request.estimate
    about = {"plan_id": request.plan_id, "item_id": item_id, **fields, "version": 1}
    return batch.record(events.ITEM_ADDED, about, fields)


def update_item(batch: Batch, request: UpdateItem) -> Result:
    """Change fields of an item; without a change nothing is written.

    Raises:
        ItemNotFound: There is none.
        VersionConflict: It was decided on another version.
        TokenStale: A token was given, and it is not the present claim's.
    """
    item = batch.read.item(request.item_id)
    active(batch, item.plan_id)
    wanted = {
        name: value for name in EDITABLE if (value := getattr(request.patch, name)) is not UNSET
    }
    action = events.ACTIONS[events.ITEM_UPDATED]
    attempt = Attempt(batch, action, {"attempted_patch": wanted}, wanted)
    if request.token is not None:
        item = attempt.fenced(item, request.token)
    attempt.fresh(item, request.expected_version)
    changes = {
        name: {"from": getattr(item, name), "to": value}
        for name, value in wanted.items()
        if getattr(item, name) != value
    }
    if not changes:
        return Unchanged(item.item_id, item.version)
    about = {
        "plan_id": item.plan_id, "item_id": item.item_id, "changes": changes,
        "expected_version": item.version, "new_version": item.version + 1,
    }  # fmt: skip
    return batch.record(
        events.ITEM_UPDATED, about, {name: each["to"] for name, each in changes.items()}
    )


def transition(batch: Batch, request: Transition) -> Changed:
    """Move an item to another state; leaving IN_PROGRESS ends its claim.

    Raises:
        ItemNotFound: There is none.
        VersionConflict: It was decided on another version.
        TokenStale: Someone holds the item, and it is not the caller's token.
        MoveIllegal: The state machine has no such move.
        DependenciesOpen: DONE, while it still waits for others.
        ResultMissing: DONE, while the execution handshake has no result or an error.
    """
    item = batch.read.item(request.item_id)
    active(batch, item.plan_id)
    action = events.ACTIONS[events.ITEM_STATE_CHANGED]
    change: dict[str, object] = {"state": request.to_state}
    attempt = Attempt(batch, action, {"attempted_state": request.to_state}, change)
    if item.version != request.expected_version:
        attempt.fresh(item, request.expected_version)
    item = attempt.fenced(item, request.token)
    attempt.fresh(item, request.expected_version)
    error = _forbidden(batch, item, request.to_state)
    if error is not None:
        attempt.refused(item, error)
    about = {
        "plan_id": item.plan_id, "item_id": item.item_id,
        "from_state": item.state, "to_state": request.to_state,
        "expected_version": item.version, "new_version": item.version + 1,
    }  # fmt: skip
    if item.state == "IN_PROGRESS" and batch.read.claim(item.item_id) is not None:
        change = {**change, "holder": None}  # leaving IN_PROGRESS ends the claim: the log says so
    return batch.record(events.ITEM_STATE_CHANGED, about, change)


def _forbidden(batch: Batch, item: Item, to_state: State) -> PlanError | None:
    if not may_move(item.state, to_state):
        legal = MOVES[item.state]
        detail = f"{item.state} to {to_state}; legal: {', '.join(legal) or 'none'}"
        return MoveIllegal(detail, data={"legal": list(legal)})
    if to_state == "DONE":
        needs = batch.read.open_needs(item.item_id)
        if needs:
            open_ids = [need[0] for need in needs]
            return DependenciesOpen(", ".join(open_ids[:20]), data={"open": open_ids})
        if item.exec_status not in {"NONE", "EXEC_RESULT_RECORDED"}:
            return ResultMissing(f"its handshake is at {item.exec_status}")
        if item.exec_error is not None:
            return ResultMissing("its last result is an error")
    parent = batch.read.parent(item.item_id) if item.state == "CANCELLED" else None
    if parent is not None and batch.read.item(parent).state == "DONE":
        return MoveIllegal(f"it is a part of {parent!r}, which is DONE", data={"legal": []})
    return None
