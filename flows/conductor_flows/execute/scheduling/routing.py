"""Where the output of a node goes.

Promise: edges that no surface controls always get it; of the controlled ones exactly the chosen.
Refusal: nothing is moved here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from conductor_flows.execute.errors import Unroutable
from conductor_flows.execute.planning.plan import Branch, NodePlan
from conductor_flows.execute.planning.pointers import Getter, Missing
from conductor_flows.execute.scheduling.items import Item
from conductor_flows.ir.json_values import as_array

View = Callable[[int, Any], Any]
"""The JSON of what a node gave; node -1 is the input."""


@dataclass(frozen=True, slots=True)
class Output:
    """An item and the edge that it shall take."""

    edge: int
    item: Item


def chosen(plan: NodePlan, value: Any, view: View) -> Iterable[int]:
    """Return the edges that a value takes; an `if` and a `switch` gate those they control.

    Raises:
        Unroutable: The selector finds nothing, or a value of the wrong type.
    """
    branch = plan.branch
    if branch is None:
        return plan.outputs
    taken = _select(branch, view(plan.index, value))
    return [edge for edge in plan.outputs if edge == taken or edge not in branch.controlled]


def _select(branch: Branch, value: Any) -> int | None:
    found = follow(branch.select, value, branch.kind)
    if branch.kind == "if":
        if not isinstance(found, bool):
            raise Unroutable("the selector of `if` is no boolean", surface="if")
        return branch.cases["true" if found else "false"]
    if not isinstance(found, str):
        raise Unroutable("the selector of `switch` is no string", surface="switch")
    return branch.cases.get(found, branch.default)


def follow(select: Getter, value: Any, surface: str) -> Any:
    """Follow a surface's pointer into JSON.

    Raises:
        Unroutable: It leads nowhere.
    """
    try:
        return select(value)
    except Missing as missing:
        detail = f"the pointer of `{surface}` finds nothing at {missing}"
        raise Unroutable(detail, surface=surface) from None


def elements(select: Getter, value: Any) -> list[Any]:
    """Return the elements of a `for_each`.

    Raises:
        Unroutable: The pointer finds no array.
    """
    found = as_array(follow(select, value, "for_each"))
    if found is None:
        raise Unroutable("the pointer of `for_each` finds no array", surface="for_each")
    return found
