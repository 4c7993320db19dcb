"""A picture of a flow for people: SVG, one file, no script, no reference to anything outside.

Promise: readable in light and dark, and by a screen reader (`title` and `desc` of every node).
Refusal: no foreign text becomes markup.
"""

from __future__ import annotations

from html import escape

from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.show.layout import columns
from conductor_flows.ir.show.marks import EdgeMark, NodeMark, edges, nodes
from conductor_flows.ir.terms import NodeKind

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 200, 56, 140, 34, 24
TITLE_MAX, UNDER_MAX, LABEL_MAX = 24, 34, 24
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1c2733; }
  .under, .label { font-size: 10px; fill: #5b6b7b; }
  rect { fill: #f4f7fa; stroke: #6b7f93; } rect.trigger { fill: #e3f3e6; stroke: #3f8f55; }
  rect.activity { fill: #fdf1dd; stroke: #b9812e; } rect.subflow { fill: #ece7fb; stroke: #7a5fc0; }
  path { fill: none; stroke: #8797a7; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .under, .label { fill: #9fb0c0; } rect { fill: #1f2a36; }
    rect.trigger { fill: #1b3524; } rect.activity { fill: #3a2d15; } rect.subflow { fill: #2b2444; }
  }
"""
_XMLNS = "http://www.w3.org/2000/svg"
_TIP = """<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"
  markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8" style="fill:#8797a7"/></marker></defs>"""
Place = tuple[int, int]


def svg(flow: FlowIR) -> str:
    """Return the picture as an SVG document."""
    marks, lines = list(nodes(flow)), list(edges(flow))
    grid = columns(marks, lines)
    places = {
        alias: (MARGIN + x * (WIDTH + GAP_X), MARGIN + y * (HEIGHT + GAP_Y))
        for x, column in enumerate(grid)
        for y, alias in enumerate(column)
    }
    rows = max((len(column) for column in grid), default=1)
    width = 2 * MARGIN + max(len(grid), 1) * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + rows * (HEIGHT + GAP_Y) - GAP_Y
    parts = [
        f'<svg xmlns="{_XMLNS}" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(flow.name)} {escape(flow.version)}</title>",
        f"<style>{_STYLE}</style>",
        _TIP,
        *(_edge(line, places) for line in lines),
        *(_node(mark, places[mark.alias]) for mark in marks),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _node(mark: NodeMark, place: Place) -> str:
    x, y = place
    kind = mark.kind if mark.kind in {NodeKind.TRIGGER, NodeKind.ACTIVITY, NodeKind.SUBFLOW} else ""
    title, under = escape(_cut(mark.title, TITLE_MAX)), escape(_cut(mark.under, UNDER_MAX))
    return (
        f"<g><title>{escape(mark.title)}</title><desc>{escape(mark.under)}</desc>"
        f'<rect class="{kind}" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text x="{x + 12}" y="{y + 24}">{title}</text>'
        f'<text class="under" x="{x + 12}" y="{y + 42}">{under}</text>'
        "</g>"
    )


def _edge(line: EdgeMark, places: dict[str, Place]) -> str:
    (x1, y1), (x2, y2) = places[line.source], places[line.to]
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
    bend = max(40, (x2 - x1) // 2)
    curve = f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    drawn = f'<path marker-end="url(#tip)" d="{curve}"/>'
    if not line.label:
        return drawn
    # Near the target: edges that leave one node together part there.
    x, parts = x2 - GAP_X // 2 + 4, line.label.split(", ")
    texts = (
        f'<text class="label" text-anchor="middle" x="{x}" y="{y2 - 6 - 12 * row}">{text}</text>'
        for row, part in enumerate(reversed(parts))
        for text in [escape(_cut(part, LABEL_MAX))]
    )
    return drawn + "".join(texts)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
