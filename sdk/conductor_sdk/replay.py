"""Replay keys: how a handler's effect happens once although its event may come again.

Promise: a key that was `put` answers `has` in every later call, also after a restart; it becomes
durable in the same commit as the outcome of the event that was being handled. Refusal: a key does
not undo an effect; between effect and commit a crash repeats the handler (upsert, or commit both
through `ctx.storage`).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Replayed


class PackReplayLog(Protocol):
    """The keys of one pack; two packs never see each other's."""

    async def has(self, key: str) -> bool:
        """Tell whether `key` was put within the retention window."""
        ...

    async def put(self, key: str) -> None:
        """Record `key`, after the effect. Idempotent.

        Inside a handler it is durable with the event's outcome, elsewhere when this returns.
        """
        ...


class HasReplayLog(Protocol):
    """What `@idempotent` needs of a handler's context."""

    @property
    def replay_log(self) -> PackReplayLog:
        """The pack's replay keys."""
        ...


def idempotent(
    *, key: Callable[[KernelEvent], str]
) -> Callable[
    [Callable[[KernelEvent, Any], Awaitable[Outcome]]],
    Callable[[KernelEvent, Any], Awaitable[Outcome]],
]:
    """Guard a handler with a replay key: look before the effect, put after `Handled`.

    Only `Handled` stores the key: an ignored, retried or rejected event may be looked at again.

    Args:
        key: Gives the key of an event, for example `lambda e: f"recover:{e.event_id}"`.
    """

    def decorate(
        handler: Callable[[KernelEvent, Any], Awaitable[Outcome]],
    ) -> Callable[[KernelEvent, Any], Awaitable[Outcome]]:
        @functools.wraps(handler)
        async def guarded(event: KernelEvent, ctx: HasReplayLog) -> Outcome:
            replay_key = key(event)
            if await ctx.replay_log.has(replay_key):
                return Replayed()
            outcome = await handler(event, ctx)
            if isinstance(outcome, Handled):
                await ctx.replay_log.put(replay_key)
            return outcome

        return guarded

    return decorate
