"""Rules of idempotency keys.

Promise: a declared key is complete, and made of what does not change by itself. Refusal: keys that
exactly-once edges, checkpoints and compensators need have rules of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.model import Idempotency
from conductor_flows.ir.terms import Delivery, Determinism, Effects, Profile
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.scope import Rule, Scope

_REPEATING: Final = frozenset({Profile.QUEUE, Profile.TEMPORAL})
"""Profiles whose host delivers again what was not settled."""


def declarations_have_keys(scope: Scope) -> Iterator[Diagnostic]:
    """DAG004."""
    for place, node in enumerate(scope.flow.nodes):
        declared = node.idempotency
        if declared != Idempotency() and not declared.keyed:
            detail = f"`{node.alias}` declares idempotency without a key"
            yield scope.say("DAG004", f"/nodes/{place}/idempotency", detail)


def sinks_recognise_repetitions(scope: Scope) -> Iterator[Diagnostic]:
    """IDEM020."""
    if scope.flow.profile not in _REPEATING:
        return
    for place, node in enumerate(scope.flow.nodes):
        if node.effects is not Effects.EFFECTFUL or node.idempotency.keyed:
            continue
        edges = (scope.flow.edges[number] for number in scope.incoming[place])
        if not scope.outgoing[place] and any(
            edge.delivery is Delivery.AT_LEAST_ONCE and not edge.partition_key for edge in edges
        ):
            detail = f"`{node.alias}` has an effect that a redelivery would repeat"
            yield scope.say("IDEM020", f"/nodes/{place}", detail)


def keys_are_steady(scope: Scope) -> Iterator[Diagnostic]:
    """IDEM025."""
    for place, node in enumerate(scope.flow.nodes):
        spec = node.idempotency.key_spec
        for number, field in enumerate(spec.fields if spec is not None else ()):
            if _unsteady(field.determinism):
                at = f"/nodes/{place}/idempotency/key_spec/fields/{number}/determinism"
                yield scope.say("IDEM025", at, f"`{field.path}` of `{node.alias}`: "
                                               f"{field.determinism}")  # fmt: skip
    for place, edge in enumerate(scope.flow.edges):
        if edge.partition is not None and _unsteady(edge.partition.determinism):
            detail = f"`{edge.partition.expression}` is {edge.partition.determinism}"
            yield scope.say("IDEM025", f"/edges/{place}/partition/determinism", detail)


def _unsteady(level: Determinism | None) -> bool:
    return level is not None and level.rank > Determinism.STABLE.rank


RULES: Final[tuple[Rule, ...]] = (
    declarations_have_keys, sinks_recognise_repetitions, keys_are_steady,
)  # fmt: skip
