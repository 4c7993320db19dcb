"""A crash without a killed process: the files as they would be found.

Promise: the image holds all that was committed and nothing that was not, as after SIGKILL between
two transactions. Refusal: it does not model a power cut, which needs a file system that forgets.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from conductor_state.database import Database


async def crash_image(database: Database, folder: Path) -> Path:
    """Copy a database with its write-ahead log into `folder`; returns the copy's path.

    The original stays open and is the caller's to close; nothing of that reaches the copy.
    """

    def copy(_: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in ("", "-wal"):
            source = database.path.with_name(database.path.name + suffix)
            if source.exists():
                shutil.copyfile(source, folder / source.name)

    await database.read(copy)
    return folder / database.path.name
