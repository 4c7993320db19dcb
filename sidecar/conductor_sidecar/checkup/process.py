"""What the kernel tells of processes and memory: /proc, read below a given root.

Promise: what is not there is None or `NotLooked`, never a guess. Refusal: no environment's value
is returned, only names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from conductor_sidecar.checkup.not_looked import NotLooked

_START_TICKS = 19
"""Place of the start time behind the name in /proc/PID/stat."""


def memory_available(root: Path) -> int:
    """Return bytes of memory that can be had.

    Raises:
        NotLooked: The kernel does not say.
    """
    found = _line(root / "proc/meminfo", r"^MemAvailable:\s+(\d+) kB")
    if found is None:
        raise NotLooked("there is no /proc/meminfo here")
    return int(found) * 1024


def age_s(root: Path, pid: int) -> float | None:
    """Return seconds since a process started, by the kernel's clock."""
    try:
        stat = (root / f"proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        uptime = float((root / "proc/uptime").read_text(encoding="utf-8").split()[0])
        ticks = int(stat.rpartition(")")[2].split()[_START_TICKS])
    except (OSError, ValueError, IndexError):
        return None
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(root: Path, pid: int) -> int | None:
    """Return the memory that a process has in use."""
    found = _line(root / f"proc/{pid}/status", r"^VmRSS:\s+(\d+) kB")
    return None if found is None else int(found) * 1024


def files_of(root: Path, pid: int) -> tuple[int, int] | None:
    """Return how many files a process has open, and how many it may."""
    try:
        count = len(list((root / f"proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    limit = _line(root / f"proc/{pid}/limits", r"^Max open files\s+(\d+)")
    return None if limit is None else (count, int(limit))


def environment_names(root: Path, pid: int) -> frozenset[str]:
    """Return the names of a process's variables.

    Raises:
        NotLooked: It is not ours to see.
    """
    try:
        data = (root / f"proc/{pid}/environ").read_bytes()
    except OSError:
        raise NotLooked("the kernel does not show the sidecar's environment") from None
    names = (part.partition(b"=")[0] for part in data.split(b"\0") if part)
    return frozenset(name.decode("utf-8", "replace") for name in names)


def alive(root: Path, pid: int) -> bool:
    """Tell whether there is such a process."""
    return (root / f"proc/{pid}").exists()


def _line(path: Path, pattern: str) -> str | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else None
