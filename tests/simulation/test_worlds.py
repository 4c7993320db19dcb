"""Two hundred worlds of real daemons under everything that may happen: the contract holds in each.

`python tests/simulation --seeds 10000` runs as many as a night allows; a seed that fails is
replayed by `python tests/simulation --seed N --verbose`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simworld.world import run_seed

SEEDS = 200
BLOCK = 20
REPLAYED = 5
DIES_AT_REST = 549
RUNNER = Path(__file__).parent
REPLAYS = f"""
from simworld.world import run_seed
for seed in range({REPLAYED}):
    print(run_seed(seed).digest)
"""


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_the_delivery_contract_holds_in_every_world(first: int) -> None:
    met: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        report = run_seed(seed)
        assert [] == report.problems, f"replay: python {RUNNER.name} --seed {seed} --verbose"
        met += report.facts
        met += report.deeds
    # A world in which nothing happens proves nothing.
    for what in ("sent", "effects", "pushed", "letters", "gaps", "cut", "power cut", "sidecar dies",
                 "conductor crashes", "clock"):  # fmt: skip
        assert met[what], f"{what} never happened in {BLOCK} worlds"


def test_a_seed_replays_bit_for_bit() -> None:
    first = [run_seed(seed) for seed in range(REPLAYED)]
    again = [run_seed(seed) for seed in range(REPLAYED)]
    assert [report.digest for report in first] == [report.digest for report in again]
    assert [report.lines for report in first] == [report.lines for report in again]
    assert REPLAYED == len({report.digest for report in first})


def test_a_seed_is_the_same_world_in_every_process() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", REPLAYS], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for hash_seed in ("0", "4242")
    ]  # fmt: skip
    digests = [[line for line in run.stdout.splitlines() if len(line) == 32] for run in runs]
    assert digests[0] == digests[1]
    assert REPLAYED == len(digests[0])


def test_the_runner_says_what_it_found_and_how_to_see_it_again() -> None:
    run = subprocess.run(
        [sys.executable, str(RUNNER), "--seeds", "3", "--jobs", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "3 seeds" in run.stdout
    assert "0 failed" in run.stdout


def test_a_sidecar_that_dies_while_the_world_is_looked_at_does_not_hold_it_up() -> None:
    report = run_seed(DIES_AT_REST)
    assert [] == report.problems
    assert report.virtual_s < 600


def test_a_world_that_does_not_end_is_stopped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simworld.world.WORLD_S", 20.0)
    assert ["the world did not end in 20 virtual s"] == run_seed(0).problems
