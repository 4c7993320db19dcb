"""What others are told of runs: the conductor in events, everybody in the journal.

Promise: each thing is told once in effect, whatever is tried again: an event's id follows from the
run, and an entry and the mark that it was written are one commit. Refusal: no payload, answer or
token stands in the journal, only sizes and hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from conductor_flows.durable.ports import Ticket
from conductor_packs.flows import kinds
from conductor_packs.flows.errors import ResultTooLarge
from conductor_packs.flows.library import Loaded
from conductor_packs.flows.limits import encoded
from conductor_packs.flows.records import Fault, Run, Waiting, fault_of, run_id_of
from conductor_packs.flows.requests import RunRequest
from conductor_packs.flows.storage import Runs, sql
from conductor_packs.flows.workshop import Workshop
from conductor_sdk.clock import from_epoch_ms, wire_time
from conductor_sdk.context import JournalTransaction, PackContext
from conductor_sdk.errors import ConductorError, EventRefused
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2

SHOWN_MAX: Final = 16_384
"""Bytes of what a wait shows; more is left out of the event."""


class Teller:
    """Tells what became of runs."""

    def __init__(self, base: PackContext, workshop: Workshop, runs: Runs) -> None:
        self._base = base
        self._workshop = workshop
        self._runs = runs

    async def started(self, run: Run, loaded: Loaded, *, resumed: bool) -> None:
        """Write down that a run begins, or goes on."""
        entry = kinds.RESUMED_ENTRY if resumed else kinds.STARTED_ENTRY
        await self._note(run.run_id, f"started:{run.starts}", entry, {
            "run_id": run.run_id, "flow": run.flow, "flow_version": loaded.flow.version,
            "code_hash": loaded.code_hash, "event_id": run.event_id, "start": run.starts,
            "request_hash": run.request_hash,
            "request_bytes": len(run.request),
        })  # fmt: skip

    async def rest(self, run: Run) -> ResultTooLarge | None:
        """Tell how a run came to rest; again changes nothing.

        Returns:
            The answer does not fit into an event after all: the run is to fail with this.

        Raises:
            QueueFull: The outbox takes nothing now.
        """
        match run.state:
            case "completed":
                return await self._completed(run)
            case "failed":
                await self._failed(run)
            case "halted":
                await self._halted(run)
            case "queued" | "running":
                pass  # it goes on already
        return None

    async def _completed(self, run: Run) -> ResultTooLarge | None:
        result = run.outcome or b"null"
        payload = {
            **_facts(run), "result": msgspec.json.decode(result), "took_ms": run.took_ms,
        }  # fmt: skip
        try:
            await self._emit(kinds.COMPLETED, payload, f"{run.run_id}:completed")
        except EventRefused as refused:
            return ResultTooLarge(refused.detail)
        await self._note(run.run_id, "completed", kinds.COMPLETED_ENTRY, {
            **_facts(run), "took_ms": run.took_ms, "nodes": msgspec.json.decode(run.nodes),
            "result_bytes": len(result), "result_hash": hashlib.sha256(result).hexdigest(),
        })  # fmt: skip
        return None

    async def _failed(self, run: Run) -> None:
        fault = run.fault
        payload = {**_facts(run), "error": _told(fault), "refused": False, "took_ms": run.took_ms}
        # Each try fails for itself; the same failure is told once.
        await self._push(kinds.FAILED, payload, f"{run.run_id}:failed:{run.starts}", fault)
        await self._note(run.run_id, f"failed:{run.starts}", kinds.FAILED_ENTRY, {
            **_facts(run), "took_ms": run.took_ms, "nodes": msgspec.json.decode(run.nodes),
            "code": fault.code, "message": fault.message,
        })  # fmt: skip

    async def _halted(self, run: Run) -> None:
        waits = [await self._wait(run, each) for each in run.waits]
        payload = {**_facts(run), "checkpoint_id": run.checkpoint_id, "waits": waits}
        await self._push(kinds.HALTED, payload, f"{run.run_id}:halted:{run.halts}", None)
        await self._note(run.run_id, f"halted:{run.halts}", kinds.HALTED_ENTRY, {
            **_facts(run), "checkpoint_id": run.checkpoint_id,
            "nodes": msgspec.json.decode(run.nodes),
            "waits": [{"alias": each.alias, "kind": each.kind} for each in run.waits],
        })  # fmt: skip

    async def _wait(self, run: Run, wait: Waiting) -> dict[str, Any]:
        told: dict[str, Any] = {"alias": wait.alias, "kind": wait.kind}
        try:
            encoded(wait.payload, SHOWN_MAX)
            told["payload"] = wait.payload
        except ResultTooLarge:
            told["payload_left_out"] = True
        if wait.until_ms is not None:
            told["until"] = wire_time(from_epoch_ms(wait.until_ms))
        signals = self._workshop.durability.signals
        if wait.kind != "timer" and signals is not None:
            left_s = None
            if wait.until_ms is not None:
                left_s = max(0.0, wait.until_ms / 1000 - self._base.clock.now().timestamp())
            ticket = Ticket(run.checkpoint_id or "", wait.id, {"alias": wait.alias})
            told["token"] = await signals.create_token(ticket, ttl_s=left_s)
        return told

    async def refused(self, request: RunRequest, asked_by: str, error: ConductorError) -> None:
        """Tell that a request was not taken; nothing of it has run."""
        run_id, fault = run_id_of(request, asked_by), fault_of(error)
        facts = {"run_id": run_id, "flow": request.flow, "event_id": asked_by}
        payload = {**facts, "error": _told(fault), "refused": True}
        await self._push(kinds.FAILED, payload, f"{run_id}:refused:{fault.code}", fault)
        await self._note(run_id, f"refused:{fault.code}", kinds.REFUSED_ENTRY, {
            **facts, "code": fault.code, "message": fault.message,
        })  # fmt: skip

    async def held(self, run: Run, error: ConductorError) -> None:
        """Write down that a run that is due cannot go on."""
        self._base.log.warning("flow_run_held", run_id=run.run_id, code=error.code)
        await self._note(run.run_id, f"held:{run.halts}:{error.detail}", kinds.REFUSED_ENTRY, {
            **_facts(run), "code": error.code, "message": error.message,
        })  # fmt: skip

    async def answered(self, run: Run, wait: Waiting, said_by: str) -> None:
        """Write down that an answer came."""
        await self._note(run.run_id, f"answered:{wait.id}", kinds.ANSWERED_ENTRY, {
            **_facts(run), "alias": wait.alias, "kind": wait.kind, "answered_by": said_by,
        })  # fmt: skip

    async def retried(self, run: Run, checkpoint_id: str, said_by: str) -> None:
        """Write down that a run that failed is tried again."""
        await self._note(run.run_id, f"retried:{run.starts}", kinds.RETRIED_ENTRY, {
            **_facts(run), "checkpoint_id": checkpoint_id, "code": run.fault.code,
            "retried_by": said_by,
        })  # fmt: skip

    async def forget(self, run_id: str) -> None:
        """Forget what was told of a run; entries stay."""

        def work(transaction: JournalTransaction) -> None:
            transaction.connection.execute(sql()["journal_table"])
            transaction.connection.execute(sql()["journal_forget"], (run_id,))

        await self._base.journal.transaction(work)

    async def _push(
        self, kind: str, payload: Mapping[str, Any], key: str, fault: Fault | None
    ) -> None:
        """Push; what does not fit is told without its details rather than not at all."""
        try:
            await self._emit(kind, payload, key)
        except EventRefused as refused:
            self._base.log.warning("flow_event_refused", kind=kind, error=refused.message)
            if fault is not None:
                bare = Fault(fault.code, fault.message, fault.hint, fault.retryable)
                await self._emit(kind, {**payload, "error": _told(bare)}, key)

    async def _emit(self, kind: str, payload: Mapping[str, Any], key: str) -> None:
        """Push an event of a run into the trace in which the run was asked for."""
        # A request that was refused is told while it is handled; a run is told at any time.
        traceparent = self._base.traceparent
        if not payload.get("refused"):
            traceparent = await self._runs.traceparent(str(payload["run_id"]))
        if traceparent is not None:
            traced = self._event(kind, payload, key, traceparent=traceparent)
            try:
                await self._base.sync_port.push_kernel_events([traced])
            except EventRefused:
                pass  # a trace never costs an event that is at its limit without one
            else:
                return
        await self._base.sync_port.push_kernel_events([self._event(kind, payload, key)])

    def _event(
        self, kind: str, payload: Mapping[str, Any], key: str, **more: object
    ) -> KernelEvent:
        fields = {"kind": kind, "from": self._base.subject, "payload": payload, **more}
        return build_kernel_event_v2(fields, idempotency_key=key, clock=self._base.clock)

    async def _note(self, run_id: str, what: str, entry: str, payload: Mapping[str, Any]) -> None:
        def work(transaction: JournalTransaction) -> None:
            transaction.connection.execute(sql()["journal_table"])
            if transaction.connection.execute(sql()["journal_once"], (run_id, what)).rowcount:
                transaction.append(entry, payload, task_id=run_id)

        await self._base.journal.transaction(work)


def _facts(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "flow": run.flow, "flow_version": run.version,
        "event_id": run.event_id,
    }  # fmt: skip


def _told(fault: Fault) -> dict[str, Any]:
    return {"retryable": fault.retryable, **msgspec.to_builtins(fault)}
