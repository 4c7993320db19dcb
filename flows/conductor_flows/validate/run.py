"""Looking for everything that is wrong with a flow.

Promise: any document that could be read is judged, never refused with an exception; all rules are
applied, in one order, and subflows are judged like flows. The work grows with the size of the
document. Refusal: nothing is changed, read or run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from conductor_flows.ir.model import FlowIR
from conductor_flows.validate.diagnostic import Diagnostic, Severity
from conductor_flows.validate.hints import HINTS, HintRegistry
from conductor_flows.validate.rules import (
    capabilities,
    documentation,
    durability,
    edges,
    graph,
    keys,
    lattices,
    reliability,
    reserved,
    routing,
    sagas,
    schedules,
    triggers,
)
from conductor_flows.validate.scope import Rule, Scope, scope_of

RULES: Final[tuple[Rule, ...]] = (
    *graph.ALIASES, *triggers.RULES, *graph.RULES, *keys.RULES, *lattices.RULES,
    *documentation.RULES, *schedules.RULES, *capabilities.RULES, *reliability.RULES,
    *sagas.RULES, *edges.RULES, *durability.RULES, *routing.RULES, *reserved.RULES,
)  # fmt: skip
"""In the order in which they speak."""


def validate(
    flow: FlowIR, *, strict: bool = False, hints: HintRegistry = HINTS
) -> list[Diagnostic]:
    """Return what is wrong with a flow and its subflows; equal flows give equal lists.

    Args:
        flow: As read or authored.
        strict: Whether warnings are errors.
        hints: What capability hints need.
    """
    found = [diagnostic for scope in _scopes(flow, hints)
             for diagnostic in chain.from_iterable(rule(scope) for rule in RULES)]  # fmt: skip
    return [_stricter(each) for each in found] if strict else found


def fails(diagnostics: Iterable[Diagnostic], strict: bool = False) -> bool:
    """Whether a flow with these diagnostics is invalid; strictly, warnings are enough."""
    return any(each.severity.fails or (strict and each.severity is Severity.WARN)
               for each in diagnostics)  # fmt: skip


def _scopes(flow: FlowIR, hints: HintRegistry) -> Iterator[Scope]:
    """Yield a flow and the flows in it, outer ones first."""
    waiting = [(flow, "")]
    for inner, at in waiting:
        yield scope_of(inner, at, hints)
        waiting.extend(
            (node.subflow_ir, f"{at}/nodes/{place}/subflow_ir")
            for place, node in enumerate(inner.nodes)
            if node.subflow_ir is not None
        )


def _stricter(diagnostic: Diagnostic) -> Diagnostic:
    if diagnostic.severity is not Severity.WARN:
        return diagnostic
    return msgspec.structs.replace(diagnostic, severity=Severity.ERROR)
