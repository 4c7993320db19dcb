"""What is in a backup: the first file of every archive.

Promise: every other file of the archive is named here with its size and SHA-256, and a name leads
nowhere but into the workspace. Refusal: a manifest of an unknown format is not guessed at.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from conductor_sidecar.restoring.errors import BackupDamaged, BackupTooNew

FORMAT = 1
NAME = "manifest.json"
SIZE_MAX = 8 * 1024 * 1024
Store = Literal["sidecar", "journal", "pack", "folder", "credential"]
_PART = re.compile(r"[^/\x00-\x1f\x7f]{1,255}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACES: dict[Store, re.Pattern[str]] = {
    "sidecar": re.compile(r"conductor/sidecar\.db"),
    "journal": re.compile(r"conductor/journal\.db"),
    "pack": re.compile(r"packs/[a-z0-9][a-z0-9_-]{0,127}\.db"),
    "folder": re.compile(r"folders/\.sidekick/.+"),
    "credential": re.compile(
        r"conductor/(enrollment|enrollment\.next|http-credentials)\.json|conductor/http\.token"
    ),
}
"""Where the files of each store stand in an archive; nothing else is accepted."""


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    path: str
    """Within the archive."""
    store: Store
    bytes: int
    sha256: str
    schema: int | None = None
    """`PRAGMA user_version` of a database."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, and of which moment."""

    format: int
    created: str
    """UTC, ends in `Z`."""
    program: str
    """Version of the program that wrote it."""
    workspace: str
    subject: str | None
    """Whom the workspace was enrolled as."""
    epoch: str
    sequence: int
    """The cursor: how far the conductor's events were stored."""
    journal_entries: int
    journal_head: str
    """Number of entries, and hash of the last."""
    items: list[Item]
    left_out: list[str] = []
    """What of the state is not in it, each with the reason."""


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        BackupDamaged: It is none, or names a file where none may be.
        BackupTooNew: Its format is not known here.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).format
    except (msgspec.DecodeError, RecursionError) as error:
        raise BackupDamaged(f"{NAME}: {error}") from None
    if version > FORMAT:
        raise BackupTooNew(f"format {version}, this program knows {FORMAT}")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BackupDamaged(f"{NAME}: {error}") from None
    names = [item.path for item in manifest.items]
    if len(set(names)) < len(names) or not all(map(_fits, manifest.items)):
        raise BackupDamaged(f"{NAME} names files where none may be")
    return manifest


class _Versioned(msgspec.Struct):
    format: int


def _fits(item: Item) -> bool:
    parts = item.path.split("/")
    return (
        _PLACES[item.store].fullmatch(item.path) is not None
        and all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
        and item.bytes >= 0
        and _SHA256.fullmatch(item.sha256) is not None
    )
