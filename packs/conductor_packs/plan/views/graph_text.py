"""A plan's graph on a terminal: rounds of parallel work, with the chain that decides the end.

Promise: every open item stands once, behind what it waits for, in lines of at most 80 columns.
Refusal: no lines are drawn between items; who waits for whom is said in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from conductor_packs.plan.graph import Graph
from conductor_sdk.terminal_text import WIDTH, columns, fit, fixed

_ID_MAX: Final = 18
_NOTE_MAX: Final = 32


def graph_lines(graph: Graph) -> Iterator[str]:
    """Give the lines of a graph; they may hold colours, which a pipe does not want."""
    plan = graph.board.plan
    yield click.style(fit(f"{plan.plan_id}  {plan.title}", WIDTH), bold=True)
    path = graph.critical_path()
    waves = graph.waves()
    width = max(map(len, waves), default=0)
    yield (
        f"{len(graph.order)} open in {len(waves)} waves, at most {width} at once; "
        f"longest chain {minutes(graph.schedule.length)}"
    )
    critical = set(path)
    for number, wave in enumerate(waves, start=1):
        yield ""
        yield click.style(f"wave {number}", bold=True)
        yield from _rows(graph, wave, critical)
    if path:
        yield ""
        yield "* on the longest chain: any delay there delays the end"


def minutes(length: int) -> str:
    """Return a duration for people."""
    hours, rest = divmod(length, 60)
    if not hours:
        return f"{rest} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def _rows(graph: Graph, wave: list[str], critical: set[str]) -> Iterator[str]:
    ids = min(_ID_MAX, max(columns(fit(item_id, _ID_MAX)) for item_id in wave))
    notes = {item_id: fit(_note(graph, item_id), _NOTE_MAX) for item_id in wave}
    right = max(map(columns, notes.values()))
    room = WIDTH - 4 - ids - 2 - (right + 2 if right else 0)
    for item_id in wave:
        mark = "*" if item_id in critical else " "
        title = fixed(graph.items[item_id].title, room)
        line = f"  {mark} {fixed(item_id, ids)}  {title}"
        yield f"{line}  {notes[item_id]}".rstrip()


def _note(graph: Graph, item_id: str) -> str:
    needs = graph.needs[item_id]
    if needs:
        more = f" +{len(needs) - 1}" if len(needs) > 1 else ""
        return f"after {needs[0].item_id}{more}"
    count = graph.unblocks(item_id)
    return f"unblocks {count}" if count else ""
