"""What a call may touch: the intersection of the workspace's, the caller's and the tool's scopes.

Promise: pure; whatever the result allows, every layer allows, and reading never stands for
writing. Refusal: no path is resolved here; `ScopedFiles` checks the real one when it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from conductor_handlers.toolhost.any_scope import AnyScope
from conductor_handlers.toolhost.network import network_intersection
from conductor_sdk.manifest_tools import NetworkScope, PathScope
from conductor_sdk.scope_patterns import (
    RESULTS_MAX,
    PatternRefused,
    Segments,
    aims_at_reserved,
    intersection,
    parse,
    render,
    smallest,
)

Layer: TypeAlias = Sequence[AnyScope]
_ACCESSES: tuple[Literal["read", "write"], ...] = ("read", "write")


@dataclass(frozen=True, slots=True)
class Reach:
    """What is left of a tool's scopes for one caller."""

    scopes: tuple[AnyScope, ...]
    """What the call may touch."""
    missing: tuple[AnyScope, ...] = ()
    """Scopes that the tool declares and of which nothing is left: the call is denied."""
    reserved: tuple[str, ...] = ()
    """Patterns that aim at what no tool may write: the call is denied."""


def reach(workspace: Layer, caller: Layer | None, tool: Layer) -> Reach:
    """Work out what a call may touch.

    Args:
        workspace: The configuration's scopes.
        caller: The credential's; None: no narrower than the workspace.
        tool: What the manifest declares; every one of them must survive in part.
    """
    above = [workspace] if caller is None else [workspace, caller]
    reserved = tuple(
        scope.pattern
        for scope in tool
        if isinstance(scope, PathScope) and scope.access == "write" and _is_reserved(scope.pattern)
    )
    missing = tuple(
        scope for scope in tool if not _asks_nothing(scope) and not intersect([*above, [scope]])
    )
    return Reach(intersect([*above, tool]), missing, reserved)


def intersect(layers: Sequence[Layer]) -> tuple[AnyScope, ...]:
    """Return scopes that allow what every layer allows: paths by kind of access, then network."""
    found: list[AnyScope] = []
    for access in _ACCESSES:
        found += [
            PathScope(type="path", pattern=render(pattern), access=access)
            for pattern in _paths([_patterns(layer, access) for layer in layers])
        ]
    network = network_intersection(
        [[scope for scope in layer if isinstance(scope, NetworkScope)] for layer in layers]
    )
    return (*found, network) if network is not None else tuple(found)


def label(scope: AnyScope) -> str:
    """Return a scope as one line: `write:docs/**`, `network:full`, `network:a.example:443`."""
    if isinstance(scope, PathScope):
        return f"{scope.access}:{scope.pattern}"
    return f"network:{','.join(scope.allowlist_entries) or scope.posture}"


def _patterns(layer: Layer, access: Literal["read", "write"]) -> tuple[Segments, ...]:
    """Read a layer's patterns; one that is not understood allows nothing."""
    found: list[Segments] = []
    for scope in layer:
        if isinstance(scope, PathScope) and scope.access == access:
            try:
                found.append(parse(scope.pattern))
            except PatternRefused:
                continue
    return tuple(found)


def _paths(layers: Sequence[tuple[Segments, ...]]) -> tuple[Segments, ...]:
    if not layers:
        return ()
    found = smallest(layers[0])
    for layer in layers[1:]:
        found = _narrowed(found, layer)
    return found


def _narrowed(above: tuple[Segments, ...], below: tuple[Segments, ...]) -> tuple[Segments, ...]:
    found = smallest(
        pattern for one in above for other in below for pattern in intersection(one, other)
    )
    return found if len(found) <= RESULTS_MAX else ()


def _is_reserved(pattern: str) -> bool:
    try:
        return aims_at_reserved(parse(pattern))
    except PatternRefused:
        return False  # nothing of it is left, which denies the call as well


def _asks_nothing(scope: AnyScope) -> bool:
    return isinstance(scope, NetworkScope) and scope.posture == "off"
