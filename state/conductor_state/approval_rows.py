"""An approval as a row, and what it is at a given time.

Promise: a row whose checksum does not fit is never read as an approval. Refusal: no statement is
run here.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec

from conductor_sdk.approval import Approval, ApprovalRequest, ApprovalState
from conductor_state.errors import ApprovalDecided, StoreCorrupt

Row = tuple[Any, ...]


def as_row(approval: Approval) -> Row:
    """Return an approval in the order of the table's columns, checksum last."""
    request = approval.request
    names = msgspec.json.encode(request.approvals).decode()
    columns = (
        request.request_id, request.pack, request.tool, request.actor, names,
        request.input_hash, request.summary, request.requested_at_ms, request.expires_at_ms,
        approval.state, approval.decided_by, approval.reason, approval.decided_at_ms,
        approval.used_at_ms,
    )  # fmt: skip
    return (*columns, checksum(columns))


def as_approval(row: Row) -> Approval:
    """Return the approval of a row.

    Raises:
        StoreCorrupt: The row is not what was stored.
    """
    *columns, stored = row
    if checksum(tuple(columns)) != stored:
        raise StoreCorrupt(f"the checksum of approval {columns[0]} does not match")
    request_id, pack, tool, actor, names, input_hash, summary, asked_ms, ends_ms, *rest = columns
    approvals = tuple(msgspec.json.decode(names, type=list[str]))
    request = ApprovalRequest(
        request_id, pack, tool, actor, approvals, input_hash, summary, asked_ms, ends_ms
    )
    return Approval(request, *rest)


def checksum(columns: Row) -> int:
    """Return the CRC-32 of a row's other columns."""
    return crc32(msgspec.json.encode(columns))


def is_sound(row: dict[str, Any]) -> bool:
    """Tell whether a row of a damaged file is what was stored."""
    columns = [value for name, value in row.items() if name not in {"id", "checksum"}]
    return bool(checksum(tuple(columns)) == row["checksum"])


def is_over(approval: Approval, now_ms: int) -> bool:
    """Tell whether an approval can no longer be decided or used, because its time is over."""
    return approval.state in {"pending", "granted"} and approval.request.expires_at_ms <= now_ms


def shown(approval: Approval, now_ms: int) -> Approval:
    """Return an approval as it is at `now_ms`: one whose time is over is expired."""
    if not is_over(approval, now_ms):
        return approval
    return msgspec.structs.replace(approval, state="expired")


def decided(
    approval: Approval, *, granted: bool, by: str, reason: str | None, now_ms: int
) -> Approval:
    """Return what a pending approval becomes.

    Raises:
        ApprovalDecided: It is not pending at `now_ms`.
    """
    current = shown(approval, now_ms)
    if current.state != "pending":
        raise ApprovalDecided(f"{approval.request.request_id} is {current.state}")
    state: ApprovalState = "granted" if granted else "denied"
    return msgspec.structs.replace(
        approval, state=state, decided_by=by, reason=reason, decided_at_ms=now_ms
    )


def used(approval: Approval, now_ms: int) -> Approval:
    """Return what a granted approval becomes."""
    return msgspec.structs.replace(approval, state="used", used_at_ms=now_ms)
