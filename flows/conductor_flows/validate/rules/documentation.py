"""Rules of what nodes say of themselves: summaries, types, classes of data.

Promise: only what is written down is judged. Refusal: no prose is criticised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.model import Named, Opaque
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import JSON_BOUNDARY, under
from conductor_flows.validate.scope import Rule, Scope, hints_of, is_trigger

REGULATED: Final = "regulated"
"""The tag of flows whose data is classified."""


def nodes_have_summaries(scope: Scope) -> Iterator[Diagnostic]:
    """DAG350."""
    for place, node in enumerate(scope.flow.nodes):
        if not (node.summary or "").strip():
            yield scope.say("DAG350", f"/nodes/{place}", f"`{node.alias}` has no summary")


def inner_nodes_have_types(scope: Scope) -> Iterator[Diagnostic]:
    """TYPE001."""
    for place, node in enumerate(scope.flow.nodes):
        opaque = isinstance(node.in_schema, Opaque) and isinstance(node.out_schema, Opaque)
        inner = scope.outgoing[place] and scope.incoming[place] and not is_trigger(node)
        if opaque and inner and not any(under(hint, JSON_BOUNDARY) for hint in hints_of(node)):
            yield scope.say("TYPE001", f"/nodes/{place}", f"`{node.alias}` has two opaque ports")


def regulated_data_is_classified(scope: Scope) -> Iterator[Diagnostic]:
    """DATA101."""
    if REGULATED not in scope.flow.metadata.tags:
        return
    for place, node in enumerate(scope.flow.nodes):
        for key, port, classes in (
            ("in_schema", node.in_schema, node.in_data_classes),
            ("out_schema", node.out_schema, node.out_data_classes),
        ):
            if isinstance(port, Named) and not classes:
                detail = f"the fields of {port.name} at `{node.alias}` have no data classes"
                yield scope.say("DATA101", f"/nodes/{place}/{key}", detail)


RULES: Final[tuple[Rule, ...]] = (
    nodes_have_summaries, inner_nodes_have_types, regulated_data_is_classified,
)  # fmt: skip
