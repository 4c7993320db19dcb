"""Which files lie in the inbox of work orders.

Promise: only a directory inside of the workspace is looked into, and the oldest file comes first.
Refusal: no file is opened, and nothing is made.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_KINDS: Final = frozenset({".json", ".yaml", ".yml"})


def waiting(folder: Path, workspace: Path) -> list[str]:
    """Return the names of the files that may be orders, oldest first; none without the folder."""
    if not _usable(folder, workspace):
        return []
    found: list[tuple[float, str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            usual = Path(entry.name).suffix.lower() in _KINDS and not entry.name.startswith(".")
            if usual and entry.is_file(follow_symlinks=False):
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
    return [name for _, name in sorted(found)]


def _usable(folder: Path, workspace: Path) -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return folder.is_dir() and folder.resolve().is_relative_to(workspace.resolve())
    return False
