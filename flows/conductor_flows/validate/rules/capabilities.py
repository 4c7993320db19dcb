"""Rules of capabilities: secrets, guards, grants, versions and egress.

Promise: nothing is granted that is not asked for, nothing asked for that is not permitted.
Refusal: whether a provider is bound is the host's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.model import NodeIR
from conductor_flows.ir.rich import CapabilityBinding
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import HTTP, under
from conductor_flows.validate.scope import Rule, Scope, hints_of

_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
Version = tuple[int, int, int, bool, str]


def _asked(scope: Scope) -> Iterator[tuple[str, NodeIR, CapabilityBinding]]:
    """Yield what nodes ask for, with its place."""
    for place, node in enumerate(scope.flow.nodes):
        for number, capability in enumerate(node.capabilities or ()):
            yield f"/nodes/{place}/capabilities/{number}", node, capability


def credentials_are_bound(scope: Scope) -> Iterator[Diagnostic]:
    """DAG203."""
    if scope.flow.metadata.secrets:
        return
    for at, node, capability in _asked(scope):
        if capability.scopes:
            detail = f"`{node.alias}` asks for scopes of {capability.name}; there are no secrets"
            yield scope.say("DAG203", f"{at}/scopes", detail)


def guards_are_kept(scope: Scope) -> Iterator[Diagnostic]:
    """DAG331."""
    if scope.flow.policies.capability_guards is None:
        return
    permitted = frozenset(scope.flow.policies.capability_guards)
    for at, node, capability in _asked(scope):
        if capability.name not in permitted:
            detail = f"`{node.alias}` asks for {capability.name}"
            yield scope.say("DAG331", f"{at}/name", detail)


def hosts_may_be_reached(scope: Scope) -> Iterator[Diagnostic]:
    """EGRESS101."""
    if scope.flow.policies.egress != []:
        return
    for place, node in enumerate(scope.flow.nodes):
        if any(under(hint, HTTP) for hint in hints_of(node)):
            detail = f"`{node.alias}` uses HTTP and may reach no host"
            yield scope.say("EGRESS101", f"/nodes/{place}", detail)


def grants_are_needed(scope: Scope) -> Iterator[Diagnostic]:
    """SECR201."""
    asked = {(capability.name, each) for _, _, capability in _asked(scope)
             for each in capability.scopes or ()}  # fmt: skip
    for place, granted in enumerate(scope.flow.metadata.capabilities or ()):
        for number, each in enumerate(granted.scopes or ()):
            if (granted.name, each) not in asked:
                detail = f"no node asks for the scope {each} of {granted.name}"
                yield scope.say(
                    "SECR201", f"/metadata/capabilities/{place}/scopes/{number}", detail
                )


def versions_are_in_range(scope: Scope) -> Iterator[Diagnostic]:
    """CAPV101."""
    granted = {each.name: each.version for each in scope.flow.metadata.capabilities or ()
               if each.version is not None}  # fmt: skip
    for at, node, capability in _asked(scope):
        given = granted.get(capability.name)
        if given is not None and not _within(given, capability):
            least, most = capability.version or "any", capability.max_version or "any"
            detail = f"`{node.alias}` needs {capability.name} {least} to {most}, granted is {given}"
            yield scope.say("CAPV101", at, detail)


def _within(given: str, needed: CapabilityBinding) -> bool:
    """Whether a version is in a range; one that cannot be read is in none."""
    found = _version(given)
    least = found if needed.version is None else _version(needed.version)
    most = found if needed.max_version is None else _version(needed.max_version)
    return found is not None and least is not None and most is not None and least <= found <= most


def _version(text: str) -> Version | None:
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    major, minor, patch, early = found.groups()
    return int(major), int(minor), int(patch), early is None, early or ""


RULES: Final[tuple[Rule, ...]] = (
    credentials_are_bound, guards_are_kept, hosts_may_be_reached, grants_are_needed,
    versions_are_in_range,
)  # fmt: skip
