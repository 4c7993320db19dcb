"""How the tasks of a link say that it is over.

Promise: the first of them that ends gives the reason; the others only follow. Refusal: nothing is
decided here.
"""

from __future__ import annotations

from typing import TypeVar

from conductor_protocol.effects import Close

E = TypeVar("E", bound=Exception)


class LinkEnded(Exception):
    """The link is over; carries why."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.code)
        self.close = close


def first_leaf(group: BaseExceptionGroup[E]) -> E:
    """Return what the first of the tasks raised."""
    leaf: E | BaseExceptionGroup[E] = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
