"""Approvals in memory.

Promise: passes the contract suite of `testing.approvals`. Refusal: nothing survives the process.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor_sdk.approval import Approval, ApprovalRequest
from conductor_state.approval_rows import decided, shown, used
from conductor_state.errors import ApprovalNotFound


class MemoryApprovals:
    """`ApprovalStore` without a database."""

    def __init__(self) -> None:
        self._approvals: dict[str, Approval] = {}

    async def request(self, request: ApprovalRequest) -> Approval:
        """Store a request, or return the open one for the same action."""
        action = (request.tool, request.actor, request.input_hash)
        for approval in self._of_action(*action, request.requested_at_ms):
            if approval.state in {"pending", "granted"}:
                return approval
        fresh = Approval(request, "pending")
        self._approvals[request.request_id] = fresh
        return fresh

    async def use(self, tool: str, actor: str, input_hash: str, now_ms: int) -> Approval | None:
        """Use up a granted approval for exactly this action; a denied one is returned as it is."""
        found = self._of_action(tool, actor, input_hash, now_ms)
        for approval in found:
            if approval.state == "granted":
                return self._keep(used(approval, now_ms))
        denied = [approval for approval in found if approval.state == "denied"]
        return denied[-1] if denied else None

    async def decide(
        self, request_id: str, *, granted: bool, by: str, reason: str | None, now_ms: int
    ) -> Approval:
        """Grant or deny a pending request."""
        found = self._approvals.get(request_id)
        if found is None:
            raise ApprovalNotFound(request_id)
        return self._keep(decided(found, granted=granted, by=by, reason=reason, now_ms=now_ms))

    async def approvals(
        self, *, states: Sequence[str] = (), limit: int = 100, now_ms: int
    ) -> list[Approval]:
        """Return approvals, newest first; open ones whose time is over show as expired."""
        oldest = sorted(
            self._approvals.values(), key=lambda approval: approval.request.requested_at_ms
        )
        every = [shown(approval, now_ms) for approval in reversed(oldest)]
        return [approval for approval in every if not states or approval.state in states][:limit]

    async def get(self, request_id: str, *, now_ms: int) -> Approval | None:
        """Return one approval, as it shows at `now_ms`."""
        found = self._approvals.get(request_id)
        return None if found is None else shown(found, now_ms)

    async def count_pending(self, now_ms: int) -> int:
        """Count the requests that wait for a decision."""
        every = self._approvals.values()
        return sum(shown(approval, now_ms).state == "pending" for approval in every)

    async def prune(self, before_ms: int) -> int:
        """Forget approvals whose time was over before then; returns how many."""
        old = [
            request_id
            for request_id, approval in self._approvals.items()
            if approval.request.expires_at_ms < before_ms
        ]
        for request_id in old:
            del self._approvals[request_id]
        return len(old)

    def _of_action(self, tool: str, actor: str, input_hash: str, now_ms: int) -> list[Approval]:
        action = (tool, actor, input_hash)
        return [
            approval
            for approval in self._approvals.values()
            if action == _action(approval.request) and approval.request.expires_at_ms > now_ms
        ]

    def _keep(self, approval: Approval) -> Approval:
        self._approvals[approval.request.request_id] = approval
        return approval


def _action(request: ApprovalRequest) -> tuple[str, str, str]:
    return request.tool, request.actor, request.input_hash
