"""Prometheus' own tools; where they are missing, the test fails."""

from __future__ import annotations

import shutil
import subprocess


def program(name: str) -> str:
    """Return where a program is."""
    found = shutil.which(name)
    assert found, f"{name} is missing; run: tests/servers/install-prometheus.sh"
    return found


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    command = [program("promtool"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
