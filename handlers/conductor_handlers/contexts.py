"""What a pack is given in the daemon: the implementations behind `PackContext`.

Promise: a pack pushes only kinds that it declares, as the enrolled subject, and sees only its own
keys, storage and configuration. Refusal: no policy is decided here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor_handlers.attempt import current_attempt
from conductor_handlers.ports import ClaimStore, Publisher
from conductor_handlers.traced import handed_on, own_traceparent
from conductor_sdk.clock import Clock
from conductor_sdk.context import JournalPort, Log, PushReceipt, StoragePort, SyncPort, ToolPort
from conductor_sdk.errors import EventMalformed, SubjectMismatch, UnknownKind
from conductor_sdk.event import KernelEvent, event_from_fields, parse_event, with_context
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.replay import PackReplayLog

RECENT_KEYS = 32_768
"""Keys put and perhaps not yet committed; more than can be waiting for the settler."""


COLONS_MAX = 2048
"""An event with no more has fewer keys than any limit of the link; with more it gets no context."""


class PackKeys:
    """A pack's replay keys: the recent ones in memory, all of them in the store."""

    def __init__(self, slug: str, store: ClaimStore) -> None:
        self._slug = slug
        self._store = store
        self._recent: OrderedDict[str, None] = OrderedDict()

    async def has(self, key: str) -> bool:
        """Tell whether `key` was put within the retention window."""
        return key in self._recent or await self._store.has_key(self._slug, key)

    async def put(self, key: str) -> None:
        """Record `key`: inside a handler it becomes durable with the event's outcome."""
        attempt = current_attempt.get()
        job = attempt.job if attempt is not None else None
        if job is None:
            await self._store.put_keys([(self._slug, key)])
        elif job.keys is None:
            job.keys = [(self._slug, key)]
        else:
            job.keys.append((self._slug, key))
        self._recent[key] = None
        if len(self._recent) > RECENT_KEYS:
            self._recent.popitem(last=False)


class PackSyncPort:
    """Checks what a pack pushes, then hands it to the publisher."""

    def __init__(
        self, emits: frozenset[str], subject: str, publisher: Publisher, clock: Clock,
        max_event_bytes: int,
    ) -> None:  # fmt: skip
        self._emits = emits
        self._subject = subject
        self._publisher = publisher
        self._clock = clock
        self._max_event_bytes = max_event_bytes

    async def push_kernel_events(
        self, events: Sequence[KernelEvent | Mapping[str, Any]]
    ) -> list[PushReceipt]:
        """Push events upstream; all or nothing, one receipt per event in order."""
        checked = [self._checked(event) for event in events]
        return await self._publisher.publish(checked) if checked else []

    def _checked(self, event: KernelEvent | Mapping[str, Any]) -> KernelEvent:
        if not isinstance(event, KernelEvent):
            event = self._built(event)
        if event.schema_version != 1:
            self._check_ours(event)
        event, body = self._traced(event)
        if len(body) > self._max_event_bytes:
            raise EventMalformed(f"{len(body)} bytes, the limit is {self._max_event_bytes}")
        # Events built by hand skipped the parser: check them as if they came from outside.
        return with_context(parse_event(body), event.traceparent, event.tracestate)

    def _traced(self, event: KernelEvent) -> tuple[KernelEvent, bytes]:
        """Encode an event in its pusher's trace context, which never takes it over a limit.

        A pack's own context stands. A version 1 event has no place for one on the wire; there it
        is kept beside the event only.
        """
        body = event.to_json()
        context = handed_on()
        if event.traceparent is None and context[0] is not None:
            traced = with_context(event, *context)
            longer = traced.to_json()
            if len(longer) <= self._max_event_bytes and longer.count(b":") <= COLONS_MAX:
                return traced, longer
        return event, body

    def _check_ours(self, event: KernelEvent) -> None:
        if event.kind not in self._emits:
            raise UnknownKind(event.kind, data={"kind": event.kind})
        if event.from_ != self._subject:
            raise SubjectMismatch(
                f"{event.from_!r}, enrolled as {self._subject!r}", data={"from": event.from_}
            )
        if type(event.payload) is not dict:
            raise EventMalformed("payload is not an object")

    def _built(self, fields: Mapping[str, Any]) -> KernelEvent:
        """Complete a mapping: subject, time and id are filled in where they are left out."""
        if fields.get("schema_version") == 1:
            return event_from_fields(fields)
        rest = dict(fields)
        key = rest.pop("idempotency_key", None)
        if key is not None and not isinstance(key, str):
            raise EventMalformed("idempotency_key is not a string")
        rest.setdefault("from", self._subject)
        return build_kernel_event_v2(rest, idempotency_key=key, clock=self._clock)


@dataclass(frozen=True, slots=True)
class DaemonContext:
    """The `PackContext` of a pack in the running daemon."""

    slug: str
    subject: str
    workspace: Path
    config: Mapping[str, Any]
    sync_port: SyncPort
    replay_log: PackReplayLog
    journal: JournalPort
    storage: StoragePort
    tools: ToolPort
    clock: Clock
    log: Log

    @property
    def deadline(self) -> float | None:
        """The event loop's time at which the current attempt is cancelled; None outside one."""
        attempt = current_attempt.get()
        return None if attempt is None or attempt.job is None else attempt.deadline

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context for a pack's own requests; None outside an attempt."""
        return own_traceparent()

    async def push(
        self, kind: str, payload: Mapping[str, Any], *, key: str | None = None
    ) -> PushReceipt:
        """Build an event of this pack and push it; `key` makes its id deterministic."""
        event = build_kernel_event_v2(
            {"kind": kind, "from": self.subject, "payload": payload},
            idempotency_key=key,
            clock=self.clock,
        )
        return (await self.sync_port.push_kernel_events([event]))[0]
