"""A flow as a picture of characters.

Promise: every node is one line and every edge a way between lines, from top to bottom; nothing is
wider than 80 columns. Refusal: no colour, and no markup.

An edge that leads back up is told in words, and a flow with more lanes than fit is told as a list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from conductor_flows.cli.counting import size_of
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.show.layout import columns
from conductor_flows.ir.show.marks import EdgeMark, NodeMark, edges, nodes
from conductor_flows.ir.terms import NodeKind
from conductor_sdk.terminal_text import WIDTH, clean
from conductor_terminal.printing import wrapped

LANES_MAX: Final = 16
_UP, _RIGHT, _DOWN, _LEFT = 1, 2, 4, 8
_UNICODE: Final = " ╵╶└╷│┌├╴┘─┴┐┤┬┼"
_ASCII: Final = " |-+|||+-+-++++++"
_DOTS: Final = {NodeKind.TRIGGER: "▶", NodeKind.SUBFLOW: "◆"}


@dataclass(frozen=True, slots=True)
class Style:
    """The characters of a picture."""

    lines: str = _UNICODE
    """By the sum of the directions that a line goes to."""
    dot: str = "●"
    dots: bool = True
    """Whether kinds of nodes have dots of their own."""
    arrow: str = "→"
    back: str = "↺"

    def mark(self, kind: NodeKind) -> str:
        """Return what stands for a node."""
        return _DOTS.get(kind, self.dot) if self.dots else self.dot


UNICODE: Final = Style()
ASCII: Final = Style(_ASCII, "*", dots=False, arrow="->", back="back to")


def picture(flow: FlowIR, style: Style = UNICODE) -> Iterator[str]:
    """Yield the lines of a picture."""
    count = size_of(flow)
    yield clean(f"{flow.name} {flow.version}  {flow.profile}, {count}")
    if flow.summary:
        yield wrapped(flow.summary)
    yield ""
    marks, lines = list(nodes(flow)), list(edges(flow))
    by_alias = {mark.alias: mark for mark in marks}
    order = [by_alias[alias] for column in columns(marks, lines) for alias in column]
    drawing = _Drawing(order, lines, style)
    drawn = list(drawing.lines())
    yield from drawn if drawing.widest <= LANES_MAX else _list(order, lines, style)
    if flow.control_surfaces:
        yield ""
        for surface in flow.control_surfaces:
            yield wrapped(f"{surface.id}  {', '.join(surface.targets)}", then="    ")


def _list(order: Sequence[NodeMark], lines: Sequence[EdgeMark], style: Style) -> Iterator[str]:
    after: dict[str, list[EdgeMark]] = defaultdict(list)
    for line in lines:
        after[line.source].append(line)
    for mark in order:
        yield _cut(f"{style.mark(mark.kind)} {mark.title}  {mark.under}")
        if after[mark.alias]:
            told = ", ".join(_told(line) for line in after[mark.alias])
            yield wrapped(f"{style.arrow} {told}", first="  ", then="    ")


class _Drawing:
    """Lanes from left to right, each on its way to a node."""

    def __init__(self, order: Sequence[NodeMark], lines: Sequence[EdgeMark], style: Style) -> None:
        self._order = order
        self._style = style
        self._place = {mark.alias: place for place, mark in enumerate(order)}
        self._after: dict[str, list[EdgeMark]] = defaultdict(list)
        for line in lines:
            self._after[line.source].append(line)
        self._lanes: list[str | None] = []
        self.widest = 0

    def lines(self) -> Iterator[str]:
        for mark in self._order:
            yield from self._node(mark)
            self.widest = max(self.widest, len(self._lanes))
            if self.widest > LANES_MAX:
                return

    def _node(self, mark: NodeMark) -> Iterator[str]:
        arriving = [i for i, target in enumerate(self._lanes) if target == mark.alias]
        at = arriving[0] if arriving else self._free()
        if len(arriving) > 1:
            yield self._across(at, arriving[1:], _UP)
            for lane in arriving[1:]:
                self._lanes[lane] = None
        self._lanes[at] = mark.alias
        yield self._row(at, mark)
        self._lanes[at] = None
        here = self._place[mark.alias]
        down = [e for e in self._after[mark.alias] if self._place[e.to] > here]
        back = [e for e in self._after[mark.alias] if self._place[e.to] <= here]
        leaving = self._leave(at, down)
        told = [_told(e) for e in down if e.label]
        told += [f"{self._style.back} {_told(e)}" for e in back]
        if len(leaving) > 1:
            text = f"  {self._style.arrow} {', '.join(told)}" if told else ""
            yield _cut(self._across(at, leaving[1:], _DOWN) + text)
        elif told or (leaving and sum(lane is not None for lane in self._lanes) == 1):
            yield _cut(f"{self._bars()}  {', '.join(told)}")
        while self._lanes and self._lanes[-1] is None:
            self._lanes.pop()

    def _leave(self, at: int, down: Sequence[EdgeMark]) -> list[int]:
        leaving: list[int] = []
        for edge in sorted(down, key=lambda each: self._place[each.to]):
            lane = at if not leaving else self._free()
            self._lanes[lane] = edge.to
            leaving.append(lane)
        return sorted(leaving, key=lambda lane: lane != at)

    def _free(self) -> int:
        if None in self._lanes:
            return self._lanes.index(None)
        self._lanes.append(None)
        return len(self._lanes) - 1

    def _row(self, at: int, mark: NodeMark) -> str:
        cells = [self._style.lines[_UP | _DOWN] if target else " " for target in self._lanes]
        cells[at] = self._style.mark(mark.kind)
        return _cut(f"{' '.join(cells).rstrip()}  {mark.title}  {mark.under}")

    def _bars(self) -> str:
        bar = self._style.lines[_UP | _DOWN]
        return " ".join(bar if target else " " for target in self._lanes).rstrip()

    def _across(self, at: int, others: Sequence[int], way: int) -> str:
        """Draw a line that joins one lane with others, above or below it."""
        first, last = min(at, *others), max(at, *others)
        cells: list[str] = []
        for lane, target in enumerate(self._lanes):
            inside = first <= lane <= last
            sides = (_LEFT if inside and lane > first else 0) | (
                _RIGHT if inside and lane < last else 0
            )
            upright = _UP | _DOWN if target or lane == at else 0
            if lane in others:
                upright = way
            cells.append(self._style.lines[sides | upright])
            cells.append(self._style.lines[_LEFT | _RIGHT if first <= lane < last else 0])
        return "".join(cells).rstrip()


def _told(edge: EdgeMark) -> str:
    return f"{edge.to} ({edge.label})" if edge.label else edge.to


def _cut(text: str) -> str:
    text = clean(text).rstrip()
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
