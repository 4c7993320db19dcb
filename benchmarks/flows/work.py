"""What a node of the measured chain does; the same everywhere.

Promise: ten asynchronous functions from a dict to a dict, one after the other; an item that has
been through has `n` ten higher. Refusal: nothing else is imported.
"""

from __future__ import annotations

NODES = 10
CAPACITY = 8
"""Items that may wait between two nodes."""


def stepped(value: dict[str, int]) -> dict[str, int]:
    """Return a new dict with one more."""
    return {"n": value["n"] + 1}


def must_be_through(value: dict[str, int], began: int = 0) -> None:
    """Refuse a result that has not been through all nodes."""
    if value["n"] != began + NODES:
        raise SystemExit(f"wrong result: {value}")
