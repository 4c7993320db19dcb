"""Rules of triggers and entrypoints.

Promise: routes are compared as a router would. Refusal: no entrypoint is inferred here but that of
a flow that declares none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.model import Entrypoint
from conductor_flows.ir.terms import Profile
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.rules.reach import unreached
from conductor_flows.validate.scope import Rule, Scope, is_trigger

RESPONSES: Final = frozenset({"immediate", "on_last", "explicit", "stream"})
DEFAULT_METHOD: Final = "POST"
_NO_STREAMS: Final = frozenset({Profile.QUEUE, Profile.TEMPORAL})
_PARAMETER: Final = re.compile(r"\{[^{}/]*\}")


def there_is_one_trigger(scope: Scope) -> Iterator[Diagnostic]:
    """DAG104, once."""
    if scope.flow.policies.lint.allow_multiple_triggers:
        return
    found = [place for place, node in enumerate(scope.flow.nodes) if is_trigger(node)]
    if len(found) > 1:
        first, second = (scope.flow.nodes[place].alias for place in found[:2])
        detail = f"{len(found)} triggers, among them `{first}` and `{second}`"
        yield scope.say("DAG104", f"/nodes/{found[1]}/kind", detail)


def triggers_lead_somewhere(scope: Scope) -> Iterator[Diagnostic]:
    """DAG101."""
    entrypoints = scope.flow.metadata.entrypoints
    own = {each.trigger_alias for each in entrypoints if each.trigger_alias == each.capture_alias}
    # Without entrypoints the only trigger and the only sink are one; here they are one node.
    alone = not entrypoints and len(scope.flow.nodes) == 1
    for place, node in enumerate(scope.flow.nodes):
        if is_trigger(node) and not scope.outgoing[place] and node.alias not in own and not alone:
            yield scope.say("DAG101", f"/nodes/{place}", f"`{node.alias}` has no outgoing edge")


def entrypoints_name_nodes(scope: Scope) -> Iterator[Diagnostic]:
    """TRIG001."""
    for place, each in enumerate(scope.flow.metadata.entrypoints):
        at = f"/metadata/entrypoints/{place}"
        trigger = scope.node(each.trigger_alias)
        if trigger is None or not is_trigger(trigger):
            detail = f"`{each.trigger_alias}` is no trigger of this flow"
            yield scope.say("TRIG001", f"{at}/trigger_alias", detail)
        if each.capture_alias not in scope.number:
            detail = f"there is no node `{each.capture_alias}`"
            yield scope.say("TRIG001", f"{at}/capture_alias", detail)


def answers_suit_the_profile(scope: Scope) -> Iterator[Diagnostic]:
    """DAG102."""
    profile = scope.flow.profile
    for place, each in enumerate(scope.flow.metadata.entrypoints):
        if each.respond is None:
            continue
        at = f"/metadata/entrypoints/{place}/respond"
        if each.respond not in RESPONSES:
            listed = ", ".join(sorted(RESPONSES))
            yield scope.say("DAG102", at, f"`{each.respond}` is none of {listed}")
        elif each.respond == "stream" and profile in _NO_STREAMS:
            yield scope.say("DAG102", at, f"the profile {profile} cannot stream an answer")


def routes_differ(scope: Scope) -> Iterator[Diagnostic]:
    """DAG103."""
    seen: dict[tuple[str, str], int] = {}
    for place, each in enumerate(scope.flow.metadata.entrypoints):
        method = (each.method or DEFAULT_METHOD).upper()
        for where, path in _routes(each):
            first = seen.setdefault((method, _PARAMETER.sub("{}", path)), place)
            if first != place:
                detail = f"{method} {path} is also a route of entrypoint {first}"
                yield scope.say("DAG103", f"/metadata/entrypoints/{place}/{where}", detail)


def _routes(entrypoint: Entrypoint) -> Iterator[tuple[str, str]]:
    if entrypoint.route_path is not None:
        yield "route_path", entrypoint.route_path
    for place, path in enumerate(entrypoint.route_aliases):
        yield f"route_aliases/{place}", path


def captures_are_reached(scope: Scope) -> Iterator[Diagnostic]:
    """DAG204."""
    if scope.flow.profile is not Profile.WEB:
        return
    asked: list[tuple[int, int]] = []
    for each in scope.flow.metadata.entrypoints:
        trigger, capture = (scope.number.get(a) for a in (each.trigger_alias, each.capture_alias))
        if trigger is not None and capture is not None:
            asked.append((trigger, capture))
    lost = {tuple(scope.flow.nodes[number].alias for number in pair)
            for pair in unreached(scope, asked)}  # fmt: skip
    for place, each in enumerate(scope.flow.metadata.entrypoints):
        if (each.trigger_alias, each.capture_alias) in lost:
            detail = f"nothing leads from `{each.trigger_alias}` to `{each.capture_alias}`"
            yield scope.say("DAG204", f"/metadata/entrypoints/{place}/capture_alias", detail)


RULES: Final[tuple[Rule, ...]] = (
    there_is_one_trigger, triggers_lead_somewhere, entrypoints_name_nodes,
    answers_suit_the_profile, routes_differ, captures_are_reached,
)  # fmt: skip
