"""Which adapter a workspace's configuration asks for.

Promise: `filesystem` unless it says `sqlite`; nothing is opened before the first use. Refusal: no
other setting is read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_never

from conductor_packs.sidekick.storage.port import StoragePort
from conductor_sdk.clock import Clock

StorageKind = Literal["filesystem", "sqlite"]
DIRECTORY = ".sidekick"


def open_storage(
    workspace: Path, kind: StorageKind = "filesystem", *, clock: Clock | None = None
) -> StoragePort:
    """Return the port of a workspace's `.sidekick`.

    Args:
        workspace: Its root; the directory must lie in it, symbolic links followed.
        kind: The setting `sidekick.storage`.
        clock: Gives the time of audit events.
    """
    root = workspace / DIRECTORY
    match kind:
        case "filesystem":
            from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort

            return FilesystemStoragePort(root, workspace=workspace, clock=clock)
        case "sqlite":
            from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort

            return SqliteStoragePort(root, workspace=workspace, clock=clock)
    assert_never(kind)
