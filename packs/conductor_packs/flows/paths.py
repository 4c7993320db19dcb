"""Paths of the configuration: all of them inside the workspace.

Promise: links are followed before it is looked where a path leads. Refusal: nothing below
`.lumenflow` is a flow, a lock or a store of flows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from conductor_packs.flows.errors import PathRefused

RESERVED: Final = ".lumenflow"


def inside(workspace: Path, given: str) -> Path:
    """Return the real path of something in the workspace; it need not exist.

    Args:
        workspace: Its root.
        given: Relative to the root, or absolute.

    Raises:
        PathRefused: It leads elsewhere, or into the state folder.
    """
    root = workspace.resolve()
    try:
        found = (root / given).resolve()
        names = found.relative_to(root).parts
    except (ValueError, OSError, RuntimeError):
        raise PathRefused(f"{given!r} is not inside the workspace") from None
    if not names or names[0] == RESERVED:
        raise PathRefused(f"{given!r} is no place for flows")
    return found


def is_path(spec: str) -> bool:
    """Tell whether a spec names a file rather than a module."""
    place = spec.partition(":")[0]
    return place.endswith(".py") or "/" in place
