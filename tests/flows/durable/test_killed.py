"""A run that is killed at a node goes on to the same result, with every effect once."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).parents[2] / "support" / "killed_flow.py"
RESULT = b'{"left":{"all":[{"n":0},{"n":1}]},"right":{"all":[{"n":0},{"n":1}]}}'
EFFECTS = sorted(
    ["trigger", "fan", "effect", "effect", "work", "work", "collect", "left", "right", "both"]
)
PLACES = [("trigger", "before"), ("effect", "after"), ("left", "after"),
          ("both", "after")]  # fmt: skip


def child(folder: Path, verb: str, node: str, when: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, str(CHILD), str(folder), verb, node, when]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize(("node", "when"), PLACES)
def test_a_run_that_is_killed_at_a_node_resumes_to_the_same_result(
    tmp_path: Path, node: str, when: str
) -> None:
    assert -signal.SIGKILL == child(tmp_path, "run", node, when).returncode
    # Killed a second time at the same place: a resumed run is as durable as the first.
    assert -signal.SIGKILL == child(tmp_path, "resume", node, when).returncode
    last = child(tmp_path, "resume", "", "")
    assert (RESULT, b"") == (last.stdout, last.stderr)
    connection = sqlite3.connect(tmp_path / "effects.db")
    effects = sorted(row[0] for row in connection.execute("SELECT node FROM effects"))
    connection.close()
    assert EFFECTS == effects
