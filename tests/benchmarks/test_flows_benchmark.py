"""The flows benchmark runs, and its report is made from its results; no time is judged here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISED = {
    "s1_p50_vs_starlette": 2,
    "s1_p50_vs_starlette_alone": 2,
    "s1_p95_ms": 50,
    "sse_gap_p95_ms": 30,
    "memory_flat": 1.05,
    "validate_10000_s": 1,
    "validate_growth": 2,
}
OURS = {"ours_stream", "ours_run", "ours_strong"}
PATIENCE_S = 100


def asked(expression: str) -> Any:
    """Evaluate an expression where `benchmarks` can be imported."""
    imports = "import json, pathlib; from benchmarks.flows import contenders, flat, load, promises"
    code = f"{imports}, report, validating, durable; print(json.dumps({expression}))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a quick run has written its report."""
    into = tmp_path_factory.mktemp("report")
    command = [sys.executable, "-m", "benchmarks.flows", "--quick", "--no-peers", "--into", into]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert 0 == done.returncode, done.stderr
    return into


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "flows" / "results.json").read_text("utf-8"))
    return found


def test_every_promise_has_its_target_in_the_code() -> None:
    found = asked("{t.key: (t.bound, t.value) for t in promises.TARGETS}")
    assert {key: ["at most", value] for key, value in PROMISED.items()} == found


def test_the_sizes_are_those_that_are_promised() -> None:
    assert [1_000, 10_000, 100_000] == asked("validating.SIZES")
    assert [1_000_000, 100, 1_000] == asked("[flat.ITEMS, load.STREAMS, durable.RESUMED_NODES]")


def test_a_quick_run_measures_every_part_and_says_who_was_left_out(quick: Path) -> None:
    found = results(quick)
    peers = set(asked("[c.peer for c in contenders.CONTENDERS if c.peer]"))
    figures = asked("[f for f in promises.FIGURES if not f.startswith('validate')]")
    assert set() == (OURS | set(figures)) - set(found["figures"])
    assert peers == peers & set(found["notes"])
    assert {"machine", "date", "versions", "load_average", "peers"} <= set(found)


def test_the_report_is_what_the_results_give(quick: Path) -> None:
    file = f"pathlib.Path({str(quick / 'flows' / 'results.json')!r})"
    written = (quick / "FLOWS.md").read_text(encoding="utf-8")
    assert written == asked(f"report.render(json.loads({file}.read_text('utf-8')))")


def test_the_report_shows_its_plot_and_a_reason_for_every_target_that_is_missed(
    quick: Path,
) -> None:
    written = (quick / "FLOWS.md").read_text(encoding="utf-8")
    plot = re.search(r"!\[[^]]+\]\((?P<file>[^)]+\.svg)\)", written)
    assert plot is not None
    assert "<svg" in (quick / plot["file"]).read_text(encoding="utf-8")
    missed = re.findall(r"^\| `(\w+)` \|.*\*\*not met\*\* \|$", written, re.MULTILINE)
    explained = re.findall(r"^- `(\w+)`: \w", written, re.MULTILINE)
    assert missed == explained


def test_a_library_that_cannot_start_is_named_with_its_own_words() -> None:
    code = (
        "import tempfile; from pathlib import Path\n"
        "from benchmarks.flows.session import Session, answering\n"
        "from benchmarks.processes import MeasurementFailed\n"
        "from benchmarks.sizes import QUICK\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    try:\n"
        "        with answering(Session(Path(folder), QUICK), 'benchmarks.flows.nothing'): pass\n"
        "    except MeasurementFailed as error: print(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "No module named benchmarks.flows.nothing" in answer.stdout


def test_the_written_report_is_what_the_written_results_give() -> None:
    written = (ROOT / "benchmarks" / "FLOWS.md").read_text(encoding="utf-8")
    path = "pathlib.Path('benchmarks/flows/results.json')"
    assert written == asked(f"report.render(json.loads({path}.read_text('utf-8')))")
    found = results(ROOT / "benchmarks")
    assert set(PROMISED) <= set(found["spread"])
