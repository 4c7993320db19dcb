"""Which nodes can be reached from which.

Promise: many starts are followed at once, so a flow with many triggers takes no longer than one of
its size with few. Refusal: conditions are not looked at; every edge may be taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from conductor_flows.validate.scope import Scope

AT_ONCE: Final = 512
"""Starts that are followed at once: bits of one number for each node."""


def unreached(scope: Scope, asked: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of nodes of which the second cannot be reached from the first."""
    ends: dict[int, list[int]] = {}
    for start, end in asked:
        ends.setdefault(start, []).append(end)
    starts = list(ends)
    order = _order(scope, starts)
    for begin in range(0, len(starts), AT_ONCE):
        bits = {start: 1 << bit for bit, start in enumerate(starts[begin : begin + AT_ONCE])}
        masks = _spread(scope, order, bits)
        yield from ((start, end) for start, bit in bits.items() for end in ends[start]
                    if not masks[end] & bit)  # fmt: skip


def _spread(scope: Scope, order: Sequence[int], bits: dict[int, int]) -> list[int]:
    """Return, for each node, the bits of the starts that lead to it."""
    masks = [0] * len(scope.flow.nodes)
    for start, bit in bits.items():
        masks[start] = bit
    changed = True
    while changed:  # once more for each cycle within a cycle
        changed = False
        for number in order:
            mask = masks[number]
            for to in _next(scope, number) if mask else ():
                if mask | masks[to] != masks[to]:
                    masks[to] |= mask
                    changed = True
    return masks


def _order(scope: Scope, starts: Sequence[int]) -> list[int]:
    """Return what can be reached, each node before what it leads to, but for cycles."""
    seen: set[int] = set()
    finished: list[int] = []
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        path = [(start, _next(scope, start))]
        while path:
            to = next(path[-1][1], None)
            if to is None:
                finished.append(path.pop()[0])
            elif to not in seen:
                seen.add(to)
                path.append((to, _next(scope, to)))
    return finished[::-1]


def _next(scope: Scope, number: int) -> Iterator[int]:
    return (scope.number[scope.flow.edges[edge].to] for edge in scope.outgoing[number])
