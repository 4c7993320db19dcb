"""The alert rules: promtool takes them, every one fires when it should and not when all is well."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from conductor_sidecar.health.answers import Code
from expressions import RULES, rules, unknown
from house import ROOT
from promtool import promtool

QUIET = Path(__file__).parent / "alerts_test.yml"
SIDECAR = 'job="conductor-sidecar", instance="a"'
STEP_S = 30
EVENTS = "conductor_sidecar_events"
HANDLERS = "conductor_sidecar_handler_duration_seconds_count"
TOOLS = "conductor_sidecar_tool_call_duration_seconds_count"


class Case(NamedTuple):
    """A series of samples, 30 s apart, and what comes of it."""

    alert: str
    series: dict[str, str]
    """Name and labels to values in promtool's notation."""
    quiet_at: str | None
    """A time at which it does not fire yet; None: it fires at once."""
    fires_at: str
    labels: dict[str, str] | None = None
    """Beside job and instance."""


def reason(code: str) -> dict[str, str]:
    return {f'conductor_sidecar_health_reason{{code="{code}"}}': "0 1x200"}


def slow(stem: str, label: str = "") -> dict[str, str]:
    """Half of what is measured takes a second."""
    stem, extra = f"conductor_sidecar_{stem}_bucket", f"{label}, " if label else ""
    return {
        f'{stem}{{{extra}le="0.1"}}': "0+5x200", f'{stem}{{{extra}le="1"}}': "0+10x200",
        f'{stem}{{{extra}le="+Inf"}}': "0+10x200",
    }  # fmt: skip


CASES = [
    Case("Down", {"up": "1 0x200"}, "1m", "4m"),
    Case("Stuck", {'conductor_sidecar_health{check="live"}': "1 0x200"}, "1m", "3m",
         {"check": "live"}),
    Case("LinkDown", reason("link_down"), "10m", "20m", {"code": "link_down"}),
    Case("LinkDown", reason("link_silent"), "10m", "20m", {"code": "link_silent"}),
    Case("Deaf", {'conductor_sidecar_health{check="hearing"}': "1 0x200"}, "2m", "4m",
         {"check": "hearing"}),
    Case("DiskFull", reason("disk_full"), "30s", "2m", {"code": "disk_full"}),
    Case("StoreFailing", reason("store_failing"), "1m", "3m", {"code": "store_failing"}),
    Case("EventsUnaccountedFor", {"conductor_sidecar_conservation_holds": "1 0x200"}, "1m", "3m"),
    Case("EventsDropped",
         {f'{EVENTS}_dropped_total{{direction="inbound", kind="k", reason="rejected"}}':
          "_x60 3x200"}, "29m", "31m", {"direction": "inbound", "reason": "rejected"}),
    Case("EventsDropped",
         {f'{EVENTS}_dropped_total{{direction="outbound", kind="k", reason="overflow"}}':
          "5x60 6x200"}, "29m", "31m", {"direction": "outbound", "reason": "overflow"}),
    Case("DeadLetters", {f'{EVENTS}_dead_lettered{{direction="inbound", kind="k"}}': "2x60 3x200"},
         "29m", "31m"),
    Case("DeadLetters", {f'{EVENTS}_dead_lettered{{direction="inbound", kind="k"}}': "_x60 1x200"},
         "29m", "31m"),
    Case("OutboxOld", {"conductor_sidecar_outbox_oldest_age_seconds": "0+30x200"}, "15m", "25m"),
    Case("HandlersBehind", reason("lanes_full"), "9m", "12m", {"code": "lanes_full"}),
    Case("HandlersFailing",
         {f'{HANDLERS}{{pack="p", kind="k", outcome="handled"}}': "0+80x200",
          f'{HANDLERS}{{pack="p", kind="k", outcome="timeout"}}': "0+20x200"},
         "9m", "25m", {"pack": "p"}),
    Case("ToolsFailing",
         {f'{TOOLS}{{tool="t:u", outcome="success"}}': "0+2x200",
          f'{TOOLS}{{tool="t:u", outcome="failure"}}': "0+8x200"}, "9m", "25m", {"tool": "t:u"}),
    Case("Reconnecting", {"conductor_sidecar_link_connections_total": "1x20 1+1x200"}, "9m", "25m"),
    Case("HistoryGap", {"conductor_sidecar_gaps_total": "0x60 1x200"}, "29m", "35m"),
    Case("ApprovalsWaiting", {"conductor_sidecar_approvals_pending": "0 2x300"}, "50m", "70m"),
    Case("SlowCommits", slow("store_commit_duration_seconds", 'store="s"'), "9m", "25m",
         {"store": "s"}),
    Case("LoopLag", slow("loop_lag_seconds"), "9m", "25m"),
    Case("Memory", {"process_resident_memory_bytes": "60000000 900000000x200"}, "9m", "12m"),
    Case("FilesRunOut", {"process_open_fds": "10 900x200", "process_max_fds": "1000x201"},
         "9m", "12m"),
]  # fmt: skip
SEVERITY = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def with_sidecar(name: str) -> str:
    """Add job and instance to a series' labels."""
    stem, _, rest = name.partition("{")
    return f"{stem}{{{SIDECAR}, {rest}" if rest else f"{stem}{{{SIDECAR}}}"


