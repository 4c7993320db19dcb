"""What the packs' files were when their code was imported.

Promise: a manifest file that changed since is read again, and code that changed since is found out.
Refusal: no code is imported again; a manifest that a pack builds in code is code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from conductor_handlers.pack_sources import Candidate
from conductor_handlers.registry import LoadedPack
from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import ManifestInvalid
from conductor_sdk.pack_hash import NotHashable, pack_files
from conductor_sdk.yaml12 import load_yaml

MANIFEST = "manifest.yaml"


@dataclass(frozen=True, slots=True)
class _Read:
    """A manifest file as it was read, and what it says; None: no manifest."""

    text: bytes | None
    manifest: PackManifest | None = None


class Baseline:
    """One for the daemon's life. Its methods read files: call them in a thread."""

    def __init__(self) -> None:
        self._imported: dict[str, _Read] = {}
        """The manifest files of modules, when they were imported."""
        self._latest: dict[str, _Read] = {}
        """The last other text of each, read and checked."""
        self._code: dict[str, str | None] = {}

    def note(self, packs: Iterable[LoadedPack]) -> None:
        """Remember the files of packs that have just been imported."""
        for pack in packs:
            if pack.module and pack.module not in self._imported:
                self._imported[pack.module] = _Read(_text(pack.module))

    def measure(self, packs: Iterable[LoadedPack]) -> None:
        """Remember what the code of packs hashes to; those that are known stay as they are."""
        for pack in packs:
            if pack.module and pack.module not in self._code:
                self._code[pack.module] = _code_hash(pack.module)

    def changed_code(self, packs: Iterable[LoadedPack]) -> list[str]:
        """Return the slugs of packs whose code is another one than was measured, sorted."""
        measured: Mapping[str, str | None] = self._code
        return sorted(
            pack.slug
            for pack in packs
            if pack.module in measured and _code_hash(pack.module) != measured[pack.module]
        )

    def revised(self, candidate: Candidate, pack: Pack) -> Pack:
        """Return a pack with its manifest as the file says now.

        Raises:
            ManifestInvalid: What the file says is no manifest.
        """
        module = candidate.module
        if not module:
            return pack
        text = _text(module)
        imported = self._imported.setdefault(module, _Read(text))
        if text == imported.text or text is None or imported.text is None:
            return pack
        if imported.manifest is None:
            imported = self._imported[module] = _Read(imported.text, _manifest(imported.text))
        if imported.manifest != pack.manifest:
            return pack  # it is made in code
        latest = self._latest.get(module)
        if latest is None or latest.text != text:
            latest = self._latest[module] = _Read(text, _manifest(text))
        return pack if latest.manifest is None else _with_manifest(pack, latest.manifest)


def _with_manifest(pack: Pack, manifest: PackManifest) -> Pack:
    """Return a pack with another manifest.

    A function that answers with the tools of the manifest answers with those of the new one;
    tools that it makes itself are code, and stay.
    """
    choose, before = pack.toolset, list(pack.manifest.tools)
    if choose is None:
        return replace(pack, manifest=manifest)

    def toolset(config: Mapping[str, Any]) -> Sequence[ToolManifest]:
        chosen = list(choose(config))
        return manifest.tools if chosen == before else chosen

    return replace(pack, manifest=manifest, toolset=toolset)


def _text(module: str) -> bytes | None:
    file = _file(module)
    try:
        return None if file is None else file.with_name(MANIFEST).read_bytes()
    except OSError:
        return None


def _manifest(text: bytes) -> PackManifest:
    try:
        return PackManifest.from_mapping(load_yaml(text))
    except ManifestInvalid as error:
        error.detail = f"{MANIFEST}: {error.detail}"
        raise


def _file(module: str) -> Path | None:
    found = getattr(sys.modules.get(module), "__file__", None)
    return None if found is None else Path(found)


def _code_hash(module: str) -> str | None:
    """Hash the package around a module, without the manifest; a module without one is hashed alone.

    None: it cannot be hashed.
    """
    file = _file(module)
    if file is None:
        return None
    try:
        files = pack_files(file.parent) if "." in module else [file]
        whole = sha256()
        for each in files:
            if each.name != MANIFEST:
                whole.update(str(each).encode() + b"\0" + sha256(each.read_bytes()).digest())
    except (OSError, NotHashable):
        return None
    return whole.hexdigest()
