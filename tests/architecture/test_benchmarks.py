"""The benchmark's report: complete, and made from its results."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PROMISED = {
    "durable_receive_vs_raw": ("at least", 0.5),
    "durable_receive_vs_naive": ("at least", 80),
    "filled_log_vs_empty": ("at least", 0.6),
    "drain_vs_one_by_one": ("at least", 20),
    "push_concurrent_vs_sequential": ("at least", 50),
    "ack_p50_vs_fdatasync": ("at most", 2),
    "rss_flood_mb": ("at most", 60),
    "rss_million_queued_mb": ("at most", 60),
    "help_ms": ("at most", 150),
    "ready_ms": ("at most", 400),
}


def asked(expression: str) -> object:
    """Evaluate an expression where `benchmarks` can be imported, as `make bench` does."""
    imports = "import json; from benchmarks import report, results, targets"
    code = f"{imports}; print(json.dumps({expression}))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(answer.stdout)


def test_every_promise_has_its_target_in_the_code() -> None:
    found = asked("{t.key: (t.bound, t.value) for t in targets.TARGETS}")
    assert {key: list(target) for key, target in PROMISED.items()} == found


def test_the_results_hold_every_promised_ratio_with_its_runs_and_where_it_was_measured() -> None:
    results = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))
    assert set(PROMISED) == set(results["ratios"])
    assert all(len(spread["runs"]) >= 3 for spread in results["spread"].values())
    assert {"machine", "date", "versions", "load_average", "sizes", "figures"} <= set(results)


def test_the_report_is_what_the_results_give() -> None:
    written = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert written == asked("report.render(results.read_results(report.Path('benchmarks')))")


def test_the_report_shows_its_plot_and_a_reason_for_every_target_that_is_missed() -> None:
    written = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    plot = re.search(r"!\[[^]]+\]\((?P<file>[^)]+\.svg)\)", written)
    assert plot is not None
    assert "<svg" in (BENCHMARKS / plot["file"]).read_text(encoding="utf-8")
    missed = re.findall(r"^\| `(\w+)` \|.*\*\*not met\*\* \|$", written, re.MULTILINE)
    explained = re.findall(r"^- `(\w+)`: (?!no reason)", written, re.MULTILINE)
    assert missed == explained
