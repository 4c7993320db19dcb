"""Names under which MCP clients see tools.

Promise: letters, digits, `_` and `-`, at most 64 of them, one name for each tool and never one for
two, whatever packs are loaded and in whatever order. Refusal: no tool is left out for its name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

from conductor_handlers.toolhost.records import Listing

LENGTH_MAX = 64
"""What the strictest of the common clients takes."""
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_STEPS = ((8, True), (32, True), (32, False))
"""Digits of the hash, and whether a name that nobody else wants stays as it is."""


def named(listings: Iterable[Listing]) -> dict[str, Listing]:
    """Give each tool its MCP name; in the order of `listings`.

    A name that several tools want, or that is too long, is shortened and ends in digits of the
    hash of the tool's own name: the same ones wherever the tool is loaded.
    """
    wishes = [(listing, _FOREIGN.sub("_", listing.mcp_name)) for listing in listings]
    wanted = Counter(wish for _, wish in wishes)
    found: dict[str, Listing] = {}
    for digits, keep in _STEPS:
        found = {
            wish if keep and wanted[wish] == 1 and 0 < len(wish) <= LENGTH_MAX
            else _distinct(wish, listing.name, digits): listing
            for listing, wish in wishes
        }  # fmt: skip
        if len(found) == len(wishes):
            break
    return found


def _distinct(wish: str, tool: str, digits: int) -> str:
    digest = sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    return f"{wish[: LENGTH_MAX - digits - 1]}_{digest}"
