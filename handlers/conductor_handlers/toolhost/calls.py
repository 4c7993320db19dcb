"""Calls of tools, from the request to the answer.

Promise: every call passes the same steps in the same order, and what was found leaves evidence
before anything runs. A refusal is an answer: `call` raises nothing but CancelledError. Refusal:
no transport, no credential and no store is known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping

import msgspec

from conductor_handlers.errors import describe
from conductor_handlers.toolhost.approvals import Leave
from conductor_handlers.toolhost.catalogue import CatalogueTool
from conductor_handlers.toolhost.current import current_call
from conductor_handlers.toolhost.evidence import Record, Traces, sha256
from conductor_handlers.toolhost.gate import Gates, may_call
from conductor_handlers.toolhost.given import Given, HostPorts
from conductor_handlers.toolhost.outcome import Outcome, failure
from conductor_handlers.toolhost.ports import OpenCall, ToolTimes
from conductor_handlers.toolhost.records import AnyScope, Caller, Listing, PackRoom, Request
from conductor_handlers.toolhost.scopes import intersect
from conductor_handlers.toolhost.settings import HostSettings
from conductor_handlers.toolhost.steps import Steps
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.context import Log
from conductor_sdk.event_builder import random_event_id
from conductor_sdk.tool_output import ToolOutput, failed
from conductor_sdk.tool_schema import NotJson, to_json

DEPTH_MAX = 8
"""Calls inside of each other, the outermost counted."""


class Calls:
    """The calls of one tool host, and what they are decided by."""

    def __init__(
        self, given: Given, ports: HostPorts, *, subject: str, clock: Clock, log: Log | None,
        times: ToolTimes | None,
    ) -> None:  # fmt: skip
        """Prepare; no tool is imported yet.

        Args:
            given: Tools, rooms and settings.
            ports: The stores.
            subject: As `ToolHost`, and so is the rest.
            clock: Gives every time and duration of the evidence.
            log: Is told what cannot be answered.
            times: Is told of every call.
        """
        self._ports = ports
        self._results = ports.results
        self._clock = clock
        self._log = log
        self._times = times
        self._traces = Traces(ports.evidence, ports.events, subject, clock)
        self.adopt(given)
        self._running: dict[asyncio.Task[ToolOutput], Record] = {}
        self._closed = False
        self._draining = False

    def adopt(self, given: Given) -> None:
        """Take over other tools and settings; calls that run end in what they began in."""
        settings = given.settings or HostSettings()
        self._catalogue = given.catalogue
        self._gates, self._steps = self._made(given.rooms, settings)

    async def settled(self, packs: Collection[str], timeout_s: float) -> bool:
        """Wait for the calls of these packs' tools to end; tells whether they did in time."""
        calls = [t for t, record in self._running.items() if record.gate.tool.pack in packs]
        if not calls:
            return True
        _, left = await asyncio.wait(calls, timeout=timeout_s)
        return not left

    def _made(self, rooms: Mapping[str, PackRoom], settings: HostSettings) -> tuple[Gates, Steps]:
        ports, clock = self._ports, self._clock
        roots = {slug: room.context.workspace for slug, room in rooms.items()}
        leave = Leave(ports.approvals, ports.evidence, clock, settings.approval_ttl_s)
        steps = Steps(rooms, ports.results, leave, settings, clock, self._log)
        return Gates(settings, roots), steps

    async def call(self, request: Request) -> ToolOutput:
        """Call a tool. A refusal is an answer; nothing but CancelledError is raised.

        The call is finished, and its evidence written, even if the caller is cancelled: the tool
        is cancelled then, and what it did is `CALL_INTERRUPTED`.
        """
        if self._closed or (self._draining and current_call.get() is None):
            return failed("TOOL_UNAVAILABLE", "the daemon is stopping")
        tool = self._found(request)
        if tool is None:
            if not may_call(request.caller, request.tool):
                return failed("TOOL_NOT_ALLOWLISTED", f"{request.tool!r} may not be called here")
            return failed("TOOL_NOT_FOUND", f"no tool is called {request.tool!r}")
        record = self._record(request, tool)
        if record.depth > DEPTH_MAX:
            return failed(
                "TOOL_EXECUTION_FAILED", f"{tool.name}: calls nest deeper than {DEPTH_MAX}"
            )
        performing = self._perform(record, self._steps)
        task = asyncio.create_task(performing, name=f"call {tool.name}")
        self._running[task] = record
        task.add_done_callback(self._forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            record.abandon()
            raise

    def listings(self, caller: Caller) -> list[Listing]:
        """Return the tools that a caller may call, sorted by name.

        Those for packs only are left out, and those that scopes or policy refuse in any case.
        """
        found = [
            self._gates.of(tool, caller.scopes).listing()
            for tool in self._catalogue.tools.values()
            if not tool.manifest.internal_only and may_call(caller, tool.name)
        ]
        return [listing for listing in found if listing is not None]

    def known(self) -> list[Listing]:
        """Return every tool that is not for packs only, sorted, whatever refuses its calls."""
        return [
            tool.listing
            for tool in self._catalogue.tools.values()
            if not tool.manifest.internal_only
        ]

    def names(self, caller: Caller) -> list[str]:
        """Return the names of the tools that a call would find, sorted."""
        return [
            name
            for name, tool in self._catalogue.tools.items()
            if may_call(caller, name)
            and (caller.surface == "pack" or not tool.manifest.internal_only)
        ]

    async def interrupted(self, call: OpenCall) -> None:
        """Close a call that the last process left open."""
        await self._traces.interrupted(call)

    async def drain(self, timeout_s: float) -> int:
        """Take no more calls but those that a running tool makes, and wait for what runs.

        Returns how many calls had not ended in time; `close` ends them.
        """
        self._draining = True
        if self._running:
            await asyncio.wait(list(self._running), timeout=timeout_s)
        return len(self._running)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Take no more calls, cancel the tools that run, and finish their evidence."""
        self._closed = True
        for record in self._running.values():
            record.abandon()
        if self._running:
            await asyncio.wait(list(self._running), timeout=timeout_s)

    def _found(self, request: Request) -> CatalogueTool | None:
        tool = self._catalogue.get(request.tool)
        if tool is not None and tool.manifest.internal_only and request.caller.surface != "pack":
            return None
        return tool

    def _record(self, request: Request, tool: CatalogueTool) -> Record:
        within = current_call.get()
        scopes = _narrower(request.caller.scopes, None if within is None else within.scopes)
        try:
            text = to_json(request.input)
        except NotJson:
            text = None
        return Record(
            call_id=random_event_id(self._clock).replace("evt-", "call-", 1),
            request=request, gate=self._gates.of(tool, scopes), scopes=scopes,
            began=self._clock.monotonic(), input_text=text,
            input_hash=None if text is None else sha256(text),
            parent=None if within is None else within.call_id,
            depth=1 if within is None else within.depth + 1,
        )  # fmt: skip

    async def _perform(self, record: Record, steps: Steps) -> ToolOutput:
        """Trace, decide, run, trace."""
        try:
            await self._traces.started(record)
        except Exception as error:  # noqa: BLE001  whatever a store raises, nothing may run
            self._complain("tool_evidence_refused", record, error)
            self._count(record, "failure")
            return failed("EVIDENCE_FAILED", "the journal did not take the call; nothing was run")
        try:
            outcome = await steps.take(record)
        except Exception as error:  # noqa: BLE001  a fault of ours or of a policy's condition
            self._complain("tool_host_failed", record, error)
            text = f"{record.gate.tool.name}: the tool host failed: {describe(error)}"
            outcome = failure("TOOL_EXECUTION_FAILED", text)
        await self._settle(record, outcome)
        about = {**(outcome.output.metadata or {}), "call_id": record.call_id}
        if outcome.replayed:
            about["replayed"] = True
        return msgspec.structs.replace(outcome.output, metadata=about)

    async def _settle(self, record: Record, outcome: Outcome) -> None:
        """Write down what became of the call; the stores share a commit where they can."""
        self._count(record, outcome.result)
        writes: list[Awaitable[None]] = [
            self._traces.finished(record, outcome), self._traces.push(record, outcome)
        ]  # fmt: skip
        if record.claimed:
            writes.append(self._keep(record, outcome))
        for error in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(error, BaseException):
                # The answer is given all the same: the effect has happened. An entry that is
                # missing is closed as interrupted at the next start.
                self._complain("tool_evidence_refused", record, error)

    async def _keep(self, record: Record, outcome: Outcome) -> None:
        """Keep the answer of a key, or give the key back if nothing was run."""
        actor, tool, key = record.request.caller.actor, record.gate.tool.name, record.request.key
        if key is None:
            return
        if record.dispatched:
            now_ms = epoch_ms(self._clock.now())
            await self._results.finish(actor, tool, key, outcome.text, now_ms)
        else:
            await self._results.release(actor, tool, key)

    def _forget(self, task: asyncio.Task[ToolOutput]) -> None:
        self._running.pop(task, None)

    def _count(self, record: Record, outcome: str) -> None:
        if self._times is not None:
            seconds = self._clock.monotonic() - record.began
            self._times.called(record.gate.tool.name, outcome, max(0.0, seconds))

    def _complain(self, event: str, record: Record, error: BaseException) -> None:
        if self._log is not None:
            name = record.gate.tool.name
            self._log.error(event, tool=name, call_id=record.call_id, error=describe(error))


def _narrower(
    given: tuple[AnyScope, ...] | None, outer: tuple[AnyScope, ...] | None
) -> tuple[AnyScope, ...] | None:
    """Return the scopes of a call inside of another one: never wider than the outer one's."""
    if given is None or outer is None:
        return outer if given is None else given
    return intersect([given, outer])
