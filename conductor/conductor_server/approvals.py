"""Approvals that somebody asked the conductor for.

Promise: a decision is made once; the oldest decided ones make room for new ones. Refusal: nothing
here is durable: an embedded conductor that stops forgets what was pending, and says so with 404.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from conductor_sdk.clock import Clock, wire_time
from conductor_server.errors import AlreadyDecided, BadRequest, NotFound

Decision = Literal["approved", "rejected", "expired"]
_KEPT = 1000


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `approvals/request`."""

    workspace_id: str
    type: str
    subject: dict[str, Any]
    context: dict[str, Any] | None = None
    requester_id: str | None = None
    requester_type: Literal["agent", "user"] = "agent"
    expires_at: str | None = None


class ApprovalDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `approvals/resolve`."""

    workspace_id: str
    approval_id: str
    decision: Decision
    reason: str | None = None
    reviewer_id: str | None = None
    reviewer_type: Literal["agent", "user"] = "user"


class ApprovalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `approvals/list`."""

    workspace_id: str
    status: Literal["pending", "approved", "rejected", "expired"] | None = None
    type: str | None = None
    limit: int = 50
    cursor: str | None = None


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An approval as it is answered."""

    approval_id: str
    workspace_id: str
    type: str
    status: Literal["pending", "approved", "rejected", "expired"]
    subject: Mapping[str, Any]
    requested_at: str
    requester_type: Literal["agent", "user"]
    context: Mapping[str, Any] | None = None
    requester_id: str | None = None
    reviewer_id: str | None = None
    reviewer_type: Literal["agent", "user"] | None = None
    decision_reason: str | None = None
    decided_at: str | None = None


class ApprovalPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page of approvals, oldest first."""

    approvals: list[Approval]
    next_cursor: str | None = None


class Approvals:
    """All approvals of one conductor, in the order in which they were asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, Approval] = {}

    def request(self, asked: ApprovalRequest) -> Approval:
        """Record a pending approval."""
        approval = Approval(
            approval_id="apr-" + secrets.token_hex(8),
            workspace_id=asked.workspace_id,
            type=asked.type,
            status="pending",
            subject=asked.subject,
            requested_at=wire_time(self._clock.now()),
            requester_type=asked.requester_type,
            context=asked.context,
            requester_id=asked.requester_id,
        )
        self._make_room()
        self._records[approval.approval_id] = approval
        return approval

    def resolve(self, decided: ApprovalDecision) -> Approval:
        """Decide a pending approval.

        Raises:
            NotFound: The workspace has no such approval.
            AlreadyDecided: It was decided otherwise before; the same decision again is harmless.
        """
        approval = self._records.get(decided.approval_id)
        if approval is None or approval.workspace_id != decided.workspace_id:
            raise NotFound(f"approval {decided.approval_id!r}")
        if approval.status == decided.decision:
            return approval
        if approval.status != "pending":
            raise AlreadyDecided(f"{approval.approval_id} is {approval.status}")
        approval = msgspec.structs.replace(
            approval,
            status=decided.decision,
            reviewer_id=decided.reviewer_id,
            reviewer_type=decided.reviewer_type,
            decision_reason=decided.reason,
            decided_at=wire_time(self._clock.now()),
        )
        self._records[approval.approval_id] = approval
        return approval

    def page(self, query: ApprovalQuery) -> ApprovalPage:
        """Return a page of a workspace's approvals.

        Raises:
            BadRequest: The cursor is not the id of an approval.
        """
        ids = list(self._records)
        if query.cursor is not None and query.cursor not in self._records:
            raise BadRequest(f"cursor {query.cursor!r}")
        start = 0 if query.cursor is None else ids.index(query.cursor) + 1
        wanted = [
            approval
            for approval in map(self._records.__getitem__, ids[start:])
            if approval.workspace_id == query.workspace_id
            and query.status in (None, approval.status)
            and query.type in (None, approval.type)
        ]
        limit = min(max(query.limit, 1), 500)
        more = len(wanted) > limit
        return ApprovalPage(wanted[:limit], wanted[limit - 1].approval_id if more else None)

    def _make_room(self) -> None:
        if len(self._records) >= _KEPT:
            decided = (key for key, a in self._records.items() if a.status != "pending")
            self._records.pop(next(decided, next(iter(self._records))))
