"""Shelves as folders, rows as files.

Promise: a row is written aside, synchronised and renamed, so it is whole or not there; one lock
file keeps processes apart. Refusal: a failure in the middle of a piece of work leaves what it had
put: whoever needs more uses SQLite.

A key's slashes are folders; whatever else is unusual in a name is percent-encoded.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

from conductor_flows.capabilities.errors import CapabilityMisused
from conductor_flows.capabilities.rows import Rows

T = TypeVar("T")
NAME_MAX = 240


class FileRows:
    """A `RowStore`."""

    def __init__(self, root: Path, *, suffix: str = ".row") -> None:
        """Open nothing yet.

        Args:
            root: The folder; made at first use, mode 0700.
            suffix: Of the files; all others in the folder are left alone.
        """
        self._root = root
        self._suffix = suffix

    async def run(self, work: Callable[[Rows], T]) -> T:
        """See `RowStore.run`; the work runs in a thread.

        Raises:
            OSError: The file system refused.
        """
        return await asyncio.shield(asyncio.to_thread(self._alone, work))

    def _alone(self, work: Callable[[Rows], T]) -> T:
        with self._locked():
            return work(self)

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    async def close(self) -> None:
        """Nothing is open between calls."""

    def _path(self, shelf: str, key: str) -> Path:
        parts = [_escaped(part) for part in key.split("/")]
        if any(len(part) > NAME_MAX for part in parts):
            raise CapabilityMisused("the key is too long for a file name")
        return self._root.joinpath(shelf, *parts[:-1], parts[-1] + self._suffix)

    def get(self, shelf: str, key: str) -> bytes | None:
        """See `Rows.get`."""
        try:
            return self._path(shelf, key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, shelf: str, key: str, data: bytes) -> None:
        """See `Rows.put`."""
        path = self._path(shelf, key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _synchronise(path.parent)

    def drop(self, shelf: str, key: str) -> bool:
        """See `Rows.drop`."""
        path = self._path(shelf, key)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _synchronise(path.parent)
        return True

    def keys(
        self, shelf: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[str]:
        """See `Rows.keys`; reads the whole shelf."""
        top, end = self._root / shelf, len(self._suffix)
        names = (
            path.relative_to(top).parts
            for path in top.rglob(f"*{self._suffix}")
            if path.is_file() and not any(part[0] == "." for part in path.relative_to(top).parts)
        )
        found = ("/".join(_plain(part) for part in (*parts[:-1], parts[-1][:-end]))
                 for parts in names)  # fmt: skip
        return sorted(key for key in found if key.startswith(prefix) and key > after)[:limit]


def _escaped(part: str) -> str:
    """Encode a name; empty, dotted and hidden ones become ordinary."""
    name = quote(part, safe="")
    if not name:
        return "%"
    return "%2E" + name[1:] if name[0] == "." else name


def _plain(name: str) -> str:
    return "" if name == "%" else unquote(name)


def _synchronise(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
