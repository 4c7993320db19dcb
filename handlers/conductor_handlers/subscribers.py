"""Who gets an event: the bound form of a pack's subscription.

Promise: everything that one attempt needs is here, looked up once per load of the packs. Refusal:
nothing here runs a handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from conductor_handlers.settlement import RetryPolicy
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handler
from conductor_sdk.records import Buried, Delivered


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One pack's handler for one kind, with its context and its choices."""

    slug: str
    handler: Handler
    ctx: Any
    policy: RetryPolicy
    deadline_s: float
    partition_key: Callable[[KernelEvent], str] | None = None
    convert: Callable[[Mapping[str, Any]], Any] | None = None
    done_before: Callable[[str], Awaitable[bool]] | None = None
    """Asks the pack's own storage for a replay key that was committed with the effect."""


Routes: TypeAlias = Mapping[str, tuple[Subscriber, ...]]
"""Kind to subscribers; replaced as a whole when packs are reloaded."""


class Joint:
    """What the jobs of one event with several subscribers share."""

    __slots__ = ("_answers", "_buried", "_left")

    def __init__(self, subscribers: int) -> None:
        self._left = subscribers
        self._answers: list[Delivered] = []
        self._buried: Buried | None = None

    def merge(self, settled: Delivered | Buried) -> Delivered | Buried | None:
        """Add one subscriber's answer; returns the event's outcome when it is the last one.

        One subscriber that gave up makes the event a dead letter; a redrive runs only those that
        did not finish. Otherwise `handled` wins over `replayed` over `ignored`.
        """
        self._left -= 1
        match settled:
            case Buried():
                self._buried = self._buried or settled
            case Delivered():
                self._answers.append(settled)
        if self._left:
            return None
        if self._buried is not None:
            return self._buried
        best = min(self._answers, key=lambda answer: _RANK[answer.status])
        actions = "; ".join(answer.action for answer in self._answers)
        return Delivered(best.position, best.status, actions)


_RANK = {"handled": 0, "replayed": 1, "ignored": 2, "unhandled": 3}


def done_key(event_id: str) -> str:
    """Return the replay key under which a subscriber's share of a shared event is done."""
    return f"\x00done:{event_id}"
