"""Drive a pack without a daemon, with a manual clock.

Promise: events meet the daemon's rules (payload types, replay keys committed with the outcome, the
storage's own keys asked first, settled events never run again), and a crash can be had at will.
Refusal: no link, no retry loop, no deadline in real time; the test decides what happens next.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from conductor_sdk.clock import ManualClock
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent, event_from_fields
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.handler import (
    Handled,
    Ignored,
    Outcome,
    Reject,
    Replayed,
    Retry,
    Subscription,
)
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import HandlerMissing, OutcomeInvalid
from conductor_sdk.pack_rules import validate
from conductor_sdk.payload import PayloadMismatch, payload_converter
from conductor_sdk.storage import SqliteStorage
from conductor_sdk.testing.context import HarnessContext
from conductor_sdk.testing.journal import RecordingJournal
from conductor_sdk.testing.ports import (
    CapturedLog,
    HarnessKeys,
    RecordingSyncPort,
    SimulatedCrash,
)
from conductor_sdk.testing.tools import HarnessTools, ToolCaller
from conductor_sdk.tool_output import ToolOutput
from conductor_sdk.trace_context import event_context

DEADLINE_S = 30.0
"""What `ctx.deadline` counts from, in manual time, where a subscription names no deadline."""


@dataclass(slots=True)
class _Seen:
    """What happened so far."""

    settled: set[str] = field(default_factory=set[str])
    last: KernelEvent | None = None
    attempts: Counter[str] = field(default_factory=Counter[str])
    changed_payloads: list[str] = field(default_factory=list[str])


class PackHarness:
    """One pack and everything that it is given. Use from one task; close it, or let it go."""

    def __init__(
        self,
        pack: Pack,
        *,
        subject: str = "ws-test",
        clock: ManualClock | None = None,
        config: Mapping[str, Any] | None = None,
        workspace: Path | None = None,
        storage_path: Path | None = None,
        journal_path: Path | None = None,
    ) -> None:
        """Check the pack as the daemon would, then wrap its context once.

        Args:
            pack: The pack.
            subject: The enrolled subject.
            clock: The time; moves only when the test moves it.
            config: The pack's section of the configuration.
            workspace: Its root; a temporary directory where none is given.
            storage_path: The file of `ctx.storage`; None keeps it in memory.
            journal_path: The SQLite file of the tables of `ctx.journal.transaction`; likewise.

        Raises:
            PackRefused: The first reason for which the daemon would not load the pack.
        """
        _refuse_invalid(pack)
        manifest = pack.manifest
        self.pack = pack
        self.clock = clock or ManualClock()
        self.sync_port = RecordingSyncPort(manifest.backpressure_policy, subject, self.clock)
        self.keys = HarnessKeys()
        self.journal = RecordingJournal(
            actor=f"pack:{manifest.slug}", clock=self.clock, path=journal_path
        )
        self.storage = SqliteStorage(storage_path, clock=self.clock)
        self.log = CapturedLog()
        self._seen = _Seen()
        self._give_contexts(subject, workspace or self._temporary(), dict(config or {}))

    def _give_contexts(self, subject: str, workspace: Path, config: dict[str, Any]) -> None:
        self.tools = HarnessTools(self.pack, config)
        self.context = HarnessContext(
            self.pack.manifest.slug, subject, workspace, config, self.sync_port, self.keys,
            self.journal, self.storage, self.tools, self.clock, self.log,
        )  # fmt: skip
        self.pack_context: Any = self.pack.context(self.context)
        """What the handlers are given: the pack's own context type."""
        self.tools.attach(self.context, self.pack_context)

    @property
    def attempts(self) -> Mapping[str, int]:
        """How often the handler ran, by event id."""
        return self._seen.attempts

    @property
    def changed_payloads(self) -> Sequence[str]:
        """Ids of events whose payload a handler changed, which other packs would see."""
        return self._seen.changed_payloads

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    @property
    def pushed(self) -> list[KernelEvent]:
        """Every event that the pack pushed and that was queued or sent, once for each id."""
        return self.sync_port.pushed

    @property
    def receipts(self) -> list[PushReceipt]:
        """One receipt for each push, dropped ones included."""
        return self.sync_port.receipts

    def connect(self) -> None:
        """Bring the link up: what waited arrives, in order."""
        self.sync_port.connect()

    def disconnect(self) -> None:
        """Take the link down: ephemeral events are dropped, queued ones wait."""
        self.sync_port.disconnect()

    def event(self, event: KernelEvent | Mapping[str, Any]) -> KernelEvent:
        """Complete the fields of an event: id, time and subject where they are left out."""
        if isinstance(event, KernelEvent):
            return event
        if event.get("schema_version") == 1:
            return event_from_fields(event)
        fields = {"from": self.context.subject, **event}
        return build_kernel_event_v2(fields, clock=self.clock)

    async def deliver(self, event: KernelEvent | Mapping[str, Any]) -> Outcome:
        """Give the pack an event, as the daemon does.

        An event that is already settled answers `Replayed("settled")` without the handler. A
        payload that does not fit its type answers Reject. `Retry` leaves the event unsettled, so
        that it can be delivered again. An exception of the handler is raised here.

        Raises:
            HandlerMissing: The pack does not subscribe to the kind.
            OutcomeInvalid: The handler returned something else than an outcome.
        """
        event = self._seen.last = self.event(event)
        if event.event_id in self._seen.settled:
            return Replayed("settled")
        return await self._attempt(event)

    async def deliver_again(self) -> Outcome:
        """Run the handler once more with the last event, whose settlement was lost.

        The keys of the first run are kept: an idempotent handler answers Replayed.
        """
        if self._seen.last is None:
            raise OutcomeInvalid("nothing was delivered yet", hint="call deliver first")
        return await self._attempt(self._seen.last)

    async def crash_between_effect_and_key(
        self,
        event: KernelEvent | Mapping[str, Any],
        *,
        how: Literal["crash", "cancel"] = "crash",
    ) -> None:
        """Run the handler up to its replay key, and die there; deliver the event again after.

        The effect is done, the key is not stored and the outcome is lost. A handler that puts no
        key dies after it returned, before its outcome is stored.

        Args:
            event: The event.
            how: `crash` ends the process, `cancel` is the attempt's deadline.
        """
        event = self._seen.last = self.event(event)
        self.keys.fail_at_put = how
        try:
            await self._call(self._subscription(event.kind), event)
        except SimulatedCrash:
            pass
        except BaseException as error:
            if how != "cancel" or type(error).__name__ != "CancelledError":
                raise
        finally:
            self.keys.fail_at_put = None

    async def call_tool(
        self,
        name: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002  the wire's word
        *,
        key: str | None = None,
        caller: ToolCaller | None = None,
    ) -> ToolOutput:
        """Call one of the pack's tools as the tool host would: scopes, schemas, answer checked.

        Args:
            name: The tool.
            input: A JSON object.
            key: The same key, tool and input give the first answer again.
            caller: Who calls, in what connection, and whether it holds the approvals.
        """
        return await self.tools.run(name, dict(input or {}), key=key, caller=caller)

    async def close(self) -> None:
        """Give storage and journal back."""
        await self.storage.close()
        await self.journal.close()

    def _subscription(self, kind: str) -> Subscription:
        handler = self.pack.handlers.get(kind)
        if handler is None:
            raise HandlerMissing(f"{self.context.slug} does not subscribe to {kind!r}", value=kind)
        return handler if isinstance(handler, Subscription) else Subscription(handler)

    async def _attempt(self, event: KernelEvent) -> Outcome:
        subscription = self._subscription(event.kind)
        if await self.storage.has(event.event_id):
            self._seen.settled.add(event.event_id)
            return Replayed()
        try:
            outcome = await self._call(subscription, event)
        finally:
            self.keys.commit()
        match outcome:
            case Handled() | Replayed() | Ignored() | Reject():
                self._seen.settled.add(event.event_id)
            case Retry():
                pass
            case _:  # pyright: ignore[reportUnnecessaryComparison]  # foreign code answers anything
                raise OutcomeInvalid(type(outcome).__name__)
        return outcome

    async def _call(self, subscription: Subscription, event: KernelEvent) -> Outcome:
        given = copy.deepcopy(event.payload)
        if subscription.payload is not None:
            try:
                given = payload_converter(subscription.payload)(given)
            except PayloadMismatch as error:
                return Reject(f"payload: {error}")
        self._seen.attempts[event.event_id] += 1
        deadline_s = subscription.deadline_s or DEADLINE_S
        self.context.deadline = self.clock.monotonic() + deadline_s
        self.context.traceparent = event_context(event.event_id, event.traceparent).traceparent
        try:
            typed = msgspec.structs.replace(event, payload=given)
            return await subscription.handler(typed, self.pack_context)
        finally:
            self.context.deadline = self.context.traceparent = None
            if subscription.payload is None and given != event.payload:
                self._seen.changed_payloads.append(event.event_id)

    def _temporary(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix="pack-harness-"))
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return path


def _refuse_invalid(pack: Pack) -> None:
    manifest = pack.manifest
    for problem in validate(
        manifest,
        pack.handlers,
        surfaces=manifest.surfaces_required,
        approval_providers=manifest.required_approvals,
    ):
        raise problem
