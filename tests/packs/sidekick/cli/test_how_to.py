"""The how-to page about Sidekick, executed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from doc_runner import Reader, python_blocks
from house import ROOT
from running import Running, environment

PAGE = ROOT / "docs/how-to/sidekick.md"


def test_sidekick_works_as_the_page_says(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with Reader(place) as reader:
        reader.read(PAGE)
    assert (place / "smoke" / "readiness.md").is_file()
    assert (place / "alerts.secret").stat().st_mode & 0o077 == 0


def test_the_program_on_the_page_creates_a_task(tmp_path: Path) -> None:
    [block] = python_blocks(PAGE)
    with Running("exec conductor sidecar --adapter memory", tmp_path, environment()) as running:
        running.wait_for("ready")
        ran = subprocess.run(
            [sys.executable, "-c", block.body], cwd=tmp_path, env=environment(),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stdout.startswith("task-")) == (0, True), ran.stderr
