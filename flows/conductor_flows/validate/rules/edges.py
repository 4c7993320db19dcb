"""Rules of edges: timeouts, buffers, spills, and the rate of the whole flow.

Promise: a limit that lets nothing through is refused. Refusal: no limit is asked for where none is
set, except before a spill.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import BLOB, under
from conductor_flows.validate.scope import Rule, Scope, arrow, hints_of


def timeouts_leave_time(scope: Scope) -> Iterator[Diagnostic]:
    """CTRL101."""
    for place, edge in enumerate(scope.flow.edges):
        if edge.timeout_ms == 0:
            yield scope.say("CTRL101", f"/edges/{place}/timeout_ms", f"edge {arrow(edge)}")


def buffers_hold_something(scope: Scope) -> Iterator[Diagnostic]:
    """CTRL102."""
    for place, edge in enumerate(scope.flow.edges):
        if edge.buffer.max_items == 0:
            yield scope.say("CTRL102", f"/edges/{place}/buffer/max_items", f"edge {arrow(edge)}")


def spills_are_bounded(scope: Scope) -> Iterator[Diagnostic]:
    """SPILL001."""
    for place, edge in enumerate(scope.flow.edges):
        if edge.buffer.spill_tier is not None and edge.buffer.max_items is None:
            detail = f"edge {arrow(edge)} spills to {edge.buffer.spill_tier} without max_items"
            yield scope.say("SPILL001", f"/edges/{place}/buffer/spill_tier", detail)


def spills_have_a_store(scope: Scope) -> Iterator[Diagnostic]:
    """SPILL002, once."""
    spilling = (place for place, edge in enumerate(scope.flow.edges)
                if edge.buffer.spill_tier is not None)  # fmt: skip
    place = next(spilling, None)
    if place is None:
        return
    if not any(under(hint, BLOB) for node in scope.flow.nodes for hint in hints_of(node)):
        detail = f"edge {arrow(scope.flow.edges[place])} spills; no node has a hint under {BLOB}"
        yield scope.say("SPILL002", f"/edges/{place}/buffer/spill_tier", detail)


def the_rate_is_positive(scope: Scope) -> Iterator[Diagnostic]:
    """DAG320."""
    limit = scope.flow.policies.rate_limit
    if limit is None:
        return
    for key, value in (("qps", limit.qps), ("burst", limit.burst)):
        if value is not None and value <= 0:
            yield scope.say("DAG320", f"/policies/rate_limit/{key}", f"{key} is {value}")


RULES: Final[tuple[Rule, ...]] = (
    timeouts_leave_time, buffers_hold_something, spills_are_bounded, spills_have_a_store,
    the_rate_is_positive,
)  # fmt: skip
