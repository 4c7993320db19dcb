"""`results.json`: every figure with its spread and runs, and the promised ratios.

Promise: the report is made from this file alone. Refusal: no number is rounded away: all runs stay.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.targets import TARGETS

NAME = "results.json"


def build_results(bench: Bench, machine: Mapping[str, object], took_s: float) -> dict[str, Any]:
    """Put together what is written."""
    computed = {target.key: target.compute(bench) for target in TARGETS}
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **machine,
        "took_s": round(took_s),
        "load_average": {"least": min(bench.loads), "most": max(bench.loads)},
        "sizes": asdict(bench.sizes),
        "ratios": {
            key: None if figure is None else figure.as_json()["median"]
            for key, figure in computed.items()
        },
        "spread": {key: figure.as_json() for key, figure in computed.items() if figure is not None},
        "figures": {name: figure.as_json() for name, figure in bench.figures().items()},
    }


def write_results(results: Mapping[str, Any], directory: Path) -> None:
    """Write the file."""
    text = json.dumps(results, indent=2) + "\n"
    (directory / NAME).write_text(text, encoding="utf-8")


def read_results(directory: Path) -> dict[str, Any]:
    """Read the file back."""
    results: dict[str, Any] = json.loads((directory / NAME).read_text(encoding="utf-8"))
    return results
