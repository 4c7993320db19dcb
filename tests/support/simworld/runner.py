"""Worlds from the command line: many for a night, or one again to look at it.

python tests/simulation --seeds 10000           until the first seed that fails
python tests/simulation --seed 17 --verbose     one seed, with everything that happens
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import time
from collections import Counter

import structlog

from simworld.world import DEEDS, Report, run_seed

EVERY_S = 10.0
"""Between two lines of progress."""
COLLECT_EVERY = 20


def main() -> int:
    """Return 0 if every world held, 5 if one did not."""
    parser = argparse.ArgumentParser(
        prog="python tests/simulation", description="Run simulated worlds."
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run only this one")
    parser.add_argument("--deeds", type=int, default=DEEDS, help="things that happen to a world")
    parser.add_argument("--verbose", action="store_true", help="show everything that happens")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    given = parser.parse_args()
    _quiet()
    if given.seed is not None:
        return _one(given.seed, given.deeds, verbose=given.verbose)
    return _many(range(given.first, given.first + given.seeds), given.deeds, given.jobs)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  this is a command


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _one(seed: int, deeds: int, *, verbose: bool) -> int:
    report = run_seed(seed, _say if verbose else None, deeds=deeds)
    _say(f"seed {seed}: {report.digest}, {report.lines} lines, {report.virtual_s:.0f} virtual s")
    _say(f"  {dict(report.facts)}\n  {dict(report.deeds)}")
    for problem in report.problems:
        _say(f"  BROKEN {problem}")
    return 5 if report.problems else 0


def _run(order: tuple[int, int]) -> Report:
    seed, deeds = order
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    return run_seed(seed, deeds=deeds)


def _many(seeds: range, deeds: int, jobs: int) -> int:
    began = told = time.monotonic()
    total: Counter[str] = Counter()
    done, virtual_s = 0, 0.0
    spawning = multiprocessing.get_context("spawn")
    with spawning.Pool(jobs, initializer=_quiet, maxtasksperchild=500) as pool:
        for report in pool.imap_unordered(_run, [(seed, deeds) for seed in seeds], chunksize=4):
            done += 1
            virtual_s += report.virtual_s
            total += report.facts
            if report.problems:
                return _failed(report, deeds)
            if time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                _say(f"{done} of {len(seeds)} seeds, {told - began:.0f} s")
    hours = virtual_s / 3600
    _say(f"{done} seeds, 0 failed, {time.monotonic() - began:.0f} s for {hours:.0f} virtual hours")
    _say(f"  {dict(total)}")
    return 0


def _failed(report: Report, deeds: int) -> int:
    _say(f"seed {report.seed} FAILED")
    for problem in report.problems[:20]:
        _say(f"  {problem}")
    more = "" if deeds == DEEDS else f" --deeds {deeds}"
    _say(f"replay: python tests/simulation --seed {report.seed}{more} --verbose")
    return 5
