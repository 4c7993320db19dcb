"""Rules of effects and determinism against what nodes use.

Promise: a declared level is raised or refused never silently; every hint speaks for itself.
Refusal: what functions really do is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.rich import CapabilityBinding
from conductor_flows.ir.terms import Determinism
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import implied_by
from conductor_flows.validate.scope import Rule, Scope

_UNSTEADY: Final = frozenset({"resource::clock", "resource::rng"})
_TAMING: Final = frozenset({"pinned", "seeded"})
"""Modes under which a clock or a random source gives the same again."""


def effects_cover_hints(scope: Scope) -> Iterator[Diagnostic]:
    """EFFECT201."""
    for place, node in enumerate(scope.flow.nodes):
        for number, hint in enumerate(node.effect_hints):
            least = scope.hints.effects_of(hint)
            if least is not None and node.effects.rank < least.rank:
                detail = f"`{node.alias}` is {node.effects}; {hint} needs at least {least}"
                yield scope.say("EFFECT201", f"/nodes/{place}/effectHints/{number}", detail)


def hints_are_known(scope: Scope) -> Iterator[Diagnostic]:
    """EFFECT202."""
    for place, node in enumerate(scope.flow.nodes):
        for number, hint in enumerate(node.effect_hints):
            if not scope.hints.knows(hint):
                detail = f"`{node.alias}`: nothing is known of {hint}"
                yield scope.say("EFFECT202", f"/nodes/{place}/effectHints/{number}", detail)


def replays_use_no_clock(scope: Scope) -> Iterator[Diagnostic]:
    """DET301."""
    for place, node in enumerate(scope.flow.nodes):
        if node.determinism.rank > Determinism.STABLE.rank:
            continue
        for number, capability in enumerate(node.capabilities or ()):
            if _unsteady(capability):
                detail = f"`{node.alias}` is {node.determinism} and uses {capability.name}"
                yield scope.say("DET301", f"/nodes/{place}/capabilities/{number}", detail)


def _unsteady(capability: CapabilityBinding) -> bool:
    implied = implied_by("", capability.name).determinism
    return not _UNSTEADY.isdisjoint(implied) and _TAMING.isdisjoint(capability.modes or ())


def determinism_covers_hints(scope: Scope) -> Iterator[Diagnostic]:
    """DET302."""
    for place, node in enumerate(scope.flow.nodes):
        for number, hint in enumerate(node.determinism_hints):
            least = scope.hints.determinism_of(hint)
            if least is not None and node.determinism.rank < least.rank:
                detail = f"`{node.alias}` is {node.determinism}; {hint} allows {least} at most"
                at = f"/nodes/{place}/determinismHints/{number}"
                yield scope.say("DET302", at, detail)


RULES: Final[tuple[Rule, ...]] = (
    effects_cover_hints, hints_are_known, replays_use_no_clock, determinism_covers_hints,
)  # fmt: skip
