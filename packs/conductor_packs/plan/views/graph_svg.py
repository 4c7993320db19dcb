"""A plan's graph as one SVG file.

Promise: the file needs nothing else, runs nothing, and shows titles as text whatever they hold.
Refusal: nothing is placed here; `layout` did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from conductor_packs.plan.graph import Graph
from conductor_packs.plan.records import Item, State
from conductor_packs.plan.views.graph_text import minutes
from conductor_packs.plan.views.layout import (
    MARGIN,
    NODE_HEIGHT,
    NODE_WIDTH,
    Layout,
    Line,
    Point,
    lay_out,
)
from conductor_sdk.terminal_text import fit

FONT: Final = "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
COLOURS: Final[Mapping[State, tuple[str, str]]] = {
    "TODO": ("#fff7e0", "#b98900"),
    "IN_PROGRESS": ("#e3f0ff", "#1f6feb"),
    "BLOCKED": ("#ffe9e7", "#cf222e"),
    "DONE": ("#e4f7e9", "#1a7f37"),
    "CANCELLED": ("#f0f1f3", "#6e7781"),
}
"""Of each state: the fill, and the line."""
_INK: Final = "#1f2328"
_CRITICAL: Final = "#8250df"
_PLAIN: Final = "#8c959f"
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def graph_svg(graph: Graph) -> str:
    """Return the picture."""
    layout = lay_out(graph.board)
    path = graph.critical_path()
    critical = set(pairwise(path))
    title = text(f"{graph.board.plan.plan_id}  {graph.board.plan.title}", 90)
    size = f'width="{layout.width}" height="{layout.height}"'
    box = f'viewBox="0 0 {layout.width} {layout.height}" {size}'
    label = f'role="img" aria-label="{title}" font-family="{FONT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} {label}>',
        f'<rect {size} fill="#ffffff"/>',
        *_markers(),
        f'<text x="{MARGIN}" y="34" font-size="18" font-weight="600" fill="{_INK}">{title}</text>',
        f'<text x="{MARGIN}" y="58" font-size="12" fill="{_PLAIN}">{_summary(graph)}</text>',
        *(_line(line, critical) for line in layout.lines),
        *(line for item in graph.board.items for line in _node(graph, layout, item, set(path))),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def text(value: str, width: int) -> str:
    """Return text for XML: cut to a width, escaped, without what XML cannot hold."""
    return escape(_NOT_XML.sub("�", fit(value, width)))


def _summary(graph: Graph) -> str:
    done = sum(item.state == "DONE" for item in graph.board.items)
    return (
        f"{len(graph.board.items)} items, {done} done, {len(graph.order)} open; longest chain "
        f"{minutes(graph.schedule.length)} (purple); dashed: a part of, dotted: related"
    )


def _markers() -> Iterator[str]:
    yield "<defs>"
    for name, colour in (("plain", _PLAIN), ("critical", _CRITICAL)):
        yield (
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
        )
    yield "</defs>"


def _line(line: Line, critical: set[tuple[str, str]]) -> str:
    kind = line.edge.link_type
    chosen = (line.edge.source, line.edge.target) in critical and kind != "RELATED"
    colour, width, name = (_CRITICAL, 2.5, "critical") if chosen else (_PLAIN, 1.4, "plain")
    dash = {"PARENT": ' stroke-dasharray="6 4"', "RELATED": ' stroke-dasharray="2 4"'}
    end = "" if kind == "RELATED" else f' marker-end="url(#{name})"'
    return (
        f'<path d="{_curve(line.points)}" fill="none" stroke="{colour}" '
        f'stroke-width="{width}"{dash.get(kind, "")}{end}/>'
    )


def _curve(points: Sequence[Point]) -> str:
    """Return a way through the points: curves between columns, straight where it passes one."""
    (x, y), *rest = points
    parts = [f"M{x} {y}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2:
            parts.append(f"H{to_x}")
        else:
            bend = max(28, (to_x - x) // 2)
            into = to_x + bend if to_x == x else to_x - bend
            parts.append(f"C{x + bend} {y} {into} {to_y} {to_x} {to_y}")
        x, y = to_x, to_y
    return "".join(parts)


def _node(graph: Graph, layout: Layout, item: Item, critical: set[str]) -> Iterator[str]:
    x, y = layout.corners[item.item_id]
    fill, line = COLOURS[item.state]
    chosen = item.item_id in critical
    claim = graph.claim(item)
    foot = item.state if claim is None else f"{item.state} · {claim.actor}"
    yield "<g>"
    yield f"<title>{text(f'{item.item_id}: {item.title}', 700)}</title>"
    yield (
        f'<rect x="{x}" y="{y}" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8" fill="{fill}" '
        f'stroke="{_CRITICAL if chosen else line}" stroke-width="{2.5 if chosen else 1.2}"/>'
    )
    yield _words(x, y + 17, text(item.item_id, 26), f'font-weight="600" fill="{line}"')
    yield _words(x, y + 34, text(item.title, 29), f'fill="{_INK}"')
    yield _words(x, y + 50, text(foot, 32), f'fill="{_PLAIN}"', size=10)
    yield "</g>"


def _words(x: int, y: int, words: str, style: str, *, size: int = 12) -> str:
    return f'<text x="{x + 10}" y="{y}" font-size="{size}" {style}>{words}</text>'
