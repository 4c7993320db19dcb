"""A plan's board as one HTML file.

Promise: the file needs nothing else and runs nothing; a strict policy in it says so to the browser.
Refusal: no title is markup, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from conductor_packs.plan.graph import Graph
from conductor_packs.plan.records import Item, State
from conductor_packs.plan.views.board_text import ORDER, note
from conductor_packs.plan.views.graph_svg import COLOURS, FONT, graph_svg
from conductor_sdk.terminal_text import clean

_STYLE: Final = """
*{box-sizing:border-box}body{margin:0;padding:24px;font:14px/1.45 %s;color:#1f2328;
background:#f6f8fa}h1{font-size:20px;margin:0 0 4px}p{margin:0 0 18px;color:#57606a}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:14px;
align-items:start}section{background:#eaeef2;border-radius:10px;padding:10px}
h2{font-size:13px;margin:2px 4px 10px;letter-spacing:.03em}article{background:#fff;
border-radius:8px;padding:9px 11px;margin-bottom:8px;border-left:4px solid #8c959f;
overflow-wrap:anywhere}article b{font-weight:600}article small{display:block;color:#57606a;
margin-top:3px}figure{margin:24px 0 0;padding:12px;background:#fff;border-radius:10px;
overflow:auto}.critical b::after{content:" ◆";color:#8250df}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}section{background:
#161b22}article{background:#21262d}p,article small{color:#9198a1}}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def board_html(graph: Graph) -> str:
    """Return the page: columns by state, and the graph below."""
    plan = graph.board.plan
    done = sum(item.state == "DONE" for item in graph.board.items)
    facts = (
        f"owner {plan.owner_agent} · {plan.status} · version {plan.version} · "
        f"{done} of {len(graph.board.items)} done · as of {graph.board.now}"
    )
    critical = set(graph.critical_path())
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(plan.plan_id)}</title>",
        f"<style>{_STYLE % FONT}</style></head><body>",
        f"<h1>{_text(plan.title)}</h1><p>{_text(plan.plan_id)} · {_text(facts)}</p>",
        "<main>",
        *(line for state in ORDER for line in _column(graph, state, critical)),
        "</main>",
        f"<figure>{graph_svg(graph)}</figure>" if graph.board.links else "",
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _column(graph: Graph, state: State, critical: set[str]) -> Iterator[str]:
    items = [item for item in graph.board.items if item.state == state]
    if not items:
        return
    yield f"<section><h2>{state} ({len(items)})</h2>"
    for item in sorted(items, key=lambda item: (item.priority, item.item_id)):
        yield _card(graph, item, critical=item.item_id in critical)
    yield "</section>"


def _card(graph: Graph, item: Item, *, critical: bool) -> str:
    facts = [f"{item.kind} · p{item.priority} · v{item.version}", note(graph, item)]
    if item.due_ts is not None:
        facts.append(f"due {item.due_ts}")
    small = "".join(f"<small>{_text(fact)}</small>" for fact in facts if fact)
    mark = ' class="critical"' if critical else ""
    return (
        f'<article{mark} style="border-color:{COLOURS[item.state][1]}">'
        f"<b>{_text(item.item_id)}</b><br>{_text(item.title)}{small}</article>"
    )


def _text(value: str) -> str:
    return escape(clean(value))
