"""A picture of a flow for people: SVG, one file, no script, no reference to anything outside.

Promise: readable in light and dark, and by a screen reader (`title` and `desc` of every node).
Refusal: no foreign text becomes markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.show.layout import columns
from conductor_flows.ir.show.marks import EdgeMark, NodeMark, edges, nodes
from conductor_flows.ir.terms import NodeKind

WIDTH, GAP_X, GAP_Y, MARGIN = 190, 48, 26, 20
LINES, LINE = (24, 42, 58), 13
"""Baselines of a node's lines, and the height of a label's."""
TITLE_MAX, UNDER_MAX, LABEL_MAX = 23, 36, 24
LETTER = 5.6
"""Width of a label's letter, about."""
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1c2733; }
  .under, .label { font-size: 10px; fill: #5b6b7b; } .label { fill: #6b7b8b; }
  rect { fill: #f4f7fa; stroke: #6b7f93; } rect.trigger { fill: #e3f3e6; stroke: #3f8f55; }
  rect.activity { fill: #fdf1dd; stroke: #b9812e; } rect.subflow { fill: #ece7fb; stroke: #7a5fc0; }
  path { fill: none; stroke: #8797a7; stroke-width: 1.2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .under { fill: #9fb0c0; } .label { fill: #8494a4; }
    rect { fill: #1f2a36; }
    rect.trigger { fill: #1b3524; } rect.activity { fill: #3a2d15; } rect.subflow { fill: #2b2444; }
  }
"""
_XMLNS = "http://www.w3.org/2000/svg"
_TIP = """<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7"
  markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8" style="fill:#8797a7"/></marker></defs>"""
Place = tuple[int, int]


def svg(flow: FlowIR) -> str:
    """Return the picture as an SVG document."""
    marks, lines = list(nodes(flow)), list(edges(flow))
    grid = columns(marks, lines)
    tall = _height(max((1 + bool(mark.under) + bool(mark.notes) for mark in marks), default=2))
    places = _places(grid, lines, tall)
    width = max((x + WIDTH for x, _ in places.values()), default=WIDTH) + MARGIN
    height = max((y + tall for _, y in places.values()), default=tall) + MARGIN
    labelled = [y for line in lines for y, _ in _label_lines(line, places, tall)]
    top = min([0, *(y - MARGIN for y in labelled)])
    height = max([height, *(y + MARGIN // 2 for y in labelled)]) - top
    parts = [
        f'<svg xmlns="{_XMLNS}" viewBox="0 {top} {width} {height}" width="{width}" role="img">',
        f"<title>{escape(flow.name)} {escape(flow.version)}</title>",
        f"<style>{_STYLE}</style>",
        _TIP,
        *(_curve(line, places, tall) for line in lines),
        *(_node(mark, places[mark.alias], tall) for mark in marks),
        *(_label(line, places, tall) for line in lines if line.label),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _height(lines: int) -> int:
    return LINES[lines - 1] + 14


def _places(
    grid: Sequence[Sequence[str]], lines: Sequence[EdgeMark], tall: int
) -> dict[str, Place]:
    """Give every node its corner: columns as far apart as their labels need, each in the middle."""
    column = {alias: number for number, aliases in enumerate(grid) for alias in aliases}
    gaps = [GAP_X] * len(grid)
    for line in lines:
        for part in _parts(line):
            before = column[line.to]
            gaps[before] = max(gaps[before], GAP_X + int(len(part) * LETTER))
    rows = max((len(aliases) for aliases in grid), default=1)
    places: dict[str, Place] = {}
    x = MARGIN - (gaps[0] if gaps else 0)
    for number, aliases in enumerate(grid):
        x += gaps[number] + (WIDTH if number else 0)
        down = (rows - len(aliases)) * (tall + GAP_Y) // 2
        for row, alias in enumerate(aliases):
            places[alias] = (x, MARGIN + down + row * (tall + GAP_Y))
    return places


def _node(mark: NodeMark, place: Place, tall: int) -> str:
    x, y = place
    kind = mark.kind if mark.kind in {NodeKind.TRIGGER, NodeKind.ACTIVITY, NodeKind.SUBFLOW} else ""
    said = ", ".join(filter(None, (mark.under, mark.notes)))
    lines = filter(None, (mark.under, mark.notes))
    texts = "".join(
        f'<text class="under" x="{x + 12}" y="{y + at}">{escape(_cut(line, UNDER_MAX))}</text>'
        for at, line in zip(LINES[1:], lines, strict=False)
    )
    return (
        f"<g><title>{escape(mark.title)}</title><desc>{escape(said)}</desc>"
        f'<rect class="{kind}" x="{x}" y="{y}" width="{WIDTH}" height="{tall}" rx="8"/>'
        f'<text x="{x + 12}" y="{y + LINES[0]}">{escape(_cut(mark.title, TITLE_MAX))}</text>'
        f"{texts}</g>"
    )


def _curve(line: EdgeMark, places: dict[str, Place], tall: int) -> str:
    (x1, y1), (x2, y2) = places[line.source], places[line.to]
    x1, y1, y2 = x1 + WIDTH, y1 + tall // 2, y2 + tall // 2
    bend = max(GAP_X // 2, (x2 - x1) // 2)
    curve = f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    return f'<path marker-end="url(#tip)" d="{curve}"/>'


def _parts(line: EdgeMark) -> list[str]:
    return [_cut(part, LABEL_MAX) for part in line.label.split(", ")] if line.label else []


def _label_lines(
    line: EdgeMark, places: dict[str, Place], tall: int
) -> list[tuple[int, str]]:  # fmt: skip
    """Return the lines of a label with their heights: on the side that the edge leaves free."""
    parts, y = _parts(line), places[line.to][1] + tall // 2
    if places[line.source][1] < places[line.to][1]:
        return [(y + 15 + LINE * row, part) for row, part in enumerate(parts)]
    return [(y - 7 - LINE * row, part) for row, part in enumerate(reversed(parts))]


def _label(line: EdgeMark, places: dict[str, Place], tall: int) -> str:
    """Write before the target: edges that leave one node together part there."""
    x = places[line.to][0] - 12
    return "".join(
        f'<text class="label" text-anchor="end" x="{x}" y="{y}">{escape(part)}</text>'
        for y, part in _label_lines(line, places, tall)
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
