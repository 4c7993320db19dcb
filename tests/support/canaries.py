"""Planted secrets, and the search for them in everything that a sidecar lets out."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from conductor_sdk.secret import Secret
from conductor_sidecar.redaction import KnownSecrets

EXEMPT = {
    "enrollment.json", "enrollment.next.json",  # the credential itself, and its successor
    "http.token",  # the bearer token for tools over TCP
    "operator.token",  # of the embedded conductor's operator
    "mqtt.password",  # of the embedded conductor at its broker
    "otlp.headers",  # the collector's headers, written by the operator
    "hook.secret",  # a webhook's secret, written by the operator
}  # fmt: skip
"""Names of files that hold a secret on purpose; each must be for its owner alone."""


class Canaries:
    """Secrets by name."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def plant(self, name: str, text: str) -> str:
        """Look for a secret from now on; returns it."""
        assert len(text) >= 16, f"{name} is too short to be found"
        self._texts[name] = text
        return text

    @property
    def names(self) -> set[str]:
        return set(self._texts)

    def found(self, data: bytes) -> list[str]:
        """The names of those that stand in some bytes: as text, in base64, percent-encoded."""
        return [name for name, text in self._texts.items()
                if KnownSecrets([Secret(text)]).found_in(data)]  # fmt: skip

    def leaks(self, outputs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Where which one was found."""
        return [f"{name} in {where}" for where, data in outputs for name in self.found(data)]


def files(*roots: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below, raw and unpacked, except those that hold a secret on purpose."""
    for root in roots:
        for path in sorted(root.rglob("*")):
            if not path.is_file() or path.is_symlink():
                continue
            if path.name in EXEMPT or path.suffix == ".token":
                assert path.stat().st_mode & 0o077 == 0, f"{path} is open to others"
                continue
            data = path.read_bytes()
            yield str(path), data
            yield from unpacked(str(path), data)


def unpacked(where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of an archive."""
    if zipfile.is_zipfile(io.BytesIO(data)) and data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield f"{where}!{name}", archive.read(name)
    elif data[:2] == b"\x1f\x8b":
        plain = gzip.decompress(data)
        yield f"{where}!", plain
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            for member in tar.getmembers():
                if (content := tar.extractfile(member)) is not None:
                    yield f"{where}!{member.name}", content.read()


def processes(*pids: int) -> Iterator[tuple[str, bytes]]:
    """What the process list shows of processes and their children."""
    if sys.platform != "linux":
        return
    children = [child for pid in pids for child in _children(pid)]
    for pid in [*pids, *children]:
        for name in ("cmdline", "environ"):
            path = Path(f"/proc/{pid}/{name}")
            if path.exists():
                yield str(path), path.read_bytes()


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []
