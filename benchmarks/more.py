"""`python -m benchmarks.more [PART ...]`: measure parts, then write `more-results.json`, `MORE.md`.

Promise: a part that was not asked for keeps its last results. Refusal: `--quick` writes nothing
into the checkout but what `--into` names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, progress
from benchmarks.daemon import install_pack
from benchmarks.machine import describe_machine
from benchmarks.more_parts import PARTS, Part
from benchmarks.more_report import render
from benchmarks.processes import ROOT
from benchmarks.sizes import FULL, QUICK, Sizes

RESULTS = "more-results.json"
REPORT = "MORE.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for; returns 0 even where a target is missed."""
    options = _options(arguments)
    into: Path = options.into or ROOT / (".run" if options.quick else "benchmarks")
    (ROOT / ".run").mkdir(exist_ok=True)
    for name in options.only or options.parts or PARTS:
        section = _measured(PARTS[name], QUICK if options.quick else FULL)
        results = {**_read(into / RESULTS), name: section}
        results = {each: results[each] for each in PARTS if each in results}
        (into / RESULTS).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        (into / REPORT).write_text(render(results), encoding="utf-8")
        for key, figure in section["spread"].items():
            progress(f"{key:<36} {figure['median']:>9.4g}  ({figure['min']:.4g} to "
                     f"{figure['max']:.4g}) {figure['unit']}")  # fmt: skip
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.more", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything work?")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="the same as naming parts")
    parser.add_argument("--into", type=Path, default=None, help="where the report goes")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return options


def _measured(part: Part, sizes: Sizes) -> dict[str, Any]:
    """Run a part and return its section: every figure with its runs, ratios and targets."""
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / ".run"))
    bench = Bench(directory, sizes)
    try:
        install_pack(directory)
        part.measure(bench)
    finally:
        shutil.rmtree(directory)
    ratios = {
        key: bench.ratio(above, below)
        for key, (above, below, _) in part.ratios.items()
        if above in bench.rounds and below in bench.rounds
    }
    promised = {target.key: target.compute(bench) for target in part.targets}
    spread = {key: figure for key, figure in (promised | ratios).items() if figure is not None}
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **describe_machine(),
        "took_s": round(time.monotonic() - began),
        "load_average": {"least": min(bench.loads), "most": max(bench.loads)},
        "spread": {key: figure.as_json() for key, figure in spread.items()},
        "figures": {name: figure.as_json() for name, figure in bench.figures().items()},
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(main())
