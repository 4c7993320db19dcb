"""What `conductor pack validate` does: load rules and file checks, one answer for each pack.

Promise: a pack that cannot be loaded is still read, hashed and linted as far as its files allow.
Refusal: nothing is printed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conductor_handlers.pack_lint.lint import lint_pack
from conductor_handlers.pack_lint.place import PackPlace, directory_places, installed_places
from conductor_handlers.pack_lint.verdict import PackVerdict
from conductor_handlers.registry import LoadedPack, RefusedPack
from conductor_sdk.errors import Exit
from conductor_sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Validated:
    """One pack, and all that was found."""

    found: LoadedPack | RefusedPack
    verdict: PackVerdict | None
    """None: its files could not be found."""

    @property
    def valid(self) -> bool:
        """Whether it would be loaded and every check passed."""
        checked = self.verdict is not None and self.verdict.passed
        return checked and isinstance(self.found, LoadedPack)


def validated(
    loaded: Sequence[LoadedPack],
    refused: Sequence[RefusedPack],
    settings: Settings,
    *,
    directory: Path | None,
) -> list[Validated]:
    """Check the files of packs.

    Args:
        loaded: Packs that may be loaded.
        refused: Packs that may not.
        settings: The workspace's, for pins and the packs' own sections.
        directory: The project that they are from; None: they are installed.
    """
    places = directory_places(directory) if directory else installed_places()
    return [
        *(Validated(pack, _lint_loaded(pack, places, settings)) for pack in loaded),
        *(Validated(pack, _lint_refused(pack, places, settings)) for pack in refused),
    ]


def exit_code(packs: Sequence[Validated]) -> Exit:
    """0; 4 where only pinned hashes differ; else 1."""
    codes = {_code(pack) for pack in packs}
    return next((code for code in (Exit.FAILURE, Exit.INTEGRITY) if code in codes), Exit.OK)


def _code(pack: Validated) -> Exit:
    if pack.verdict is None or isinstance(pack.found, RefusedPack):
        return Exit.FAILURE
    return pack.verdict.exit_code


def _lint_loaded(
    pack: LoadedPack, places: Sequence[PackPlace], settings: Settings
) -> PackVerdict | None:
    for place in places:
        if place.holds(pack.pack):
            config = settings.pack.get(pack.pack.manifest.config_key or pack.slug)
            pin = settings.packs.pins.get(pack.slug)
            return lint_pack(place, pack.pack, pin=pin, config=config)
    return None


def _lint_refused(
    pack: RefusedPack, places: Sequence[PackPlace], settings: Settings
) -> PackVerdict | None:
    for place in places:
        if place.name == pack.name:
            pin = settings.packs.pins.get(pack.name.replace("_", "-"))
            return lint_pack(place, pin=pin)
    return None
