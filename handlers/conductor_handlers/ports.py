"""What running packs needs of the rest: small protocols, implemented elsewhere.

Promise: the dispatcher, registry and contexts name no store. Refusal: no implementation here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Pending, Position, Settled


class ClaimStore(Protocol):
    """The dispatcher's half of the replay log."""

    async def claim(self, positions: Sequence[Position]) -> None:
        """Count one attempt for each position, before its handler runs; durable on return.

        A claim that is neither settled nor released when the process dies is reaped at the next
        start: its events come back with that attempt counted.
        """
        ...

    async def settle(self, outcomes: Sequence[Settled]) -> None:
        """Record what became of claimed events, all in one commit; durable on return.

        Settling a position twice keeps the first outcome.
        """
        ...

    async def release(self, positions: Sequence[Position]) -> None:
        """Give claimed events back without costing an attempt: a clean shutdown."""
        ...

    async def load(self, positions: Sequence[Position]) -> list[Pending]:
        """Read stored events again, in the order asked; settled ones are left out."""
        ...

    async def has_key(self, slug: str, key: str) -> bool:
        """Tell whether a pack's replay key is durable."""
        ...

    async def put_keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """Store (slug, key) pairs outside of a settlement; durable on return."""
        ...


class Publisher(Protocol):
    """Where checked events go up."""

    async def publish(self, events: Sequence[KernelEvent]) -> list[PushReceipt]:
        """Queue or try events by the policy of their kinds; one receipt each, in order.

        Raises:
            QueueFull: The outbox refuses; nothing of the call is stored.
        """
        ...


class HandlerTimes(Protocol):
    """Told of every attempt, for metrics: it is called once an event, so it must be quick."""

    def ran(self, slug: str, kind: str, answer: object, seconds: float) -> None:
        """Count one attempt of a pack's handler; `answer` is an outcome or an error."""
        ...


class Span(Protocol):
    """A recorded piece of work. Nothing here waits or raises."""

    @property
    def traceparent(self) -> str:
        """The W3C context of what this span causes."""
        ...

    @property
    def tracestate(self) -> str | None:
        """What goes along with it."""
        ...

    def tool(self, name: str) -> Span:
        """Begin a span below this one: a call of a tool."""
        ...

    def end(self, outcome: str, error: str | None = None) -> None:
        """Finish it, once; `error` is a code, where it failed."""
        ...


class Tracer(Protocol):
    """Records attempts. Where nobody does there is no tracer, rather than one that does nothing."""

    def handle(self, event: KernelEvent, *, pack: str, attempt: int, redriven: bool) -> Span | None:
        """Begin the span of an attempt; None where the event's trace is not recorded."""
        ...


class DispatchObserver(Protocol):
    """Told of settled batches, for counters and the live tail."""

    def settled(self, outcomes: Sequence[Settled]) -> None:
        """Take note of outcomes that are durable now."""
        ...

    def trouble(self, error: Exception) -> None:
        """Take note that outcomes could not be stored; it is tried again."""
        ...
