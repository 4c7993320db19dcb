"""Which storage is in use here: one default, and a scope that replaces it.

Promise: a scope covers what runs inside of it, tasks that are started there included, and nothing
else; the innermost one counts. Refusal: importing this opens nothing and reads no directory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from conductor_packs.sidekick.storage.port import StoragePort

T = TypeVar("T")

_scoped: ContextVar[StoragePort | None] = ContextVar("sidekick_storage", default=None)


class _Default:
    port: StoragePort | None = None


def get_storage_port() -> StoragePort:
    """Return the port of the innermost scope, else the default.

    Without `set_default_storage_port` the default keeps files in `.sidekick` below the directory
    that is current at the first use.
    """
    scoped = _scoped.get()
    if scoped is not None:
        return scoped
    if _Default.port is None:
        from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort

        _Default.port = FilesystemStoragePort(Path.cwd() / ".sidekick")
    return _Default.port


def set_default_storage_port(port: StoragePort | None) -> StoragePort | None:
    """Replace the default; returns the one before. None: as at the start."""
    before, _Default.port = _Default.port, port
    return before


@contextlib.contextmanager
def storage_scope(port: StoragePort) -> Generator[StoragePort]:
    """Use `port` for the length of a block."""
    token = _scoped.set(port)
    try:
        yield port
    finally:
        _scoped.reset(token)


async def run_with_storage_port(port: StoragePort, work: Callable[[], Awaitable[T]]) -> T:
    """Run an async function with `port` in use; return its answer."""
    with storage_scope(port):
        return await work()
