"""What a reload changes, as data.

Promise: every change has a name, and is in force or says why it needs a restart. Refusal: no
value of a pack's own section and none that may be a secret is shown, only that it changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from conductor_handlers.registry import LoadedPack, Registry
from conductor_sidecar.config import Configuration
from conductor_sidecar.reload.live import is_live, why_not

if TYPE_CHECKING:
    from conductor_handlers.toolhost.catalogue import CatalogueTool

What: TypeAlias = Literal["setting", "pack", "manifest", "tool", "subscription", "code"]
Effect: TypeAlias = Literal["applied", "restart"]
HIDDEN = "…"
SHOWN_MAX = 200
_SECRET = re.compile(r"token|secret|password|passwd|credential|(^|[._])key($|[._])", re.IGNORECASE)
_ABSENT = object()
CODE_WHY = "code is imported once"
TOOLSET_WHY = "the pack chooses its tools by code of its own"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One difference between what is in force and what would be."""

    what: What
    name: str
    action: Literal["added", "removed", "changed"]
    effect: Effect = msgspec.field(default="applied")
    old: str | None = None
    new: str | None = None
    why: str | None = None
    """Why it needs a restart."""

    @property
    def live(self) -> bool:
        """Whether it needs no restart."""
        return self.effect == "applied"


def setting_changes(
    old: Configuration, new: Configuration, held: AbstractSet[str] = frozenset()
) -> list[Change]:
    """Compare two configurations, by setting; see `is_live` for what is held."""
    before, after = _values(old), _values(new)
    return [
        Change(
            "setting", name, action, "applied" if live else "restart",
            _shown(name, before.get(name, _ABSENT)), _shown(name, after.get(name, _ABSENT)),
            None if live else why_not(name, held),
        )
        for name, action in _compared(before, after)
        for live in (is_live(name, held),)
    ]  # fmt: skip


def code_changes(slugs: Iterable[str]) -> list[Change]:
    """Name the packs whose code has changed."""
    return [Change("code", slug, "changed", "restart", why=CODE_WHY) for slug in slugs]


def pack_changes(
    old: Registry, new: Registry, tools: Mapping[str, CatalogueTool]
) -> list[Change]:  # fmt: skip
    """Compare what is loaded: packs, manifests and subscriptions; `tools` are the new ones."""
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
        for change in _manifest(before[slug], after[slug], tools)
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


def _manifest(
    before: LoadedPack, after: LoadedPack, tools: Mapping[str, CatalogueTool]
) -> Iterator[Change]:  # fmt: skip
    old, new = before.pack.manifest, after.pack.manifest
    if old == new:
        return
    fields = [name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)]
    chosen = "tools" in fields and not _follows(after, tools)
    yield Change(
        "manifest", after.slug, "changed", "restart" if chosen else "applied",
        before.version, f"{after.version}: {', '.join(fields)}", TOOLSET_WHY if chosen else None,
    )  # fmt: skip


def _follows(pack: LoadedPack, tools: Mapping[str, CatalogueTool]) -> bool:
    """Tell whether the tools that a pack has are those of its manifest."""
    if pack.pack.toolset is None:
        return True
    offered = {name: tool.manifest for name, tool in tools.items() if tool.pack == pack.slug}
    return offered == {tool.name: tool for tool in pack.pack.manifest.tools}


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
