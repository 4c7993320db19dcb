"""What a mutation answers, as JSON.

Promise: every answer names what it is about, what became of it and the entry that proves it.
Refusal: the journal's own words (actor, action, change) are not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from conductor_packs.plan import events
from conductor_packs.plan.records import Changed, Result

_INNER: Final = frozenset({
    "actor", "action", "change", "updated_ts", "idempotency_key", "request_hash", "request",
    "result", "expected_version", "new_version", "status",
})  # fmt: skip
_STATUS: Final[Mapping[str, str]] = {
    events.PLAN_CREATED: "created",
    events.ITEM_ADDED: "added",
    events.LINK_ADDED: "linked",
    events.LINK_REMOVED: "unlinked",
    events.ITEM_CLAIMED: "claimed",
    events.ITEM_LEASE_RENEWED: "renewed",
    events.ITEM_RELEASED: "released",
    events.PATHS_RESERVED: "reserved",
    events.ORDER_RECEIVED: "queued",
    events.ORDER_CLAIMED: "claimed",
    events.ORDER_COMPLETED: "done",
    events.ORDER_ATTEMPT_FAILED: "queued",
    events.ORDER_DEAD: "dead",
    events.ORDER_REDRIVEN: "queued",
}
"""What became of it; `updated` for everything else."""


def as_json(result: Result, *, dry_run: bool = False) -> dict[str, Any]:
    """Return a mutation's answer.

    Args:
        result: What it gave.
        dry_run: It was undone, so it has no entry.
    """
    if not isinstance(result, Changed):
        return {result.name: result.named, "status": "noop", "version": result.version}
    answer = {name: value for name, value in result.payload.items() if name not in _INNER}
    answer["status"] = _STATUS.get(result.event_type, "updated")
    if "status" in result.payload and "plan_id" in result.payload:
        answer["plan_status"] = result.payload["status"]
    if "new_version" in result.payload:
        answer["version"] = result.payload["new_version"]
    if dry_run:
        answer["dry_run"] = True
    else:
        answer["receipt"] = msgspec.to_builtins(result.receipt)
    if result.replayed:
        answer["replayed"] = True
    return answer
