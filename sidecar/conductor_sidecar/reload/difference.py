"""What a reload changes, as data.

Promise: every change has a name, and says whether it is in force or needs a restart. Refusal: no
value of a pack's own section and none that may be a secret is shown, only that it changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from conductor_handlers.registry import LoadedPack, Registry
from conductor_handlers.toolhost.catalogue import CatalogueTool
from conductor_sidecar.config import Configuration
from conductor_sidecar.reload.live import is_live

What: TypeAlias = Literal["setting", "pack", "manifest", "tool", "subscription", "code"]
Effect: TypeAlias = Literal["applied", "restart"]
HIDDEN = "…"
SHOWN_MAX = 200
_SECRET = re.compile(r"token|secret|password|passwd|credential|(^|[._])key($|[._])", re.IGNORECASE)
_ABSENT = object()


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One difference between what is in force and what would be."""

    what: What
    name: str
    action: Literal["added", "removed", "changed"]
    effect: Effect = msgspec.field(default="applied")
    old: str | None = None
    new: str | None = None

    @property
    def live(self) -> bool:
        """Whether it needs no restart."""
        return self.effect == "applied"


def setting_changes(old: Configuration, new: Configuration) -> list[Change]:
    """Compare two configurations, by setting."""
    before, after = _values(old), _values(new)
    return [
        Change(
            "setting", name, action, "applied" if is_live(name) else "restart",
            _shown(name, before.get(name, _ABSENT)), _shown(name, after.get(name, _ABSENT)),
        )
        for name, action in _compared(before, after)
    ]  # fmt: skip


def pack_changes(old: Registry, new: Registry) -> list[Change]:
    """Compare what is loaded: packs, manifests and subscriptions."""
    before = {pack.slug: pack for pack in old.packs}
    after = {pack.slug: pack for pack in new.packs}
    packs = [
        Change(
            "pack", slug, "added" if slug in after else "removed",
            old=_version(before.get(slug)), new=_version(after.get(slug)),
        )
        for slug in sorted(before.keys() ^ after.keys())
    ]  # fmt: skip
    manifests = [
        change
        for slug in sorted(before.keys() & after.keys())
        for change in _manifest(before[slug], after[slug])
    ]
    kinds_before, kinds_after = _subscriptions(old), _subscriptions(new)
    subscriptions = [
        Change("subscription", name, "added" if name in kinds_after else "removed")
        for name in sorted(kinds_before ^ kinds_after)
    ]
    return [*packs, *manifests, *subscriptions]


def tool_changes(
    old: Mapping[str, CatalogueTool], new: Mapping[str, CatalogueTool]
) -> list[Change]:
    """Compare what tools there are."""
    before = {name: (tool.pack, tool.manifest) for name, tool in old.items()}
    after = {name: (tool.pack, tool.manifest) for name, tool in new.items()}
    return [Change("tool", name, action) for name, action in _compared(before, after)]


def _values(configuration: Configuration) -> dict[str, Any]:
    """Return every value; an empty table is none."""
    return {one.name: one.value for one in configuration.listing() if one.value != {}}


def _manifest(before: LoadedPack, after: LoadedPack) -> Iterator[Change]:
    old, new = before.pack.manifest, after.pack.manifest
    if old == new:
        return
    fields = [name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)]
    # A pack that chooses its tools by a function of its own made them when it was imported.
    chosen = after.pack.toolset is not None and "tools" in fields
    yield Change(
        "manifest", after.slug, "changed", "restart" if chosen else "applied",
        before.version, f"{after.version}: {', '.join(fields)}",
    )  # fmt: skip


def _compared(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterable[tuple[str, Literal["added", "removed", "changed"]]]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield name, "added"
        elif name not in after:
            yield name, "removed"
        elif before[name] != after[name]:
            yield name, "changed"


def _shown(name: str, value: object) -> str | None:
    if value is _ABSENT:
        return None
    if name.startswith("pack.") or _SECRET.search(name):
        return HIDDEN
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + HIDDEN


def _version(pack: LoadedPack | None) -> str | None:
    return None if pack is None else pack.version


def _subscriptions(registry: Registry) -> set[str]:
    return {f"{pack.slug} {kind}" for pack in registry.packs for kind in pack.subscriptions}
