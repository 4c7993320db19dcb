"""The archive of a backup: one tar, the manifest first.

Promise: a name is there only with the whole file behind it, synced, mode 0600; what is unpacked
has the size and the SHA-256 that the manifest says. Refusal: no link, device or name outside of
the manifest is unpacked, and nothing existing is overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

import msgspec

from conductor_sidecar.backup.manifest import NAME, SIZE_MAX, Item, Manifest, read_manifest
from conductor_sidecar.restoring.errors import BackupDamaged, BackupExists, BackupFailed
from conductor_sidecar.restoring.swap import sync_directory

CHUNK = 1024 * 1024


def digest_of(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
            size += len(chunk)
    return size, found.hexdigest()


def write_archive(
    file: Path, manifest: Manifest, source: Path, crash_point: Callable[[str], None]
) -> int:
    """Write the archive of files below `source`; returns its size.

    Raises:
        BackupExists: There is such a file.
        BackupFailed: There is no room, or no way; no file is left.
    """
    if file.exists():
        raise BackupExists(str(file))
    try:
        opened, temporary = tempfile.mkstemp(
            prefix=f".{file.name}.", suffix=".tmp", dir=file.parent
        )
        try:
            with os.fdopen(opened, "wb") as out:  # mkstemp has made it with mode 0600
                _pack(out, manifest, source)
                out.flush()
                os.fsync(out.fileno())
                size = out.tell()
            crash_point("backup.written")
            Path(temporary).rename(file)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        sync_directory(file.parent)
    except OSError as error:
        raise BackupFailed(f"{file}: {error.strerror}") from error
    return size


def _pack(out: IO[bytes], manifest: Manifest, source: Path) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        head = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
        tar.addfile(_member(NAME, len(head)), io.BytesIO(head))
        for item in manifest.items:
            with (source / item.path).open("rb") as file:
                tar.addfile(_member(item.path, item.bytes), file)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


@contextlib.contextmanager
def opened_archive(file: Path) -> Generator[tuple[tarfile.TarFile, Manifest]]:
    """Open an archive and read its manifest.

    Raises:
        BackupDamaged: It is none, or cut.
        BackupTooNew: A newer program wrote it.
    """
    try:
        with tarfile.open(file, "r:") as tar:
            first = tar.next()
            if first is None or first.name != NAME or not first.isreg() or first.size > SIZE_MAX:
                raise BackupDamaged(f"{file} does not begin with {NAME}")
            head = tar.extractfile(first)
            yield tar, read_manifest(head.read() if head else b"")
    except FileNotFoundError:
        raise BackupDamaged(f"{file} does not exist", hint=f"ls {file.parent}") from None
    except (tarfile.TarError, EOFError) as error:
        raise BackupDamaged(f"{file}: {error}") from error


def unpack(tar: tarfile.TarFile, manifest: Manifest, target: Path) -> None:
    """Write every file of an archive below an empty directory, synced, each compared.

    Raises:
        BackupDamaged: A file is missing, is too many, or is not what the manifest says.
        OSError: There is no room.
    """
    expected = {item.path: item for item in manifest.items}
    while (member := tar.next()) is not None:
        item = expected.pop(member.name, None)
        content = tar.extractfile(member) if item is not None and member.isreg() else None
        if item is None or content is None:
            raise BackupDamaged(f"{member.name!r} is not in its manifest")
        _write(content, item, target / item.path)
    if expected:
        raise BackupDamaged(f"{', '.join(sorted(expected)[:3])} is missing")


def _write(content: IO[bytes], item: Item, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found, size = hashlib.sha256(), 0
    opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(opened, "wb") as out:
        while size <= item.bytes and (chunk := content.read(CHUNK)):
            found.update(chunk)
            size += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if (size, found.hexdigest()) != (item.bytes, item.sha256):
        raise BackupDamaged(f"{item.path} is not what the manifest says")
