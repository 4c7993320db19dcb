"""Deciding about approvals, with a daemon or without one.

Promise: every decision stands in the journal before it can be used, and is taken once. Refusal: it
knows no socket and prints nothing, and nobody can decide twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from conductor_sdk.approval import Approval
from conductor_sdk.clock import Clock, epoch_ms, from_epoch_ms, wire_time
from conductor_sidecar.ports import Approvals, Journal
from conductor_state.errors import ApprovalDecided, ApprovalNotFound

OPERATOR = "operator"
"""Who decides at this machine, by command or control socket."""


class ApprovalDesk:
    """The hands of whoever decides. One per process: decisions take turns in it."""

    def __init__(self, approvals: Approvals, journal: Journal, clock: Clock) -> None:
        self._approvals = approvals
        self._journal = journal
        self._clock = clock
        self._turn = asyncio.Lock()

    async def list(self, states: Sequence[str] = (), limit: int = 100) -> list[Approval]:
        """Return approvals, newest first; all states where none is given."""
        return await self._approvals.approvals(states=states, limit=limit, now_ms=self._now_ms())

    async def show(self, request_id: str) -> Approval:
        """Return one approval.

        Raises:
            ApprovalNotFound: There is none of that id.
        """
        found = await self._approvals.get(request_id, now_ms=self._now_ms())
        if found is None:
            raise ApprovalNotFound(request_id)
        return found

    async def pending(self) -> int:
        """Count the requests that wait for a decision."""
        return await self._approvals.count_pending(self._now_ms())

    async def decide(
        self, request_id: str, *, granted: bool, by: str = OPERATOR, reason: str | None = None,
        actor: str = OPERATOR, dry_run: bool = False,
    ) -> Approval:  # fmt: skip
        """Grant or deny a pending request; an entry in the journal first, then durable.

        In this order a crash in between leaves it pending, to be decided again; the other way
        round there would be leave that the journal knows nothing of.

        Args:
            request_id: Which request.
            granted: Whether the action may be done, once.
            by: Who decided.
            reason: Shown to whoever asked.
            actor: Who signs the journal's entry.
            dry_run: Only check whether it could be decided.

        Raises:
            ApprovalNotFound: There is no such request.
            ApprovalDecided: It is not pending any more.
        """
        async with self._turn:
            now_ms = self._now_ms()
            found = await self._approvals.get(request_id, now_ms=now_ms)
            if found is None:
                raise ApprovalNotFound(request_id)
            if found.state != "pending":
                data = {"request_id": request_id, "state": found.state}
                raise ApprovalDecided(f"{request_id} is {found.state}", data=data)
            if dry_run:
                return found
            facts = _facts(found, by, reason)
            await self._journal.append(
                "APPROVAL_GRANTED" if granted else "APPROVAL_DENIED", actor, facts
            )
            return await self._approvals.decide(
                request_id, granted=granted, by=by, reason=reason, now_ms=now_ms
            )

    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())


def _facts(approval: Approval, by: str, reason: str | None) -> dict[str, Any]:
    request = approval.request
    facts: dict[str, Any] = {
        "request_id": request.request_id, "pack": request.pack, "tool": request.tool,
        "actor": request.actor, "approvals": list(request.approvals),
        "input_hash": request.input_hash, "by": by,
    }  # fmt: skip
    return facts if reason is None else {**facts, "reason": reason}


def approval_json(approval: Approval) -> dict[str, Any]:
    """Return an approval for JSON output: flat, with times as text."""
    request = approval.request
    return {
        "request_id": request.request_id, "state": approval.state, "pack": request.pack,
        "tool": request.tool, "actor": request.actor, "approvals": list(request.approvals),
        "input_hash": request.input_hash, "summary": request.summary,
        "requested_at": _time(request.requested_at_ms), "expires_at": _time(request.expires_at_ms),
        "decided_by": approval.decided_by, "reason": approval.reason,
        "decided_at": _time(approval.decided_at_ms), "used_at": _time(approval.used_at_ms),
    }  # fmt: skip


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else wire_time(from_epoch_ms(at_ms))
