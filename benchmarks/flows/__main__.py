"""`python -m benchmarks.flows`: measure, then write `FLOWS.md`, `flows/results.json` and the plot.

Promise: every temporary file lies below `.run/` of the checkout, on the disk that is measured, and
is removed. Refusal: `--quick` and `--only` write nothing into the checkout but what `--into` names.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import progress
from benchmarks.flows import chain, durable, flat, report, validating, web
from benchmarks.flows.session import Session
from benchmarks.machine import describe_machine
from benchmarks.processes import ROOT
from benchmarks.sizes import FULL, QUICK

PARTS = {
    "chain": chain.measure, "durable": durable.measure, "memory": flat.measure,
    "validate": validating.measure, "web": web.measure,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for; returns 0 even where a target is missed."""
    options = _options(arguments)
    began = time.monotonic()
    (ROOT / ".run").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / ".run"))
    session = Session(directory, QUICK if options.quick else FULL, peers=not options.no_peers)
    try:
        for name in options.only or PARTS:
            PARTS[name](session)
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # servers of others may still be writing
    results = report.build(session, describe_machine(), time.monotonic() - began)
    if options.only is None:
        into: Path = options.into or ROOT / (".run" if options.quick else "benchmarks")
        report.write(results, into)
    for key, found in results["spread"].items():
        progress(f"{key:<28} {found['median']:>9.4g}  ({found['min']:.4g} to {found['max']:.4g})")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flows", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything work?")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts; nothing is written")
    parser.add_argument("--no-peers", action="store_true", help="leave the other libraries out")
    parser.add_argument("--into", type=Path, help="where the report goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
