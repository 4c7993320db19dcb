"""One file for whoever helps: collected, redacted, searched for secrets, then written.

Promise: mode 0600; each file in it is named in its manifest with its reason and SHA-256; if any
secret that this user can read is found in it, nothing is written. Refusal: no payload of an event,
a tool call or a journal entry, and nothing is sent anywhere.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from conductor_sdk.clock import wire_time
from conductor_sdk.errors import ConductorError
from conductor_sidecar import __version__
from conductor_sidecar.checkup.not_looked import NotLooked
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.diagnosis.errors import BundleFailed, BundleUnsafe
from conductor_sidecar.diagnosis.parts import Part
from conductor_sidecar.diagnosis.secrets import known_secrets
from conductor_sidecar.redaction import KnownSecrets, clean_text, redact

MANIFEST = "manifest.json"
LEFT_OUT = (
    "payloads of events, dead letters, tool calls and journal entries",
    "values of environment variables",
    "credentials, tokens and keys: by type, by name, and by every value that is readable here",
    "the databases themselves: see conductor backup",
)


class Listed(msgspec.Struct, frozen=True):
    """One file of a bundle."""

    path: str
    why: str
    bytes: int
    sha256: str
    missing: str = ""
    """Why there is nothing in it."""


class BundleManifest(msgspec.Struct, frozen=True):
    """What a bundle holds."""

    format: int
    created: str
    program: str
    workspace: str
    left_out: tuple[str, ...]
    files: list[Listed]


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle that was written."""

    file: Path
    bytes: int
    manifest: BundleManifest


def write_bundle(
    scene: Scene, file: Path, parts: Sequence[Part], without: Collection[str] = ()
) -> Written:
    """Collect, redact, search and write.

    Args:
        scene: What of.
        file: Its name; `.zip` makes that, everything else a compressed tar.
        parts: What is in it.
        without: Keys of parts to leave out.

    Raises:
        BundleUnsafe: A secret was found after the redaction, so nothing was written.
        BundleFailed: There is such a file, no room, or no way.
    """
    known = KnownSecrets(known_secrets(scene))
    chosen = [part for part in parts if part.key not in without]
    collected = {part.name: _collected(part, scene, known) for part in chosen}
    listed = [_listed(part, *collected[part.name], known) for part in chosen]
    manifest = BundleManifest(
        1, wire_time(scene.clock.now()), __version__, known.strip(scene.workspace.shown),
        LEFT_OUT, listed,
    )  # fmt: skip
    head = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
    contents = {MANIFEST: head, **{name: data for name, (data, _) in collected.items()}}
    for name, data in contents.items():
        if known.found_in(data):
            raise BundleUnsafe(name, data={"part": name.partition(".")[0]})
    packed = _zipped(contents) if file.suffix == ".zip" else _tarred(contents)
    _write(file, packed)
    return Written(file, len(packed), manifest)


def _listed(part: Part, data: bytes, missing: str, known: KnownSecrets) -> Listed:
    digest = hashlib.sha256(data).hexdigest()
    return Listed(part.name, part.why, len(data), digest, known.strip(missing))


def _collected(part: Part, scene: Scene, known: KnownSecrets) -> tuple[bytes, str]:
    """Return a part as it may be given away, and why there is nothing in it."""
    try:
        found = part.collect(scene)
    except NotLooked as reason:
        return b"", str(reason)
    except ConductorError as error:
        return b"", clean_text(error.message)
    except Exception as error:  # noqa: BLE001  a part that breaks must not hide the others
        return b"", f"it could not be collected: {type(error).__name__}"
    if isinstance(found, str):
        text = clean_text(found)
    else:
        text = msgspec.json.format(msgspec.json.encode(redact(found))).decode() + "\n"
    return known.strip(text).encode("utf-8", "replace"), ""


def _tarred(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _zipped(contents: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in contents.items():
            member = zipfile.ZipInfo(name)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            packed.writestr(member, data)
    return out.getvalue()


def _write(file: Path, data: bytes) -> None:
    if file.exists():
        raise BundleFailed(f"there is a {file} already")
    temporary = ""
    try:
        opened, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(opened, "wb") as out:  # mkstemp has made it with mode 0600
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).rename(file)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise BundleFailed(f"{file}: {error.strerror}") from error
