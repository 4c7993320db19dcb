"""When two reserved paths may mean the same file.

Promise: two patterns that share any file are found to overlap; sometimes two that share none are
too, never the other way round. Refusal: the disk is not looked at.

A path is relative to the workspace and covers everything below it; `*` and `?` match inside of one
part, `**` any number of parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.records import Reservation

_WILD = frozenset("*?[")


def normalised(path: str) -> str:
    """Return a path in the one way in which it is stored.

    Raises:
        PlanInputInvalid: It is absolute, empty, or leads out of the workspace.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]
    if path.startswith(("/", "\\", "~")) or ".." in parts:
        raise PlanInputInvalid(f"the path {path!r} leads out of the workspace")
    if not parts:
        return "**"  # the workspace as a whole
    return "/".join(parts)


def overlap(first: str, second: str) -> bool:
    """Tell whether two normalised paths may share a file."""
    for one, other in zip(first.split("/"), second.split("/"), strict=False):
        if "**" in {one, other}:
            return True
        if not _may_match(one, other):
            return False
    return True  # one ends: it covers what is below


def taken(paths: Iterable[str], item_id: str, reserved: Iterable[Reservation]) -> list[Reservation]:
    """Return the reservations of other items that paths overlap."""
    wanted = list(paths)
    return [
        each
        for each in reserved
        if each.item_id != item_id and any(overlap(each.path, path) for path in wanted)
    ]


def _may_match(one: str, other: str) -> bool:
    wild = [not _WILD.isdisjoint(part) for part in (one, other)]
    if all(wild):
        return True
    if wild[0]:
        return fnmatchcase(other, one)
    return fnmatchcase(one, other) if wild[1] else one == other
