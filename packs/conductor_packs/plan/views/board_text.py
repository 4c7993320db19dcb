"""A plan on a terminal: its items by state.

Promise: every item is one line of at most 80 columns, and nothing hangs on colour. Refusal:
nothing is computed here that the graph does not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import click

from conductor_packs.plan.graph import Graph
from conductor_packs.plan.records import Item, State
from conductor_sdk.terminal_text import WIDTH, columns, fit, fixed

ORDER: Final[tuple[State, ...]] = ("IN_PROGRESS", "TODO", "BLOCKED", "DONE", "CANCELLED")
_COLOURS: Final[Mapping[State, str]] = {
    "IN_PROGRESS": "blue", "TODO": "yellow", "BLOCKED": "red", "DONE": "green",
    "CANCELLED": "bright_black",
}  # fmt: skip
_ID_MAX: Final = 18
_NOTE_MAX: Final = 30


def board_lines(graph: Graph) -> Iterator[str]:
    """Give the lines of a board; they may hold colours, which a pipe does not want."""
    plan = graph.board.plan
    done = sum(item.state == "DONE" for item in graph.board.items)
    total = sum(item.state != "CANCELLED" for item in graph.board.items)
    head = f"{plan.plan_id}  {plan.title}"
    yield click.style(fit(head, WIDTH), bold=True)
    tail = "" if plan.status == "ACTIVE" else f"  {plan.status}"
    yield fit(f"owner {plan.owner_agent}  version {plan.version}  done {done} of {total}{tail}",
              WIDTH)  # fmt: skip
    for state in ORDER:
        items = [item for item in graph.board.items if item.state == state]
        if items:
            yield ""
            yield click.style(f"{state} ({len(items)})", fg=_COLOURS[state], bold=True)
            yield from _rows(graph, sorted(items, key=lambda item: (item.priority, item.item_id)))


def note(graph: Graph, item: Item) -> str:
    """Return the one thing to know of an item now: who holds it, or what it waits for."""
    if item.closed:
        return ""
    claim = graph.claim(item)
    if claim is not None:
        late = "" if claim.held(graph.board.now) else " (lease ran out)"
        return f"{claim.actor}{late}"
    needs = graph.needs[item.item_id]
    if needs:
        more = f" +{len(needs) - 1}" if len(needs) > 1 else ""
        return f"waits for {needs[0].item_id}{more}"
    if item.state == "TODO" and item.kind != "NOTE":
        return "ready" if item.assigned_to is None else f"ready for {item.assigned_to}"
    return item.assigned_to or ""


def _rows(graph: Graph, items: list[Item]) -> Iterator[str]:
    notes = {item.item_id: fit(note(graph, item), _NOTE_MAX) for item in items}
    ids = min(_ID_MAX, max(columns(fit(item.item_id, _ID_MAX)) for item in items))
    right = max(map(columns, notes.values()))
    room = WIDTH - 2 - ids - 2 - 5 - (right + 2 if right else 0)
    for item in items:
        left = f"  {fixed(item.item_id, ids)}  {fixed(f'p{item.priority}', 4)} "
        title = fixed(item.title, room) if right else fit(item.title, room)
        yield (f"{left}{title}  {notes[item.item_id]}" if right else left + title).rstrip()
