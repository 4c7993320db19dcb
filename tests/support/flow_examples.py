"""The flows under `examples/flows`, loaded as a command would load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conductor_flows.execute.program import Program
from conductor_flows.host.loading import load
from house import ROOT

FOLDER = ROOT / "examples" / "flows"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/flow.py"))


def program(name: str) -> Program:
    """Load the flow of an example."""
    return load("flow.py:flow", folder=FOLDER / name)


def payload(name: str) -> Any:
    """Read the payload that an example ships."""
    return json.loads((FOLDER / name / "payload.json").read_text(encoding="utf-8"))


def folder(name: str) -> Path:
    """Return the folder of an example."""
    return FOLDER / name
