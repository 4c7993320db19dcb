"""Rules of `if` and `switch`, and of branches without a surface.

Promise: one node has one routing surface. Refusal: what a selector finds in a value is seen when
the flow runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from conductor_flows.ir.json_values import as_object
from conductor_flows.ir.model import SurfaceIR
from conductor_flows.ir.terms import SurfaceKind
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.rules.settings import Codes, Settings, settings_of
from conductor_flows.validate.scope import Rule, Scope

_IF: Final = Codes(unusable="CTRL120", unknown="CTRL120", edgeless="CTRL121")
_SWITCH: Final = Codes(unusable="CTRL110", unknown="CTRL110", edgeless="CTRL111")


def ifs_are_usable(scope: Scope) -> Iterator[Diagnostic]:
    """CTRL120, CTRL121 and CTRL122."""
    seen: set[str] = set()
    for place in _of_kind(scope, SurfaceKind.IF):
        read = settings_of(scope, place, _IF)
        if not read.found:
            source = read.alias("source")
            read.pointer("selector_pointer")
            _branches(read, source, [("then",), ("else",)])
            _only_one(read, seen, source, "CTRL122")
        yield from read.found


def switches_are_usable(scope: Scope) -> Iterator[Diagnostic]:
    """CTRL110, CTRL111 and CTRL112."""
    seen: set[str] = set()
    for place in _of_kind(scope, SurfaceKind.SWITCH):
        read = settings_of(scope, place, _SWITCH)
        if not read.found:
            source = read.alias("source")
            read.pointer("selector_pointer")
            cases = as_object(read.values.get("cases"))
            if not cases:
                read.refuse("`cases` is no object with at least one case", "cases")
            keys: list[tuple[str, ...]] = [("cases", case) for case in cases or ()]
            keys += [("default",)] if read.has("default") else []
            _branches(read, source, keys)
            _only_one(read, seen, source, "CTRL112")
        yield from read.found


def _branches(read: Settings, source: str | None, branches: Iterable[tuple[str, ...]]) -> None:
    """Check that a source leads to its branches, and that `targets` lists them all."""
    needed = {} if source is None else {source: None}
    for keys in branches:
        alias = read.text(*keys)
        read.edge(source, alias, *keys)
        needed |= {} if alias is None else {alias: None}
    # A branch that is no node has no edge either, which is said already.
    read.named.update(needed)
    listed = set(read.surface.targets)
    lacking = [alias for alias in needed if alias not in listed]
    if lacking:
        read.refuse_targets(f"`targets` lacks {', '.join(lacking)}")
    read.targets()


def _only_one(read: Settings, seen: set[str], source: str | None, code: str) -> None:
    if source is not None and source in seen:
        read.refuse(f"`{source}` has another one", "source", code=code)
    seen.update({source} if source is not None else ())


def nodes_branch_in_one_way(scope: Scope) -> Iterator[Diagnostic]:
    """DAG207."""
    kinds = (SurfaceKind.IF, SurfaceKind.SWITCH)
    first: dict[str, SurfaceKind] = {}
    for place, surface in enumerate(scope.flow.control_surfaces):
        source = (as_object(surface.config) or {}).get("source")
        if surface.kind not in kinds or not isinstance(source, str):
            continue
        other = first.setdefault(source, surface.kind)
        if other is not surface.kind:
            detail = f"`{source}` has an {other} and a {surface.kind}"
            if other is SurfaceKind.SWITCH:
                detail = f"`{source}` has a {other} and an {surface.kind}"
            yield scope.say("DAG207", f"/control_surfaces/{place}", detail)


def branches_are_explained(scope: Scope) -> Iterator[Diagnostic]:
    """CTRL001."""
    if not scope.flow.policies.lint.require_control_hints:
        return
    explained = {alias for surface in scope.flow.control_surfaces for alias in _sources(surface)}
    for place, node in enumerate(scope.flow.nodes):
        if len(scope.outgoing[place]) > 1 and node.alias not in explained:
            detail = f"`{node.alias}` has {len(scope.outgoing[place])} outgoing edges"
            yield scope.say("CTRL001", f"/nodes/{place}", detail)


def _sources(surface: SurfaceIR) -> Iterator[str]:
    yield from surface.targets[:1]
    source = (as_object(surface.config) or {}).get("source")
    if isinstance(source, str):
        yield source


def _of_kind(scope: Scope, kind: SurfaceKind) -> Iterator[int]:
    return (place for place, surface in enumerate(scope.flow.control_surfaces)
            if surface.kind is kind)  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (
    ifs_are_usable, switches_are_usable, nodes_branch_in_one_way, branches_are_explained,
)  # fmt: skip
