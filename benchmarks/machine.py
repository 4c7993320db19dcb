"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("conductor-sidecar", "websockets", "msgspec", "pydantic", "starlette", "uvicorn")


def describe_machine() -> dict[str, object]:
    """Return the machine and the versions; no name of a host or user."""
    return {
        "machine": {
            "processor": _processor(), "cores": os.cpu_count(), "memory_gb": _memory_gb(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "versions": {
            "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version,
            **{name: version(name) for name in _PACKAGES},
        },
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
