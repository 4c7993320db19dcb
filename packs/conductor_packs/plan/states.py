"""The state machines of an item: the tables, and questions to them.

Promise: every legal move stands in one table, from which the diagram in the docs is drawn.
Refusal: no storage and no clock; the caller brings what it knows of the item.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from conductor_packs.plan.records import ExecStatus, State

STATES: Final[tuple[State, ...]] = ("TODO", "IN_PROGRESS", "BLOCKED", "DONE", "CANCELLED")
MOVES: Final[Mapping[State, tuple[State, ...]]] = {
    "TODO": ("IN_PROGRESS", "BLOCKED", "CANCELLED"),
    "IN_PROGRESS": ("TODO", "BLOCKED", "DONE", "CANCELLED"),
    "BLOCKED": ("TODO", "IN_PROGRESS", "CANCELLED"),
    "DONE": (),
    "CANCELLED": ("TODO",),
}
"""From a state to those that may follow. DONE is final: what was built on it stays true."""
HANDSHAKE: Final[Mapping[ExecStatus, ExecStatus]] = {
    "NONE": "READY_FOR_EXEC",
    "READY_FOR_EXEC": "EXEC_REQUESTED",
    "EXEC_REQUESTED": "EXEC_RESULT_RECORDED",
    "EXEC_RESULT_RECORDED": "READY_FOR_EXEC",
}
"""From a leg of the execution handshake to the next; after a result another round may begin."""


def may_move(before: State, after: State) -> bool:
    """Tell whether the state machine has this move; staying is none."""
    return after in MOVES[before]


def diagram() -> str:
    """Return the item's state machine as a Mermaid diagram."""
    lines = ["stateDiagram-v2", "    [*] --> TODO"]
    lines += [f"    {before} --> {after}" for before in STATES for after in MOVES[before]]
    lines += [f"    {state} --> [*]" for state in STATES if not MOVES[state]]
    return "\n".join(lines) + "\n"


def handshake_diagram() -> str:
    """Return the execution handshake as a Mermaid diagram."""
    lines = ["stateDiagram-v2", "    [*] --> NONE"]
    lines += [f"    {before} --> {after}" for before, after in HANDSHAKE.items()]
    return "\n".join(lines) + "\n"
