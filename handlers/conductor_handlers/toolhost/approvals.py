"""Leave in use: asked for by calls, and used up once.

Promise: a call that needs leave uses it exactly once, and asking and using are in the journal.
Refusal: nothing is decided here, nor listed for whoever decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor_handlers.toolhost.evidence import Record
from conductor_handlers.toolhost.outcome import Outcome, denied
from conductor_handlers.toolhost.policy import Decided
from conductor_handlers.toolhost.ports import ApprovalStore, Evidence
from conductor_sdk.approval import Approval, ApprovalRequest
from conductor_sdk.clock import Clock, epoch_ms, from_epoch_ms, wire_time
from conductor_sdk.event_builder import random_event_id

SUMMARY_MAX = 500


class Leave:
    """Where a call asks for leave, and uses it up."""

    def __init__(self, store: ApprovalStore, journal: Evidence, clock: Clock, ttl_s: float) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._ttl_ms = round(ttl_s * 1000)

    async def use(
        self, record: Record, input_hash: str, asked: Sequence[str], decisions: Sequence[Decided]
    ) -> Outcome | None:
        """Use leave for a call; None: it may run, and the leave is gone. Durable on return."""
        tool, actor = record.gate.tool, record.request.caller.actor
        now_ms = epoch_ms(self._clock.now())
        found = await self._store.use(tool.name, actor, input_hash, now_ms)
        if found is None:
            return await self._ask(record, input_hash, asked, decisions, now_ms)
        if found.state == "denied":
            return denied(
                "APPROVAL_DENIED",
                f"{tool.name}: {found.decided_by or 'somebody'} said no"
                + (f": {found.reason}" if found.reason else ""),
                decisions,
                details={"request_id": found.request.request_id},
            )
        await self._note("APPROVAL_USED", actor, found, call_id=record.call_id)
        return None

    async def _ask(
        self, record: Record, input_hash: str, asked: Sequence[str],
        decisions: Sequence[Decided], now_ms: int,
    ) -> Outcome:  # fmt: skip
        tool, actor = record.gate.tool, record.request.caller.actor
        request = ApprovalRequest(
            request_id=random_event_id(self._clock).replace("evt-", "apr-", 1),
            pack=tool.pack, tool=tool.name, actor=actor, approvals=tuple(asked),
            input_hash=input_hash, summary=_summary(record),
            requested_at_ms=now_ms, expires_at_ms=now_ms + self._ttl_ms,
        )  # fmt: skip
        found = await self._store.request(request)
        if found.request.request_id == request.request_id:
            await self._note("APPROVAL_REQUESTED", actor, found, call_id=record.call_id)
        asked_id = found.request.request_id
        return denied(
            "APPROVAL_REQUIRED",
            f"{tool.name} needs leave; grant it with: conductor approvals grant {asked_id}",
            decisions,
            details={
                "request_id": asked_id,
                "approvals": list(found.request.approvals),
                "expires_at": wire_time(from_epoch_ms(found.request.expires_at_ms)),
            },
        )

    async def _note(
        self, event_type: str, actor: str, approval: Approval, *, call_id: str | None = None
    ) -> None:
        request = approval.request
        payload = {
            "request_id": request.request_id, "pack": request.pack, "tool": request.tool,
            "actor": request.actor, "approvals": list(request.approvals),
            "input_hash": request.input_hash,
        }  # fmt: skip
        if call_id is not None:
            payload["call_id"] = call_id
        if approval.reason is not None:
            payload["reason"] = approval.reason
        await self._journal.append(event_type, actor, payload)


def _summary(record: Record) -> str:
    text = (record.input_text or b"").decode()
    whole = f"{record.gate.tool.name} {text}"
    return whole if len(whole) <= SUMMARY_MAX else whole[: SUMMARY_MAX - 1] + "…"
