"""A run that is killed at any boundary of a node goes on to the same result, every effect once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from killed_flow import HALTS, PARTIAL, STRONG, WHEN

CHILD = Path(__file__).parents[2] / "support" / "killed_flow.py"
ITEMS = {"all": [{"n": 0}, {"n": 1}]}
RESULT = {"strong": {"left": ITEMS, "right": ITEMS}, "partial": {"said": "approval"}}
EFFECTS = {
    "strong": sorted([*STRONG, "effect", "work"]),
    "partial": sorted(name for name in PARTIAL if name not in HALTS),
}
# The end of the last node is not written: the end of the run is.
# A run in partial mode has no record before it halts first: nothing is there to go on from.
PLACES = {
    "strong": [
        f"{node}:{when}" for node in STRONG for when in WHEN if (node, when) != ("both", "written")
    ],
    "partial": ["pause:written"] + [
        f"{node}:{when}" for node in PARTIAL[2:] for when in WHEN
        if when != "written" or node in HALTS
        if (node, when) != ("ask", "after") and (node, when) != ("call", "after")
    ],
}  # fmt: skip
SAMPLE = {
    "strong": ["trigger:before", "trigger:written", "fan:inside", "effect:after", "work:written",
               "collect:inside", "left:after", "right:written", "both:after"],
    "partial": ["pause:written", "first:after", "call:inside", "call:written", "second:before",
                "ask:written", "third:after"],
}  # fmt: skip


def sweep(folder: Path, mode: str, places: list[str]) -> list[dict[str, Any]]:
    command = [sys.executable, str(CHILD), str(folder), mode, *places]
    ended = subprocess.run(command, capture_output=True, timeout=900, check=False)
    assert (0, b"") == (ended.returncode, ended.stderr)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def hold(mode: str, found: list[dict[str, Any]], places: list[str]) -> None:
    assert places == [each["place"] for each in found]
    for each in found:
        assert (each["place"], -signal.SIGKILL, 0) == (each["place"], each["ends"][0],
                                                       each["ends"][-1])  # fmt: skip
        assert (each["place"], RESULT[mode]) == (each["place"], each["result"])
        assert (each["place"], EFFECTS[mode]) == (each["place"], each["effects"])


@pytest.mark.parametrize("mode", ["strong", "partial"])
def test_a_run_that_is_killed_at_a_node_goes_on_to_the_same_result(
    tmp_path: Path, mode: str
) -> None:
    assert set(SAMPLE[mode]) <= set(PLACES[mode])
    hold(mode, sweep(tmp_path, mode, SAMPLE[mode]), SAMPLE[mode])


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["strong", "partial"])
def test_a_run_that_is_killed_at_any_boundary_of_any_node_goes_on_to_the_same_result(
    tmp_path: Path, mode: str
) -> None:
    hold(mode, sweep(tmp_path, mode, PLACES[mode]), PLACES[mode])
