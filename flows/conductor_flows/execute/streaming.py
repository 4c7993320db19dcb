"""The stream that a run hands out.

Promise: whatever ends the stream ends the run: its last piece, a failure, or `aclose`, also where
nobody ever took a piece. Refusal: it holds no piece back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.calling import explained
from conductor_flows.execute.durability import Keeper
from conductor_flows.execute.instance import Instance


class Pieces:
    """An iterator over what a run gives; close it."""

    __slots__ = ("_begun", "_items", "_unread")

    def __init__(self, items: AsyncGenerator[Any], unread: Callable[[], Awaitable[None]]) -> None:
        """Hold a stream.

        Args:
            items: Ends the run when it ends, once it has begun.
            unread: Ends the run where it never began: a generator that did not begin has no end.
        """
        self._items = items
        self._unread = unread
        self._begun = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self._begun = True
        return await anext(self._items)

    async def aclose(self) -> None:
        """End the run; returns when nothing of it runs any more. Idempotent."""
        begun, self._begun = self._begun, True
        if not begun:
            await self._unread()
        await self._items.aclose()


def handed_out(instance: Instance, bound: Bound, pieces: Any, keeper: Keeper | None) -> Pieces:
    """Return the stream of a run whose capture has given its pieces."""

    async def end() -> None:
        await instance.cancel("stream_cancelled")
        if keeper is not None:
            await keeper.abandoned()

    async def unread() -> None:
        try:
            await _close(pieces)
        finally:
            await end()

    return Pieces(_stream(instance, bound, pieces, keeper, end), unread)


async def _close(pieces: Any) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:  # an iterator need not have it
        await close()


async def _stream(
    instance: Instance, bound: Bound, pieces: Any, keeper: Keeper | None,
    end: Callable[[], Awaitable[None]],
) -> AsyncGenerator[Any]:  # fmt: skip
    """Hand pieces on; whatever ends the stream ends the run."""
    alias = bound.plan.nodes[bound.plan.capture].alias
    encode = bound.handlers[bound.plan.capture].gives.encode
    try:
        try:
            async for item in pieces:
                yield encode(item)
        finally:
            await _close(pieces)
        if keeper is not None:
            await keeper.completed()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        failed = explained(alias, error)
        instance.broke(failed)
        raise failed from error
    finally:
        await end()
