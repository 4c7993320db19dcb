"""Where several items become one: windows, joins, zips and merges.

Promise: the edges of a gathering are drawn with it, and what the gathering node takes is told by a
type: `Window[T]` for a window, a tuple for a zip, an object with a field for each source for a
join. Refusal: nothing is gathered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from conductor_flows.dsl.draft import Draft, Handle
from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.written import pointer, positive
from conductor_flows.ir.terms import SurfaceKind

AnyHandle = Handle[Any, Any]
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
WATERMARK = "max(event_time) - allowed_lateness"


@dataclass(frozen=True)
class Window(Generic[T]):
    """What a node behind a window takes. Times in milliseconds since 1970."""

    window_start: int
    window_end: int
    """The first millisecond that is no longer in it."""
    items: list[T]
    """In the order in which they came."""
    partition: Any = None
    """The key of its partition, on a partitioned edge."""


class GatheringWords:
    """The gathering half of `Flow`. Every method returns the surface's id."""

    _draft: Draft

    def window(
        self, source: Handle[Any, T], target: Handle[Window[T], Any], *, time: str, size_ms: int,
        lateness_ms: int = 0, late: Handle[T, Any] | None = None,
    ) -> str:  # fmt: skip
        """Gather items by the time that is in them, in windows of one size.

        Args:
            source: Whose answers are gathered.
            target: Takes whole windows.
            time: JSON Pointer to the item's time, in milliseconds since 1970.
            size_ms: Length of a window.
            lateness_ms: How far an item may be behind the newest one.
            late: Takes items that come too late; without it they are counted and dropped.

        Raises:
            FlowRefused: DAG202, DAG207 for a second one on that edge, or a value of the wrong
                kind.
        """
        draft = self._draft
        start, into = draft.alias(source, "window"), draft.alias(target, "window")
        side = None if late is None else draft.alias(late, "window late")
        config = {
            "event_time_pointer": pointer(time, "window"),
            "size_ms": positive(size_ms, "window: `size_ms`"),
            "allowed_lateness_ms": lateness_ms, "watermark": WATERMARK, "late": side,
        }  # fmt: skip
        if lateness_ms:
            positive(lateness_ms, "window: `lateness_ms`")
        draft.once("window", start, into)
        draft.made(start, into)
        targets = [start, into]
        if side is not None:
            draft.made(start, side)
            targets.append(side)
        return draft.surface(SurfaceKind.WINDOW, targets, config)

    def join(self, sources: Sequence[AnyHandle], target: AnyHandle, *, key: str = "") -> str:
        """Wait for one item of every source with the same key.

        Args:
            sources: At least two.
            target: Takes an object with a field for each source, named by its alias.
            key: JSON Pointer to the key in every item; by default the payload that they all stem
                from.

        Raises:
            FlowRefused: DAG202, DAG207 for a second gathering at the target, or fewer than two
                sources.
        """
        found = pointer(key, "join") or None
        return self._gather(SurfaceKind.JOIN, sources, target, {"key_pointer": found})

    @overload
    def zip(self, a: Handle[Any, A], b: Handle[Any, B], /, *,
            target: Handle[tuple[A, B], Any]) -> str: ...  # fmt: skip
    @overload
    def zip(self, a: Handle[Any, A], b: Handle[Any, B], c: Handle[Any, C], /, *,
            target: Handle[tuple[A, B, C], Any]) -> str: ...  # fmt: skip
    def zip(self, *sources: AnyHandle, target: AnyHandle) -> str:
        """Pair the first item of every source, then the second: a tuple each; raises as `join`."""
        return self._gather(SurfaceKind.ZIP, sources, target, {})

    def merge(self, sources: Sequence[Handle[Any, T]], target: Handle[T, Any]) -> str:
        """Take the items of several sources one by one, as they come; raises as `join`."""
        return self._gather(SurfaceKind.MERGE, sources, target, {})

    def _gather(
        self, kind: SurfaceKind, sources: Sequence[AnyHandle], target: AnyHandle,
        config: dict[str, Any],
    ) -> str:  # fmt: skip
        draft = self._draft
        names = draft.aliases(sources, kind)
        into = draft.alias(target, kind)
        if len(set(names)) < 2:  # noqa: PLR2004  # two is what makes a gathering
            raise FlowRefused(f"{kind}: give at least two sources")
        draft.once("a gathering", into)
        for name in names:
            if kind is not SurfaceKind.MERGE:
                draft.made(name, into)
            elif (name, into) not in draft.edges:
                draft.connect(name, into, into=False)
        return draft.surface(kind, [*names, into], {"sources": names, **config})
