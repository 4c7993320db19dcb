"""Rules of how nodes are run: concurrency, batches, placement, caches and who repeats.

Promise: one owner of repetition, and a cache or a pin where a level promises one. Refusal: whether
a number is wise is not judged, only whether it is possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.model import NodeIR
from conductor_flows.ir.terms import (
    Determinism,
    Effects,
    NodeKind,
    Profile,
    RetryOwner,
    SurfaceKind,
)
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.hints import under
from conductor_flows.validate.scope import Rule, Scope, hints_of, is_trigger

MOST_AT_ONCE: Final = {
    Profile.WEB: 256, Profile.QUEUE: 64, Profile.TEMPORAL: 1000, Profile.WASM: 1,
    Profile.DEV: 1024,
}  # fmt: skip
"""Concurrency of a node, by profile."""
WAIVER: Final = "waiver::retry_owner"
_PINS: Final = frozenset({"pinned", "by_hash"})
_OWNERS: Final = {
    "resource::http": RetryOwner.ORCHESTRATOR, "resource::blob": RetryOwner.ORCHESTRATOR,
    "resource::llm": RetryOwner.ORCHESTRATOR, "resource::db": RetryOwner.CONNECTOR,
    "resource::kv": RetryOwner.CONNECTOR, "resource::payments": RetryOwner.CONNECTOR,
}  # fmt: skip


def concurrency_is_possible(scope: Scope) -> Iterator[Diagnostic]:
    """DAG005."""
    most = MOST_AT_ONCE[scope.flow.profile]
    for place, node in enumerate(scope.flow.nodes):
        asked = node.schedule.concurrency if node.schedule is not None else None
        if asked is not None and not 1 <= asked <= most:
            detail = f"`{node.alias}`: {asked} is not within 1 and {most}"
            yield scope.say("DAG005", f"/nodes/{place}/schedule/concurrency", detail)


def batches_make_sense(scope: Scope) -> Iterator[Diagnostic]:
    """DAG006."""
    streaming = {each.capture_alias for each in scope.flow.metadata.entrypoints
                 if each.respond == "stream"}  # fmt: skip
    for place, node in enumerate(scope.flow.nodes):
        batch = node.schedule.batch if node.schedule is not None else None
        if batch is None:
            continue
        detail = None
        if batch.mode == "fixed" and (batch.size is None or batch.size < 1):
            detail = f"`{node.alias}`: a fixed batch needs a size of at least 1"
        elif batch.mode == "none" and batch.size is not None:
            detail = f"`{node.alias}`: a size, and no batch"
        elif batch.mode != "none" and node.alias in streaming:
            detail = f"`{node.alias}` streams its answer and takes batches"
        if detail is not None:
            yield scope.say("DAG006", f"/nodes/{place}/schedule/batch", detail)


def inline_code_replays(scope: Scope) -> Iterator[Diagnostic]:
    """WFLOW010."""
    if scope.flow.profile is not Profile.TEMPORAL:
        return
    for place, node in enumerate(scope.flow.nodes):
        if node.kind is NodeKind.INLINE and not (
            node.effects is Effects.PURE and node.determinism is Determinism.STRICT
        ):
            detail = f"`{node.alias}` is {node.effects} and {node.determinism}"
            yield scope.say("WFLOW010", f"/nodes/{place}/kind", detail)


def strict_nodes_are_cached(scope: Scope) -> Iterator[Diagnostic]:
    """CACHE001."""
    for place, node in enumerate(scope.flow.nodes):
        free = node.kind is NodeKind.INLINE and node.effects is Effects.PURE
        if node.determinism is Determinism.STRICT and node.cache is None and not (
            free or is_trigger(node)
        ):  # fmt: skip
            yield scope.say("CACHE001", f"/nodes/{place}", f"`{node.alias}` has no cache")


def stable_nodes_are_pinned(scope: Scope) -> Iterator[Diagnostic]:
    """CACHE002."""
    for place, node in enumerate(scope.flow.nodes):
        if (
            node.determinism is Determinism.STABLE and node.effects is not Effects.PURE
            and node.cache is None and not is_trigger(node) and not _pinned(node)
        ):  # fmt: skip
            detail = f"`{node.alias}` is {node.effects}, with neither a cache nor a pin"
            yield scope.say("CACHE002", f"/nodes/{place}/determinism", detail)


def _pinned(node: NodeIR) -> bool:
    return any(not _PINS.isdisjoint(each.modes or ()) for each in node.capabilities or ())


def one_of_them_repeats(scope: Scope) -> Iterator[Diagnostic]:
    """RETRY010."""
    handled = frozenset(_repeated_by_handlers(scope))
    for place, node in enumerate(scope.flow.nodes):
        if node.retry_owner is not RetryOwner.CONNECTOR:
            continue
        backoff = node.schedule.retry_backoff if node.schedule is not None else None
        if backoff is not None and backoff.strategy != "none":
            detail = f"`{node.alias}`: the connector repeats, and the schedule has a backoff"
            yield scope.say("RETRY010", f"/nodes/{place}/schedule/retry_backoff", detail)
        if node.alias in handled:
            detail = f"`{node.alias}`: the connector repeats, and so does an error_handler"
            yield scope.say("RETRY010", f"/nodes/{place}/retry_owner", detail)


def _repeated_by_handlers(scope: Scope) -> Iterator[str]:
    for surface in scope.flow.control_surfaces:
        values = as_object(surface.config) or {}
        if surface.kind is SurfaceKind.ERROR_HANDLER and values.get("strategy") == "retry":
            nodes = as_array((as_object(values.get("scope")) or {}).get("nodes")) or ()
            yield from (alias for alias in nodes if isinstance(alias, str))


def owners_are_usual(scope: Scope) -> Iterator[Diagnostic]:
    """RETRY011."""
    for place, node in enumerate(scope.flow.nodes):
        # `none` owns nothing, so it takes nothing from anyone.
        if node.retry_owner in {None, RetryOwner.NONE} or WAIVER in (node.labels or ()):
            continue
        usual = {owner: family for hint in hints_of(node)
                 for family, owner in _OWNERS.items() if under(hint, family)}  # fmt: skip
        if usual and node.retry_owner not in usual:
            owner, family = next(iter(usual.items()))
            detail = f"`{node.alias}`: {node.retry_owner}; for {family} it is the {owner}"
            yield scope.say("RETRY011", f"/nodes/{place}/retry_owner", detail)


RULES: Final[tuple[Rule, ...]] = (
    concurrency_is_possible, batches_make_sense, inline_code_replays, strict_nodes_are_cached,
    stable_nodes_are_pinned, one_of_them_repeats, owners_are_usual,
)  # fmt: skip
