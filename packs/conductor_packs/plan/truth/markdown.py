"""A snapshot as Markdown, and its place in a file of people's.

Promise: a file is changed between its two markers and nowhere else, and not at all while the facts
are the same; a reader never sees half of it. Refusal: a file without exactly one pair of markers is
left alone.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

from conductor_packs.plan.errors import TruthTargetRefused
from conductor_packs.plan.truth.snapshot import Reading, Snapshot
from conductor_sdk.terminal_text import clean

START: Final = "<!-- CONDUCTOR_TRUTH_START -->"
END: Final = "<!-- CONDUCTOR_TRUTH_END -->"
_FACTS: Final = re.compile(r"<!-- facts: ([0-9a-f]{64}) -->")
_FILE_MAX: Final = 16_777_216


def as_markdown(snapshot: Snapshot) -> str:
    """Return the block, markers included."""
    lines = [
        START,
        f"<!-- facts: {snapshot.digest} -->",
        f"**{snapshot.verdict}** as of {snapshot.generated_at}",
        "",
        "| source | verdict | reading | sample | as of | age |",
        "|---|---|---|---|---|---|",
        *map(_row, snapshot.readings),
        "",
        *(f"Not checked: {what}" for what in snapshot.not_checked),
        END,
    ]
    return "\n".join(lines) + "\n"


def locate(workspace: Path, name: Path) -> Path:
    """Return the real path of a file that a block may be written to.

    Raises:
        TruthTargetRefused: It is not a file in the workspace, or one of the daemon's.
    """
    root = workspace.resolve()
    try:
        real = (root / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise TruthTargetRefused(f"there is no {name}") from None
    if not real.is_relative_to(root) or not real.is_file():
        raise TruthTargetRefused(f"{name} is not a file in the workspace")
    if real.relative_to(root).parts[0].lower() == ".lumenflow":
        raise TruthTargetRefused(f"{name} is the daemon's")
    return real


def replaced(text: str, block: str) -> str | None:
    """Return a text with the block in place of its old one; None where it says the same already.

    Raises:
        TruthTargetRefused: There is not exactly one pair of markers, in order.
    """
    if text.count(START) != 1 or text.count(END) != 1 or text.index(END) < text.index(START):
        raise TruthTargetRefused(f"it needs exactly one {START} and, behind it, one {END}")
    before, rest = text.split(START)
    old, after = rest.split(END)
    if _FACTS.findall(old) == _FACTS.findall(block):
        return None
    return before + block.rstrip("\n") + after


def read(path: Path) -> str:
    """Return a file's text, line ends as they are.

    Raises:
        TruthTargetRefused: It is no text, or too long.
    """
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise TruthTargetRefused(f"{path.name} is not UTF-8") from None
    if len(content) > _FILE_MAX:
        raise TruthTargetRefused(f"{path.name} is longer than {_FILE_MAX} bytes")
    return text


def write(path: Path, text: str) -> None:
    """Replace a file's text atomically and durably; its mode stays."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _row(reading: Reading) -> str:
    age = "unknown" if reading.age_s is None else _duration(reading.age_s)
    if reading.max_age_s is not None:
        age += f" (at most {_duration(reading.max_age_s)})"
    cells = (reading.source, reading.verdict, reading.detail, str(reading.sample),
             reading.as_of or "unknown", age)  # fmt: skip
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Return text that ends neither its cell nor the block."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _duration(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
