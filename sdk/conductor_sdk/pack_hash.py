"""A pack's files as one hash: what a pin is compared with and a readiness report names.

Promise: the hash depends on names and contents only: each file in the order of its POSIX path as
path, NUL, hex SHA-256, NUL; the SHA-256 of all that. Refusal: what a link points at is not read; a
pack with a symbolic link has no hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

APART = frozenset({".git", "node_modules", "dist"})
"""Directories directly below the root that belong to tools, not to the pack."""
CACHES = "__pycache__"
_NOT_OURS = ".DS_Store"
_CHUNK = 1 << 20


class NotHashable(Exception):
    """The pack holds what cannot be hashed."""


def pack_files(root: Path) -> list[Path]:
    """Return the pack's files, sorted by their POSIX path below `root`.

    Raises:
        NotHashable: It holds a symbolic link, or no file at all.
        OSError: A directory cannot be read.
    """
    found = sorted(_walk(root, root), key=lambda file: file.relative_to(root).as_posix())
    if not found:
        raise NotHashable(f"{root} holds no file")
    return found


def tree_hash(root: Path) -> str:
    """Return `sha256:` and the hex hash of a pack's directory.

    Raises:
        NotHashable: As `pack_files`.
        OSError: A file cannot be read.
    """
    whole = sha256()
    for file in pack_files(root):
        whole.update(file.relative_to(root).as_posix().encode() + b"\0")
        whole.update(_file_hash(file).encode() + b"\0")
    return f"sha256:{whole.hexdigest()}"


def _walk(root: Path, place: Path) -> Iterator[Path]:
    for entry in place.iterdir():
        if entry.name in {_NOT_OURS, CACHES} or (place == root and entry.name in APART):
            continue
        if entry.is_symlink():
            raise NotHashable(f"{entry.relative_to(root)} is a symbolic link")
        if entry.is_dir():
            yield from _walk(root, entry)
        elif entry.is_file():
            yield entry


def _file_hash(file: Path) -> str:
    hashed = sha256()
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()
