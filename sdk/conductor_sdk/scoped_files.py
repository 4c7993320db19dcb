"""The workspace's files as far as a call's scopes reach; the `ScopedFiles` of every tool.

Promise: a path is walked name by name from the workspace's root, each directory held open and no
symbolic link followed by the kernel, and what is opened is what was checked, whatever others swap
meanwhile. Refusal: nothing outside of the workspace, of the scopes, or in `.lumenflow` is reached,
by no link, no case and no hard link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from conductor_sdk.manifest_tools import NetworkScope, PathScope
from conductor_sdk.scope_patterns import (
    RESERVED,
    PatternRefused,
    Segments,
    covers,
    is_reserved,
    matches,
    parse,
)
from conductor_sdk.scoped_walk import Walk, deny, names_of, swaps_denied

Access: TypeAlias = Literal["read", "write"]
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class WorkspaceFiles:
    """Files under one root, within scopes. Holds nothing open between calls; share it freely."""

    def __init__(self, root: Path, scopes: Iterable[PathScope | NetworkScope]) -> None:
        """Prepare the patterns; one that is not understood allows nothing.

        Args:
            root: The workspace.
            scopes: What may be touched; network scopes are passed over.
        """
        self._root = os.path.realpath(root)
        self._allowed: dict[Access, tuple[Segments, ...]] = {"read": (), "write": ()}
        for scope in scopes:
            if isinstance(scope, PathScope):
                with contextlib.suppress(PatternRefused):
                    self._allowed[scope.access] += (parse(scope.pattern),)

    def resolve(self, path: str, access: Access) -> Path:
        """Return the real path of a file or directory that the scopes allow.

        Raises:
            ScopeDenied: The scopes do not cover it, or it leads elsewhere.
        """
        with self._walk(path) as walk:
            self._check(walk.names, access, path)
            self._check_hard_link(walk, path)
            return Path(self._root, *walk.names)

    def directory(self, path: str, access: Access) -> Path:
        """Return the real path of a directory whose whole content the scopes allow.

        Raises:
            ScopeDenied: As `resolve`; always for the workspace itself, which holds `.lumenflow`.
        """
        with self._walk(path) as walk:
            inside = (*walk.names, "**")
            allowed = self._allowed[access]
            if is_reserved(walk.names) or not walk.names:
                deny(path, "holds what no tool may touch")
            if not any(covers(pattern, inside) for pattern in allowed):
                deny(path, f"is not in the call's {access} scopes with all that it holds")
            if walk.leaf is not None and not walk.missing:
                deny(path, "is not a directory")
            return Path(self._root, *walk.names)

    def read_bytes(self, path: str) -> bytes:
        """Read a file without following a symbolic link that leads out.

        Raises:
            ScopeDenied: As `resolve`.
            OSError: As `open`; also where it is no regular file.
        """
        with self._walk(path) as walk:
            self._check(walk.names, "read", path)
            leaf = walk.present(path)
            with swaps_denied(path):
                file = os.open(leaf, _READ, dir_fd=walk.parent)
            with open(file, "rb") as stream:  # noqa: PTH123  an open descriptor, not a path
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    raise OSError(errno.EINVAL, "not a regular file", path)
                if found.st_nlink > 1 and self._is_in_reserved(found):
                    deny(path, "is a hard link to a file of the daemon")
                return stream.read()

    def write_bytes(self, path: str, content: bytes) -> None:
        """Replace a file atomically and durably; its mode is kept.

        Raises:
            ScopeDenied: As `resolve`.
            OSError: As `open`; a directory above it must exist.
        """
        with self._walk(path) as walk:
            self._check(walk.names, "write", path)
            leaf = walk.creatable(path)
            temporary = f".{secrets.token_hex(8)}.tmp"
            mode = walk.mode_of(leaf)
            file = os.open(temporary, _WRITE, 0o666 if mode is None else 0o600, dir_fd=walk.parent)
            try:
                with open(file, "wb") as stream:  # noqa: PTH123  an open descriptor, not a path
                    stream.write(content)
                    stream.flush()
                    if mode is not None:
                        os.fchmod(file, mode)
                    os.fsync(file)
                os.rename(temporary, leaf, src_dir_fd=walk.parent, dst_dir_fd=walk.parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=walk.parent)
                raise
            _sync_directory(walk.parent)

    @contextlib.contextmanager
    def _walk(self, path: str) -> Generator[Walk]:
        names = names_of(path)
        walk = Walk(self._root, path)
        try:
            with swaps_denied(path):
                walk.go(names)
            yield walk
        finally:
            walk.close()

    def _check(self, names: Sequence[str], access: Access, path: str) -> None:
        if is_reserved(names):
            deny(path, f"lies in {RESERVED}")
        if not any(matches(pattern, names) for pattern in self._allowed[access]):
            deny(path, f"is not in the call's {access} scopes")

    def _check_hard_link(self, walk: Walk, path: str) -> None:
        if walk.leaf is None or walk.missing:
            return
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(walk.leaf, dir_fd=walk.parent, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and self._is_in_reserved(found):
                deny(path, "is a hard link to a file of the daemon")

    def _is_in_reserved(self, found: os.stat_result) -> bool:
        """Tell whether a file with several names has one of them in the reserved directory."""
        for parent, _, files in os.walk(os.path.join(self._root, RESERVED)):  # noqa: PTH118  hot enough
            for name in files:
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.lstat(os.path.join(parent, name)), found):  # noqa: PTH118
                        return True
        return False


def _sync_directory(held: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
