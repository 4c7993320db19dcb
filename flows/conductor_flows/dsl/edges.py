"""What may be said about an edge: how often, how long, how much, by what key.

Promise: each is said once, about an edge that is there, in the words of its options. Refusal: what
the sayings need of each other, as a dedupe store for exactly once, is the validator's.
"""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict, Unpack

from conductor_flows.dsl.draft import Draft, Handle
from conductor_flows.dsl.options import member
from conductor_flows.dsl.written import only, positive, text
from conductor_flows.ir.terms import Delivery, Ordering, SurfaceKind


class TimeoutOptions(TypedDict, total=False):
    """Options of `timeout`."""

    ms: Required[int]


class BufferOptions(TypedDict, total=False):
    """Options of `buffer`."""

    max_items: Required[int]
    max_bytes: int
    on_full: Literal["backpressure", "drop_oldest", "drop_newest", "dead_letter"]


class SpillOptions(TypedDict, total=False):
    """Options of `spill`."""

    tier: Required[str]
    threshold_bytes: int
    """Of one item; items go out when the edge is full as well."""


class EdgeWords:
    """The edge half of `Flow`."""

    _draft: Draft

    def timeout(
        self, source: Handle[Any, Any], target: Handle[Any, Any], **options: Unpack[TimeoutOptions]
    ) -> None:
        """Bound the time from the source's answer to the end of the target's call (TIME015).

        Raises:
            FlowRefused: DAG202, DAG206 without that edge, DAG207 the second time.
        """
        only(options, "timeout", "ms")
        milliseconds = positive(options["ms"], "timeout: `ms`")
        self._draft.change_edge(source, target, "timeout", timeout_ms=milliseconds)

    def delivery(
        self, source: Handle[Any, Any], target: Handle[Any, Any],
        mode: Literal["at_least_once", "at_most_once", "exactly_once"],
    ) -> None:  # fmt: skip
        """Say how often an item may arrive; raises as `timeout`, and for an unknown mode."""
        delivery = member(Delivery, mode, "delivery")
        self._draft.change_edge(source, target, "delivery", delivery=delivery)

    def ordering(
        self, source: Handle[Any, Any], target: Handle[Any, Any],
        order: Literal["ordered", "unordered"],
    ) -> None:  # fmt: skip
        """Say whether items arrive in order; raises as `timeout`, and for an unknown order."""
        found = member(Ordering, order, "ordering")
        self._draft.change_edge(source, target, "ordering", ordering=found)

    def buffer(
        self, source: Handle[Any, Any], target: Handle[Any, Any], **options: Unpack[BufferOptions]
    ) -> None:
        """Bound what waits on the edge, and say what happens beyond; raises as `timeout`."""
        only(options, "buffer", "max_items", "max_bytes", "on_full")
        changes: dict[str, Any] = {
            "max_items": positive(options["max_items"], "buffer: `max_items`")
        }
        if "max_bytes" in options:
            changes["max_bytes"] = positive(options["max_bytes"], "buffer: `max_bytes`")
        if "on_full" in options:
            changes["on_drop"] = options["on_full"]
        self._draft.change_edge(source, target, "buffer", buffer=changes)

    def spill(
        self, source: Handle[Any, Any], target: Handle[Any, Any], **options: Unpack[SpillOptions]
    ) -> None:
        """Let items leave memory while they wait; raises as `timeout`."""
        only(options, "spill", "tier", "threshold_bytes")
        changes: dict[str, Any] = {"spill_tier": text(options["tier"], "spill: `tier`")}
        if "threshold_bytes" in options:
            threshold = positive(options["threshold_bytes"], "spill: `threshold_bytes`")
            changes["spill_threshold_bytes"] = threshold
        self._draft.change_edge(source, target, "spill", buffer=changes)

    def partition(self, source: Handle[Any, Any], target: Handle[Any, Any], *, key: str) -> str:
        """Part the items of the edge: order holds within a part, and parts go side by side.

        Args:
            source: Where the edge begins.
            target: Where it ends.
            key: A JSON Pointer into the source's answer, or names joined by dots.

        Returns:
            The surface's id.

        Raises:
            FlowRefused: As `timeout`, and for an empty key.
        """
        found = text(key, "partition: `key`")
        draft = self._draft
        draft.change_edge(source, target, "partition", partition_key=found)
        ends = {"from": source.alias, "to": target.alias}
        return draft.surface(SurfaceKind.PARTITION, ends.values(), {"edge": ends, "key": found})
