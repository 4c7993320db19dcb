"""Run worlds from the command line; see `simworld.runner`, or `python tests/simulation --help`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from simworld.runner import main

if __name__ == "__main__":
    sys.exit(main())
