"""The second benchmark report: its targets, and that it is made from its results."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PROMISED = {
    "verify": ("at most", 10, "s"),
    "verify_command": ("at most", 10, "s"),
    "ready_10000": ("at most", 1000, "ms"),
    "critical_path_10000": ("at most", 1000, "ms"),
}
GROWTH = [100, 1_000, 10_000, 100_000]


def asked(expression: str) -> object:
    """Evaluate an expression where `benchmarks` can be imported."""
    imports = "import json; from pathlib import Path; from benchmarks import more_parts"
    code = f"{imports}, more_report, journal, plan; print(json.dumps({expression}))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return json.loads(answer.stdout)


def results() -> dict[str, dict[str, dict[str, dict[str, list[float]]]]]:
    found: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = json.loads(
        (BENCHMARKS / "more-results.json").read_text("utf-8")
    )
    return found


def test_every_promise_has_its_target_in_the_code() -> None:
    found = asked(
        "{t.key: [t.bound, t.value, t.unit] for p in more_parts.PARTS.values() for t in p.targets}"
    )
    assert {key: list(target) for key, target in PROMISED.items()} == found


def test_a_million_entries_are_verified_and_plans_of_every_size_are_asked() -> None:
    assert 1_000_000 == asked("journal.FULL.verified")
    assert GROWTH == asked("plan.FULL.items")


def test_the_results_hold_every_part_with_every_ratio_and_its_runs() -> None:
    found = results()
    ratios = asked("{name: list(part.ratios) for name, part in more_parts.PARTS.items()}")
    assert isinstance(ratios, dict)
    assert list(ratios) == list(found)
    for name, keys in ratios.items():
        assert set(keys) <= set(found[name]["spread"])
        assert all(len(figure["runs"]) >= 3 for figure in found[name]["spread"].values())


def test_the_report_is_what_the_results_give() -> None:
    path = "Path('benchmarks/more-results.json').read_text('utf-8')"
    written = (BENCHMARKS / "MORE.md").read_text(encoding="utf-8")
    assert written == asked(f"more_report.render(json.loads({path}))")
