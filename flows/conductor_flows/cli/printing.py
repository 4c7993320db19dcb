"""What only the commands of flows print, and the files that they write.

Promise: a file is never seen half. Refusal: nothing is fetched or decided here.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import click

from conductor_terminal.printing import wrapped


def headline(code: str, severity: str, rest: str, *, fails: bool) -> str:
    """Return the first line of a diagnostic, its code in colour."""
    name = f"{code} {severity}"
    styled = click.style(name, fg="red" if fails else "yellow", bold=True)
    return wrapped(f"{name} {rest}", then="  ").replace(name, styled, 1)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half; one that is there is replaced.

    Raises:
        OSError: The file system refused; the file is as it was.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe, as /dev/stdout
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
