"""`python -m benchmarks.flows.peers.install`: a Python of their own for what is compared with.

Promise: everything lands in `.run/flows-peers` of the checkout, at the versions of
`requirements.txt`, once for each change of that file. Refusal: the project's own environment and
its locks are left alone; where something cannot be fetched, the benchmark runs without all of it.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.processes import ROOT

PLACE = ROOT / ".run" / "flows-peers"
PYTHON = PLACE / "bin" / "python"
STAMP = PLACE / "requirements.txt"
WANTED = Path(__file__).with_name("requirements.txt")
PATIENCE_S = 600


def installed() -> bool:
    """Whether what is wanted is there."""
    return STAMP.exists() and STAMP.read_bytes() == WANTED.read_bytes()


def main() -> int:
    """Install; returns 1 where something could not be."""
    if installed():
        return 0
    sys.stderr.write(f"installing what flows are compared with into {PLACE}\n")
    venv.create(PLACE, clear=True, with_pip=True)
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
               WANTED]  # fmt: skip
    if subprocess.run(command, timeout=PATIENCE_S, check=False).returncode:
        sys.stderr.write("it cannot be installed here; the benchmark will say so\n")
        return 1
    STAMP.write_bytes(WANTED.read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
