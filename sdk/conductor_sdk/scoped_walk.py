"""Walking a path from a held root: every directory open, no link followed by the kernel.

Promise: the names that a walk reports are the names of what it holds; a link's target is walked
like any other path, and swapping one changes nothing that was checked. Refusal: no walk leaves its
root or enters `.lumenflow`; scopes are not asked here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Sequence
from typing import NoReturn

from conductor_sdk.pack_errors import ScopeDenied
from conductor_sdk.scope_patterns import RESERVED, Segments

LINKS_MAX = 40
PATH_MAX = 4096
_HOLD = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


class Walk:
    """A path on its way: the directories held open, and the names that were really taken."""

    def __init__(self, root: str, path: str) -> None:
        self._root = root
        self._path = path
        self._held = [os.open(root, _HOLD)]
        self._resolved: list[str] = []
        self._reserved: tuple[int, int] | None = None
        with contextlib.suppress(OSError):
            reserved = os.stat(RESERVED, dir_fd=self._held[0])
            self._reserved = (reserved.st_dev, reserved.st_ino)
        self.leaf: str | None = None
        """The last name, unless the path is a directory that is held."""
        self.missing: tuple[str, ...] = ()
        """The names that do not exist, from the first one on."""

    @property
    def names(self) -> Segments:
        """The resolved path, as far as it exists, then the names as they were given."""
        return tuple(self._resolved)

    @property
    def parent(self) -> int:
        """The deepest directory that is held."""
        return self._held[-1]

    def close(self) -> None:
        """Let go of all directories."""
        for descriptor in self._held:
            os.close(descriptor)

    def present(self, path: str) -> str:
        """Return the last name of a file that must exist.

        Raises:
            OSError: It does not, or is a directory.
        """
        if self.missing:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._file_name(path)

    def creatable(self, path: str) -> str:
        """Return the last name of a file whose directory must exist.

        Raises:
            OSError: It does not, or the path is a directory.
        """
        if len(self.missing) > 1:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._file_name(path)

    def _file_name(self, path: str) -> str:
        if self.leaf is None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return self.leaf

    def mode_of(self, leaf: str) -> int | None:
        """Return the permissions of the file that is there; None: there is none."""
        try:
            found = os.stat(leaf, dir_fd=self.parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return stat.S_IMODE(found.st_mode) & 0o777

    def go(self, names: Sequence[str]) -> None:
        """Take the names one by one.

        Raises:
            ScopeDenied: They lead out of the workspace or into what is reserved.
            OSError: A directory on the way cannot be entered.
        """
        ahead = list(reversed(names))
        links = 0
        while ahead:
            name = ahead.pop()
            if name == "..":  # only ever out of a link's target
                self._up()
                continue
            try:
                found = os.stat(name, dir_fd=self.parent, follow_symlinks=False)
            except FileNotFoundError:
                self._stop_at(name, ahead)
                return
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if links > LINKS_MAX:
                    deny(self._path, "goes through too many links")
                ahead += reversed(self._target(name))
            elif stat.S_ISDIR(found.st_mode):
                self._enter(name)
            elif ahead:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._path)
            else:
                self._resolved.append(name)
                self.leaf = name

    def _enter(self, name: str) -> None:
        descriptor = os.open(name, _HOLD, dir_fd=self.parent)
        self._held.append(descriptor)
        self._resolved.append(name)
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) == self._reserved:
            deny(self._path, f"lies in {RESERVED}")

    def _up(self) -> None:
        if not self._resolved:
            deny(self._path, "leads out of the workspace")
        self._resolved.pop()
        os.close(self._held.pop())

    def _target(self, name: str) -> list[str]:
        target = os.readlink(name, dir_fd=self.parent)
        if target.startswith("/"):
            if target != self._root and not target.startswith(self._root + "/"):
                deny(self._path, "leads out of the workspace")
            target = target[len(self._root) :]
            while self._resolved:
                self._up()
        return [step for step in target.split("/") if step not in {"", "."}]

    def _stop_at(self, name: str, ahead: list[str]) -> None:
        self.missing = (name, *reversed(ahead))
        if ".." in self.missing:
            deny(self._path, "leads up from what does not exist")
        self._resolved += self.missing
        self.leaf = self.missing[-1]


def names_of(path: str) -> list[str]:
    """Return the names of a path as it was asked for.

    Raises:
        ScopeDenied: It is absolute, leads up, or is no path here.
    """
    if path.startswith(("/", "~")) or len(path) > PATH_MAX:
        deny(path, "is not relative to the workspace")
    if "\0" in path or "\\" in path:
        deny(path, "holds a character that no path here has")
    names = [name for name in path.split("/") if name not in {"", "."}]
    if ".." in names:
        deny(path, "leads up")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        deny(path, "holds half a character")
    return names


@contextlib.contextmanager
def swaps_denied(path: str) -> Generator[None]:
    """A name that was a directory or a file and is a link now was swapped under our hands."""
    try:
        yield
    except OSError as error:
        # A directory that became a link is ENOTDIR with O_PATH and O_DIRECTORY, else ELOOP.
        if error.errno == errno.ELOOP:
            deny(path, "was swapped for a link")
        raise


def deny(path: str, why: str) -> NoReturn:
    """Refuse a path.

    Raises:
        ScopeDenied: Always.
    """
    raise ScopeDenied(f"{path[:200]!a} {why}", data={"path": path[:200]})
