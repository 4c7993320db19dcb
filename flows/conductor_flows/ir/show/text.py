"""DOT and Mermaid.

Promise: any flow gives a document that Graphviz or Mermaid can read, whatever its names hold.
Refusal: no layout; that is theirs.
"""

from __future__ import annotations

from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.show.marks import edges, nodes
from conductor_flows.ir.terms import NodeKind

_DOT_SHAPES = {NodeKind.TRIGGER: "cds", NodeKind.SUBFLOW: "component", NodeKind.ACTIVITY: "box3d"}


def dot(flow: FlowIR) -> str:
    """Return a Graphviz digraph."""
    lines = [f"digraph {_dot(flow.name)} {{", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    for node in nodes(flow):
        shape = _DOT_SHAPES.get(node.kind)
        extra = f", shape={shape}" if shape else ""
        label = _dot("\n".join(filter(None, (node.title, node.under, node.notes))))
        lines.append(f"  {_dot(node.alias)} [label={label}{extra}];")
    for edge in edges(flow):
        label = f" [label={_dot(edge.label)}]" if edge.label else ""
        lines.append(f"  {_dot(edge.source)} -> {_dot(edge.to)}{label};")
    return "\n".join([*lines, "}", ""])


def _dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def mermaid(flow: FlowIR) -> str:
    """Return a Mermaid flowchart."""
    ids = {node.alias: f"n{number}" for number, node in enumerate(nodes(flow))}
    lines = ["flowchart LR"]
    for node in nodes(flow):
        opened, closed = ("([", "])") if node.kind is NodeKind.TRIGGER else ("[", "]")
        lines_of = filter(None, (node.title, node.under, node.notes))
        label = "<br/>".join(_mermaid(line) for line in lines_of)
        lines.append(f'  {ids[node.alias]}{opened}"{label}"{closed}')
    for edge in edges(flow):
        label = f'|"{_mermaid(edge.label)}"|' if edge.label else ""
        lines.append(f"  {ids[edge.source]} -->{label} {ids[edge.to]}")
    return "\n".join([*lines, ""])


def _mermaid(text: str) -> str:
    """Write as character references whatever Mermaid could take for markup."""
    return "".join(c if c.isalnum() or c in " _-.,:/" else f"#{ord(c)};" for c in text)
