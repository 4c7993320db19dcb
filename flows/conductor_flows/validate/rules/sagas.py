"""Rules of compensation.

Promise: what undoes an effect exists, takes what the effect gave, and can be repeated. Refusal:
whether it really undoes the effect is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.model import Named
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.scope import Rule, Scope


def compensators_fit(scope: Scope) -> Iterator[Diagnostic]:
    """DAG202 and SAGA201."""
    for place, node in enumerate(scope.flow.nodes):
        if node.compensate is None:
            continue
        at = f"/nodes/{place}/compensate/target"
        target = scope.node(node.compensate.target)
        if target is None:
            detail = f"`{node.alias}`: there is no node `{node.compensate.target}`"
            yield scope.say("DAG202", at, detail)
            continue
        gives, takes = node.out_schema, target.in_schema
        if isinstance(gives, Named) and isinstance(takes, Named) and gives.name != takes.name:
            detail = f"`{node.alias}` gives {gives.name}, `{target.alias}` takes {takes.name}"
            yield scope.say("SAGA201", at, detail)


def compensators_have_keys(scope: Scope) -> Iterator[Diagnostic]:
    """SAGA205."""
    named = {node.compensate.target for node in scope.flow.nodes if node.compensate is not None}
    for place, node in enumerate(scope.flow.nodes):
        if node.alias in named and not node.idempotency.keyed:
            yield scope.say("SAGA205", f"/nodes/{place}", f"`{node.alias}` has no idempotency key")


RULES: Final[tuple[Rule, ...]] = (compensators_fit, compensators_have_keys)