def firing(case: Case) -> dict[str, str]:
    labels = {"job": "conductor-sidecar", "instance": "a", **(case.labels or {})}
    return {**labels, "severity": SEVERITY[f"ConductorSidecar{case.alert}"]}


def promtool_test(case: Case) -> dict[str, Any]:
    """Return a case in the notation of promtool; the annotations are looked at elsewhere."""
    name = f"ConductorSidecar{case.alert}"
    sample = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
    labels = ", ".join(f'{key}="{value}"' for key, value in firing(case).items())
    fired = f'ALERTS{{alertname="{name}", alertstate="firing", {labels}}}'
    looks: list[dict[str, Any]] = [
        {"eval_time": case.fires_at, "expr": sample,
         "exp_samples": [{"labels": fired, "value": 1}]},
    ]  # fmt: skip
    if case.quiet_at is not None:
        looks.append({"eval_time": case.quiet_at, "expr": sample, "exp_samples": []})
    return {
        "name": name, "interval": f"{STEP_S}s",
        "input_series": [
            {"series": with_sidecar(series), "values": values}
            for series, values in case.series.items()
        ],
        "promql_expr_test": looks,
    }  # fmt: skip


def test_promtool_takes_the_rules() -> None:
    checked = promtool("check", "rules", RULES)
    assert (0, True) == (checked.returncode, "SUCCESS" in checked.stdout), checked.stderr


def test_nothing_fires_while_all_is_well() -> None:
    checked = promtool("test", "rules", QUIET)
    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    file = tmp_path / "fires.yml"
    file.write_text(yaml.safe_dump({
        "rule_files": [str(RULES)], "evaluation_interval": f"{STEP_S}s",
        "tests": [promtool_test(case) for case in CASES],
    }))  # fmt: skip
    checked = promtool("test", "rules", file)
    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_no_alert_is_left_untried() -> None:
    named = {rule["alert"] for rule in rules()}
    assert named == {f"ConductorSidecar{case.alert}" for case in CASES}
    quiet = yaml.safe_load(QUIET.read_text("utf-8"))["tests"][0]["alert_rule_test"]
    assert named == {test["alertname"] for test in quiet}


def test_a_rule_that_is_wrong_is_found_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(RULES.read_text("utf-8").replace("== 0", "== ) 0", 1))
    assert 0 != promtool("check", "rules", broken).returncode


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_uses_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert [] == unknown(rule["expr"])


def test_codes_and_checks_in_rules_are_those_of_health() -> None:
    text = RULES.read_text("utf-8")
    codes = {code for found in re.findall(r'code=~?"([^"]+)"', text) for code in found.split("|")}
    assert codes <= {str(code) for code in Code}
    assert set(re.findall(r'check="([^"]+)"', text)) <= {"live", "ready", "hearing"}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert {"summary", "description"} == set(rule["annotations"])
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
    page = (ROOT / "docs/how-to/watch.md").read_text("utf-8")
    assert set() == {rule["alert"] for rule in rules()} - set(re.findall(r"`(\w+)`", page))


def test_promtool_is_the_one_of_the_installed_package() -> None:
    done = subprocess.run(
        ["sh", ROOT / "tests/servers/install-prometheus.sh"], check=False, timeout=300
    )
    assert 0 == done.returncode
