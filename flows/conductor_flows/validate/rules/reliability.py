"""Rules of edges that deliver exactly once.

Promise: each thing that is missing has a code of its own. Refusal: whether the sink really keeps
its word is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.terms import Delivery
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import DEDUPE, under
from conductor_flows.validate.scope import Rule, Scope, arrow, hints_of

LEAST_TTL_MS: Final = 300_000
"""How long a key must be remembered at least."""


def once_means_once(scope: Scope) -> Iterator[Diagnostic]:
    """EXACT001, EXACT002 and EXACT003."""
    for place, edge in enumerate(scope.flow.edges):
        node = scope.node(edge.to)
        if edge.delivery is not Delivery.EXACTLY_ONCE or node is None:
            continue
        at, target = f"/edges/{place}/delivery", f"{arrow(edge)}: `{node.alias}`"
        if not any(under(hint, DEDUPE) for hint in hints_of(node)):
            yield scope.say("EXACT001", at, f"{target} has no hint under {DEDUPE}")
        if not node.idempotency.keyed:
            yield scope.say("EXACT002", at, f"{target} has no idempotency key")
        ttl = node.idempotency.ttl_ms
        if ttl is None or ttl < LEAST_TTL_MS:
            told = "no ttlMs" if ttl is None else f"ttlMs {ttl}"
            yield scope.say("EXACT003", at, f"{target} has {told}; {LEAST_TTL_MS} is the least")


RULES: Final[tuple[Rule, ...]] = (once_means_once,)
