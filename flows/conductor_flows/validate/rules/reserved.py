"""Rules of every other control surface, by kind.

Promise: a configuration that passes here can be put into a plan. Refusal: surfaces that a host
does not serve are the host's to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from conductor_flows.ir.loops import body_exit
from conductor_flows.ir.terms import Ordering, SurfaceKind
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.rules.settings import Codes, Settings, settings_of
from conductor_flows.validate.scope import Rule, Scope

_CODES: Final = Codes(unusable="CTRL130", unknown="CTRL131", edgeless="CTRL132")
STRATEGIES: Final = frozenset({"retry", "fail", "continue", "dead_letter"})
_WINDOW_ENDS: Final = 2
BEHAVIOURS: Final = frozenset({"cancel", "retry", "dead_letter"})


def surfaces_are_usable(scope: Scope) -> Iterator[Diagnostic]:
    """CTRL130, CTRL131 and CTRL132."""
    for place, surface in enumerate(scope.flow.control_surfaces):
        check = _CHECKS.get(surface.kind)
        if check is None:
            continue
        read = settings_of(scope, place, _CODES)
        if not read.found:
            check(read)
        read.targets()
        yield from read.found


def _for_each(read: Settings) -> None:
    source, entry = read.alias("source"), read.alias("body_entry")
    read.pointer("items_pointer")
    read.edge(source, entry, "body_entry")
    if read.has("collect"):
        read.edge(read.alias("body_exit"), read.alias("collect"), "collect")
    if read.has("concurrency"):
        read.number("concurrency")


def _loop(read: Settings) -> None:
    source, entry = read.alias("source"), read.alias("body_entry")
    read.pointer("condition_pointer")
    read.number("max_iterations")
    read.edge(source, entry, "body_entry")
    if read.has("body_exit"):
        read.alias("body_exit")
    elif body_exit(read.values, read.surface.targets, read.scope.pairs) is None:
        read.refuse("`body_exit` is missing, and no one edge goes back", "body_exit")


def _window(read: Settings) -> None:
    read.pointer("event_time_pointer")
    read.number("size_ms")
    if read.has("allowed_lateness_ms"):
        read.number("allowed_lateness_ms", least=0)
    if "watermark" in read.values:
        read.text("watermark")
    source, target = (*(alias if alias in read.scope.number else None
                        for alias in read.surface.targets[:2]), None, None)[:2]  # fmt: skip
    if len(read.surface.targets) < _WINDOW_ENDS:
        read.refuse_targets("`targets` names no source and no target")
    if source is not None and target is not None and (source, target) not in read.scope.pairs:
        detail = f"there is no edge {source} -> {target}"
        read.refuse_targets(detail, code=_CODES.edgeless)
    if read.has("late"):
        read.edge(source, read.alias("late"), "late")


def _partition(read: Settings) -> None:
    source, to = read.alias("edge", "from"), read.alias("edge", "to")
    read.text("key")
    read.edge(source, to, "edge")


def _timeout(read: Settings) -> None:
    read.aliases(1, "scope", "nodes")
    read.number("duration_ms", whole=False)
    if read.has("behaviour"):
        read.choice("behaviour", BEHAVIOURS)


def _rate_limit(read: Settings) -> None:
    read.alias("target")
    read.number("qps", whole=False)
    read.number("burst", whole=False)


def _error_handler(read: Settings) -> None:
    read.aliases(1, "scope", "nodes")
    read.choice("strategy", STRATEGIES)
    for key in ("max_retries", "backoff_ms"):
        if read.has(key):
            read.number(key)


def _gather(read: Settings) -> None:
    sources = read.aliases(2, "sources")
    targets = read.surface.targets
    if not targets:
        read.refuse_targets("`targets` names no node that gathers")
    for source in sources:
        # The node that gathers is the last target.
        if targets and targets[-1] in read.scope.number:
            read.edge(source, targets[-1], "sources")


def _join(read: Settings) -> None:
    _gather(read)
    if read.has("key_pointer"):
        read.pointer("key_pointer")
    if read.has("timeout_ms"):
        read.number("timeout_ms")


def _merge(read: Settings) -> None:
    _gather(read)
    if read.has("ordering"):
        read.choice("ordering", Ordering)


_CHECKS: Final[Mapping[SurfaceKind, Callable[[Settings], None]]] = {
    SurfaceKind.FOR_EACH: _for_each, SurfaceKind.LOOP: _loop, SurfaceKind.WINDOW: _window,
    SurfaceKind.PARTITION: _partition, SurfaceKind.TIMEOUT: _timeout,
    SurfaceKind.RATE_LIMIT: _rate_limit, SurfaceKind.ERROR_HANDLER: _error_handler,
    SurfaceKind.MERGE: _merge, SurfaceKind.JOIN: _join, SurfaceKind.ZIP: _gather,
}  # fmt: skip
RULES: Final[tuple[Rule, ...]] = (surfaces_are_usable,)
