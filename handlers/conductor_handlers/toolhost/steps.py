"""The steps of one call, between its started and its finished trace.

Promise: allow-list, reserved paths, scopes, policy, input, key, approval, tool, in this order; the
first that refuses ends the call. Refusal: no step is skipped for anybody, packs and previews
included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from conductor_handlers.errors import describe
from conductor_handlers.toolhost.approvals import Leave
from conductor_handlers.toolhost.catalogue import Ready
from conductor_handlers.toolhost.context import HostToolContext
from conductor_handlers.toolhost.current import Within
from conductor_handlers.toolhost.dispatch import Dispatcher
from conductor_handlers.toolhost.evidence import Record
from conductor_handlers.toolhost.gate import BOUNDARY, RESERVED_PATH, approvals_of, may_call
from conductor_handlers.toolhost.outcome import Outcome, answered, denied, failure
from conductor_handlers.toolhost.policy import Decided, Verdict
from conductor_handlers.toolhost.ports import ResultStore
from conductor_handlers.toolhost.records import PackRoom
from conductor_handlers.toolhost.scopes import label
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.context import Log
from conductor_sdk.tool import ToolCall
from conductor_sdk.tool_entry import ToolUnavailable, read_answer
from conductor_sdk.tool_output import ToolOutput
from conductor_sdk.tool_schema import INPUT_MAX_BYTES, from_json

KEY_MAX = 255
_stored = msgspec.json.Decoder(ToolOutput).decode


class Steps:
    """The steps, and what they ask."""

    def __init__(
        self,
        rooms: Mapping[str, PackRoom],
        results: ResultStore,
        leave: Leave,
        settings: HostSettings,
        clock: Clock,
        log: Log | None,
    ) -> None:
        self._rooms = rooms
        self._results = results
        self._leave = leave
        self._deadline_s = settings.deadline_s
        self._clock = clock
        self._log = log
        self._dispatcher = Dispatcher(settings.max_concurrency, log)

    async def take(self, record: Record) -> Outcome:
        """Take all steps. Never raises: what a store refuses ends the call before the tool."""
        refused = _refused_by_scopes(record)
        if refused is not None:
            return refused
        given = _arguments(record)
        verdict = record.gate.judge(given)
        if verdict.decision == "deny":
            return denied(
                "POLICY_DENIED", _policy_text(record, verdict), verdict.decisions,
                details={"decisions": msgspec.to_builtins(verdict.decisions)},
            )  # fmt: skip
        prepared = _checked_input(record, given, verdict.decisions)
        if isinstance(prepared, Outcome):
            return prepared
        try:
            refused = await self._key_and_approval(record, verdict)
        except Exception as error:  # noqa: BLE001  whatever a store raises, nothing may run
            if self._log is not None:
                name = record.gate.tool.name
                self._log.error("tool_store_failed", tool=name, error=describe(error))
            return failure(
                "EVIDENCE_FAILED", f"a store failed; nothing was run: {describe(error)}",
                verdict.decisions,
            )  # fmt: skip
        if refused is not None:
            return refused
        if record.abandoned:
            return failure("CALL_INTERRUPTED", "the caller was gone before the tool was run",
                           verdict.decisions)  # fmt: skip
        return await self._run(record, prepared, given or {}, verdict.decisions)

    async def _key_and_approval(self, record: Record, verdict: Verdict) -> Outcome | None:
        """Claim the key, then use up the approval; None: the tool may run."""
        input_hash = record.input_hash or ""
        if record.request.key is not None:
            refused = await self._claim(record, record.request.key, input_hash, verdict.decisions)
            if refused is not None:
                return refused
        if verdict.decision != "approval_required":
            return None
        asked = approvals_of(verdict)
        return await self._leave.use(record, input_hash, asked, verdict.decisions)

    async def _claim(
        self, record: Record, key: str, input_hash: str, decisions: Sequence[Decided]
    ) -> Outcome | None:
        if not key or len(key) > KEY_MAX or not key.isprintable():
            text = f"an idempotency key is 1 to {KEY_MAX} printable characters"
            return failure("INVALID_INPUT", text, decisions)
        actor, tool = record.request.caller.actor, record.gate.tool.name
        now_ms = epoch_ms(self._clock.now())
        claimed = await self._results.claim(actor, tool, key, input_hash, now_ms)
        match claimed.state:
            case "fresh":
                record.claimed = True
                return None
            case "running":
                text = f"a call of {tool} with this idempotency key is running"
                return failure("CALL_IN_PROGRESS", text, decisions)
            case "conflict":
                text = f"this idempotency key was used for {tool} with another input"
                return failure("IDEMPOTENCY_CONFLICT", text, decisions)
            case "done":
                kept = claimed.output or b""
                return answered(_stored(kept), kept, decisions, replayed=True)

    async def _run(
        self, record: Record, ready: Ready, given: dict[str, Any], decisions: Sequence[Decided]
    ) -> Outcome:
        tool, request = record.gate.tool, record.request
        deadline_s = tool.manifest.deadline_s or self._deadline_s
        room = self._rooms[tool.pack]
        call = ToolCall(
            record.call_id, tool.name, request.caller.actor, request.caller.surface,
            given.get("dry_run") is True, request.run_id, request.task_id, request.session_id,
        )  # fmt: skip
        context = HostToolContext(
            room.context, room.own, call, record.gate.reach.scopes, record.gate.files,
            asyncio.get_running_loop().time() + deadline_s,
        )  # fmt: skip
        record.dispatched = True
        answer = await self._dispatcher.run(
            tool.name,
            lambda: ready.run(given, context),
            Within(record.call_id, record.scopes, record.depth),
            deadline_s,
            record.began_running,
        )
        output, text = read_answer(answer, ready.output)
        return answered(output, text, decisions)


def _refused_by_scopes(record: Record) -> Outcome | None:
    gate, caller = record.gate, record.request.caller
    name = gate.tool.name
    if not may_call(caller, name):
        return denied("TOOL_NOT_ALLOWLISTED", f"{name!r} may not be called here")
    if gate.reach.reserved:
        listed = list(gate.reach.reserved)
        return denied(
            "SCOPE_DENIED", f"{name} declares that it writes {', '.join(listed)}: no tool may",
            [Decided(RESERVED_PATH, "deny")], details={"reserved_scopes": listed},
        )  # fmt: skip
    if gate.reach.missing:
        missing = [label(scope) for scope in gate.reach.missing]
        return denied(
            "SCOPE_DENIED", f"{name} needs {', '.join(missing)}, which is not allowed here",
            [Decided(BOUNDARY, "deny")],
            details={"missing": missing, "allowed": gate.trace["scopes"]["allowed"]},
        )  # fmt: skip
    return None


def _arguments(record: Record) -> dict[str, Any] | None:
    """Return a fresh value of the input; None: it is no JSON object."""
    found: object = None if record.input_text is None else from_json(record.input_text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _checked_input(
    record: Record, given: Mapping[str, Any] | None, decisions: Sequence[Decided]
) -> Ready | Outcome:
    """Check the input against the tool's schema; what passes is what was hashed."""
    try:
        ready = record.gate.tool.ready()
    except ToolUnavailable as error:
        return failure("TOOL_UNAVAILABLE", f"{record.gate.tool.name}: {error}", decisions)
    if record.input_text is None:
        text = f"the input is not JSON, nested too deep, or more than {INPUT_MAX_BYTES} bytes"
        problems = [{"pointer": "", "message": text}]
    elif given is None:
        problems = [{"pointer": "", "message": "the input is not an object"}]
    else:
        problems = ready.input.problems(given)
    if not problems:
        return ready
    first = problems[0]
    return failure(
        "INVALID_INPUT",
        f"the input of {record.gate.tool.name} is invalid: "
        f"{first['pointer'] or '/'}: {first['message']}",
        decisions, details={"problems": problems},
    )  # fmt: skip


def _policy_text(record: Record, verdict: Verdict) -> str:
    rules = [one.policy_id for one in verdict.decisions if one.decision == "deny"]
    by = f" by {', '.join(rules)}" if rules else ""
    return f"{record.gate.tool.name} is denied{by}" + (
        f": {verdict.reason}" if verdict.reason else ""
    )
