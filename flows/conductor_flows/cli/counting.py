"""Numbers with their words.

Promise: one is one, as in `1 edge`. Refusal: nothing is printed here.
"""

from __future__ import annotations

from conductor_flows.ir.model import FlowIR


def counted(number: int, word: str) -> str:
    """Return `1 edge` or `2 edges`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def size_of(flow: FlowIR) -> str:
    """Return how large a flow is, for people."""
    return f"{counted(len(flow.nodes), 'node')}, {counted(len(flow.edges), 'edge')}"
