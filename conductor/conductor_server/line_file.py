"""An append-only file of JSON lines that several programs write.

Promise: what `append_lines` has returned for is on the disk, after a complete line. Refusal: a
complete line is never changed; only a torn last one, which nobody can read, is cut off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_TAIL = 65_536


def append_lines(path: Path, lines: Sequence[bytes]) -> int:
    """Append lines in one write and sync them; the file is made with mode 0600.

    Returns:
        The bytes of a torn last line that were cut off first.

    Raises:
        OSError: None of the lines is in the file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Ours against ours; programs that do not lock append a whole line with one write.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        end, torn = _heal(descriptor)
        try:
            _write_all(descriptor, b"\n".join(lines) + b"\n")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    if made:
        _sync_directory(path.parent)
    return torn


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines that are not blank, with their line ends; none if there is no file.

    A line without a line end is the last one and may be torn.
    """
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.strip())
    except FileNotFoundError:
        return


def _heal(descriptor: int) -> tuple[int, int]:
    """Make the file end with a line end; returns (its size, bytes cut off)."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size, 0
    last = _last_line(descriptor, size)
    try:
        msgspec.json.decode(last)
    except (msgspec.DecodeError, UnicodeDecodeError):
        os.ftruncate(descriptor, size - len(last))
        return size - len(last), len(last)
    _write_all(descriptor, b"\n")
    return size + 1, 0


def _last_line(descriptor: int, size: int) -> bytes:
    span = _TAIL
    while True:
        tail = os.pread(descriptor, span, max(0, size - span))
        if b"\n" in tail or span >= size:
            return tail[tail.rfind(b"\n") + 1 :]
        span *= 4


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
