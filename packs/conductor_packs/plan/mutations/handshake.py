"""The execution handshake: ready, requested, result.

Promise: the legs come in their order, each by whom it may be, each with a version. Refusal: nothing
is executed, and the item's state is not touched: that it is DONE is said by whoever looked at it.
"""

from __future__ import annotations

from typing import Any, assert_never

from conductor_packs.plan import events
from conductor_packs.plan.batch import Batch
from conductor_packs.plan.errors import HandshakeOrder
from conductor_packs.plan.mutations.guards import Attempt, active
from conductor_packs.plan.records import Changed, ExecStatus
from conductor_packs.plan.requests import Leg, MarkReady, RecordRequest, RecordResult
from conductor_packs.plan.states import HANDSHAKE


def take_leg(batch: Batch, request: Leg) -> Changed:
    """Take the next leg of an item's handshake.

    Raises:
        ItemNotFound: There is none.
        VersionConflict: It was decided on another version.
        TokenStale: Someone holds the item, and it is not the caller's token.
        HandshakeOrder: It is not this leg's turn, or the item is closed.
    """
    item = batch.read.item(request.item_id)
    active(batch, item.plan_id)
    event_type, exec_status, more = _leg(request)
    change = {"exec_status": exec_status}
    action = events.ACTIONS[event_type]
    attempt = Attempt(batch, action, {"attempted_status": exec_status}, change)
    attempt.fresh(item, request.expected_version)
    if request.token is not None or isinstance(request, RecordResult):
        item = attempt.fenced(item, request.token)
        attempt.fresh(item, request.expected_version)
    if item.closed or HANDSHAKE[item.exec_status] != exec_status:
        detail = f"{item.exec_status} to {exec_status}, state {item.state}"
        attempt.refused(item, HandshakeOrder(detail))
    about: dict[str, Any] = {
        "plan_id": item.plan_id, "item_id": item.item_id, "exec_status": exec_status, **more,
        "expected_version": item.version, "new_version": item.version + 1,
    }  # fmt: skip
    return batch.record(event_type, about, change)


def _leg(request: Leg) -> tuple[str, ExecStatus, dict[str, Any]]:
    match request:
        case MarkReady():
            return events.ITEM_MARKED_READY, "READY_FOR_EXEC", {}
        case RecordRequest(payload=payload):
            return events.ITEM_EXEC_REQUESTED, "EXEC_REQUESTED", {"request": payload}
        case RecordResult(result=result, error=error):
            more = {"result": result, "error": error}
            return events.ITEM_EXEC_RESULT_RECORDED, "EXEC_RESULT_RECORDED", more
        case _:
            assert_never(request)
