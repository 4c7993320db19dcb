"""`python -m benchmarks`: measure, then write `results.json`, `README.md` and the plot.

Promise: every temporary file lies below `.run/` of the checkout, on the disk that is measured, and
is removed. Refusal: `--quick` and `--only` write nothing into the checkout but what `--into` names.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import downward, footprint, latency, upward
from benchmarks.bench import Bench, progress
from benchmarks.daemon import install_pack
from benchmarks.machine import describe_machine
from benchmarks.processes import ROOT
from benchmarks.report import write_report
from benchmarks.results import build_results, write_results
from benchmarks.sizes import FULL, QUICK
from benchmarks.targets import TARGETS

PARTS = {
    "footprint": footprint.measure, "latency": latency.measure,
    "downward": downward.measure, "upward": upward.measure,
}  # fmt: skip


def main() -> int:
    """Run the parts that were asked for; returns 0 even where a target is missed."""
    arguments = _arguments()
    began = time.monotonic()
    (ROOT / ".run").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / ".run"))
    bench = Bench(directory, QUICK if arguments.quick else FULL)
    try:
        install_pack(directory)
        for name in arguments.only or PARTS:
            PARTS[name](bench)
    finally:
        shutil.rmtree(directory)
    if set(arguments.only or PARTS) == set(PARTS):
        results = build_results(bench, describe_machine(), time.monotonic() - began)
        write_results(results, arguments.into)
        write_report(arguments.into)
    _tell(bench)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything work?")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts; nothing is written")
    parser.add_argument("--into", type=Path, default=None, help="where the report goes")
    arguments = parser.parse_args()
    if arguments.into is None:
        arguments.into = ROOT / (".run" if arguments.quick else "benchmarks")
    return arguments


def _tell(bench: Bench) -> None:
    for target in TARGETS:
        try:
            figure = target.compute(bench)
        except KeyError:
            continue  # that part was not asked for
        if figure is not None:
            verdict = "met" if target.met(figure.median) else "NOT MET"
            spread = f"{min(figure.runs):.4g} to {max(figure.runs):.4g}"
            progress(
                f"{target.key:<32} {figure.median:>8.4g}  ({spread})  "
                f"{target.bound} {target.value:g}  {verdict}"
            )


if __name__ == "__main__":
    sys.exit(main())
