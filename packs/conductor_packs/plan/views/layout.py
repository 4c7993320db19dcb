"""Where the items of a graph are drawn: columns by what waits for what, rows without much crossing.

Promise: an item stands right of everything that it waits for, a line never runs below an item, and
the same plan gives the same picture. Refusal: no picture is written here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, TypeAlias

import msgspec

from conductor_packs.plan.records import Board

NODE_WIDTH: Final = 208
NODE_HEIGHT: Final = 58
GAP_X: Final = 72
GAP_Y: Final = 18
MARGIN: Final = 24
TOP: Final = 84
_LANE_HEIGHT: Final = 14
"""What a line takes that passes a column."""
_SWEEPS: Final = 6
_LONG_MAX: Final = 20_000
"""Passing places in a picture at most; beyond, lines run below items."""

Point: TypeAlias = tuple[int, int]
Place: TypeAlias = str | tuple[int, int]
"""An item, or where an edge, by its number, passes a column."""


class Edge(msgspec.Struct, frozen=True):
    """`source` must be done, or is a part, before `target` can be done."""

    source: str
    target: str
    link_type: str


class Line(msgspec.Struct, frozen=True):
    """How an edge runs: points on its way, from the source's side to the target's."""

    edge: Edge
    points: list[Point]


class Layout(msgspec.Struct, frozen=True):
    """The upper left corner of every item, the lines, and the size of the whole."""

    corners: dict[str, Point]
    lines: list[Line]
    width: int
    height: int


def lay_out(board: Board) -> Layout:
    """Place every item of a plan."""
    ranks = _ranked(board)
    edges = [edge for edge in _edges(board) if edge.link_type != "RELATED"]
    edges += [_rightwards(edge, ranks) for edge in _edges(board) if edge.link_type == "RELATED"]
    columns: list[list[Place]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for item in board.items:
        columns[ranks[item.item_id]].append(item.item_id)
    chains = _chained(edges, ranks, columns)
    _untangle(columns, chains)
    tops, height = _stacked(columns)
    left = {place: _left(at) for at, column in enumerate(columns) for place in column}
    corners = {place: (left[place], top) for place, top in tops.items() if isinstance(place, str)}
    lines = [
        Line(edge, _points(chain, left, tops)) for edge, chain in zip(edges, chains, strict=True)
    ]
    width = 2 * MARGIN + max(2, len(columns)) * (NODE_WIDTH + GAP_X) - GAP_X
    return Layout(corners, lines, width, height + MARGIN)


def _edges(board: Board) -> list[Edge]:
    return [
        Edge(link.to_item_id, link.from_item_id, link.link_type)
        if link.link_type == "DEPENDS_ON"
        else Edge(link.from_item_id, link.to_item_id, link.link_type)
        for link in board.links
    ]


def _rightwards(edge: Edge, ranks: dict[str, int]) -> Edge:
    if ranks[edge.source] <= ranks[edge.target]:
        return edge
    return Edge(edge.target, edge.source, edge.link_type)


def _ranked(board: Board) -> dict[str, int]:
    """Return each item's column: one more than the furthest of what it waits for."""
    behind: dict[str, list[str]] = {item.item_id: [] for item in board.items}
    missing = dict.fromkeys(behind, 0)
    for edge in _edges(board):
        if edge.link_type != "RELATED":
            behind[edge.source].append(edge.target)
            missing[edge.target] += 1
    ranks = dict.fromkeys(behind, 0)
    order = [item_id for item_id, count in missing.items() if count == 0]
    for item_id in order:  # grows while it is walked; what is in a circle stays at the left
        for target in behind[item_id]:
            ranks[target] = max(ranks[target], ranks[item_id] + 1)
            missing[target] -= 1
            if missing[target] == 0:
                order.append(target)
    return ranks


def _chained(
    edges: list[Edge], ranks: dict[str, int], columns: list[list[Place]]
) -> list[list[Place]]:
    """Give every edge a place in each column that it passes; returns the places on its way."""
    chains: list[list[Place]] = []
    room = _LONG_MAX
    for number, edge in enumerate(edges):
        passed = range(ranks[edge.source] + 1, ranks[edge.target])
        between: list[Place] = []
        if len(passed) <= room:
            room -= len(passed)
            for at in passed:
                between.append((number, at))
                columns[at].append((number, at))
        chains.append([edge.source, *between, edge.target])
    return chains


def _untangle(columns: list[list[Place]], chains: list[list[Place]]) -> None:
    """Order each column by where its neighbours stand, a few times in both directions."""
    near: dict[Place, list[Place]] = {}
    for chain in chains:
        for one, other in pairwise(chain):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    rows = {place: row / len(column) for column in columns for row, place in enumerate(column)}

    def middle(place: Place) -> float:
        places = [rows[other] for other in near.get(place, ())]
        return sum(places) / len(places) if places else rows[place]

    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            column.sort(key=middle)
            rows.update((place, (row + 0.5) / len(column)) for row, place in enumerate(column))


def _stacked(columns: list[list[Place]]) -> tuple[dict[Place, int], int]:
    """Return the upper edge of every place, columns centred, and the lower end of it all."""
    heights = [sum(map(_height, column)) + GAP_Y * (len(column) - 1) for column in columns]
    tallest = max(heights, default=NODE_HEIGHT)
    tops: dict[Place, int] = {}
    for column, height in zip(columns, heights, strict=True):
        top = TOP + (tallest - height) // 2
        for place in column:
            tops[place] = top
            top += _height(place) + GAP_Y
    return tops, TOP + tallest


def _points(chain: list[Place], left: dict[Place, int], tops: dict[Place, int]) -> list[Point]:
    first, *between, last = chain
    points = [(left[first] + NODE_WIDTH, tops[first] + NODE_HEIGHT // 2)]
    for place in between:
        y = tops[place] + _LANE_HEIGHT // 2
        points += [(left[place], y), (left[place] + NODE_WIDTH, y)]
    beside = NODE_WIDTH if left[first] == left[last] else 0  # two of one column: around the right
    return [*points, (left[last] + beside, tops[last] + NODE_HEIGHT // 2)]


def _left(column: int) -> int:
    return MARGIN + column * (NODE_WIDTH + GAP_X)


def _height(place: Place) -> int:
    return NODE_HEIGHT if isinstance(place, str) else _LANE_HEIGHT
