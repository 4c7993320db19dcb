"""Where the nodes of a flow stand: in columns by their distance from the start.

Promise: every node gets a place, also in a flow with cycles; linear in the size of the flow but
for sorting. Refusal: crossings are made few, not fewest.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from conductor_flows.ir.show.marks import EdgeMark, NodeMark

SWEEPS = 4


def columns(nodes: Sequence[NodeMark], edges: Sequence[EdgeMark]) -> list[list[str]]:
    """Return the aliases column by column, each column from top to bottom."""
    after: dict[str, list[str]] = defaultdict(list)
    before: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        after[edge.source].append(edge.to)
        before[edge.to].append(edge.source)
    rank = _ranks([node.alias for node in nodes], after, before)
    grid: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for node in nodes:
        grid[rank[node.alias]].append(node.alias)
    for sweep in range(SWEEPS):
        near = before if sweep % 2 == 0 else after
        places = {alias: place for column in grid for place, alias in enumerate(column)}
        for column in grid:
            column.sort(key=lambda alias: _middle(alias, near, places))
            places.update({alias: place for place, alias in enumerate(column)})
    return grid


def _ranks(
    aliases: Sequence[str], after: dict[str, list[str]], before: dict[str, list[str]]
) -> dict[str, int]:
    """Longest way from a start; what stands in a cycle is taken up where the rest ends."""
    waiting = {alias: len(before[alias]) for alias in aliases}
    rank = dict.fromkeys(aliases, 0)
    ready = deque(alias for alias in aliases if not waiting[alias])
    left = dict.fromkeys(aliases)
    while left:
        if not ready:
            ready.append(next(iter(left)))  # a cycle: begin it anywhere, but always the same
        alias = ready.popleft()
        if alias not in left:
            continue
        del left[alias]
        for target in after[alias]:
            if target in left:
                rank[target] = max(rank[target], rank[alias] + 1)
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
    return rank


def _middle(alias: str, near: dict[str, list[str]], places: dict[str, int]) -> float:
    found = [places[other] for other in near[alias] if other in places]
    return sum(found) / len(found) if found else places[alias]
