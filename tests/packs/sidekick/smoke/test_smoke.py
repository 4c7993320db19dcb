"""The smoke walk: against its own sidecar, a running one, and one that answers wrongly."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from conductor_packs.sidekick.smoke.errors import SidecarNotReady
from conductor_packs.sidekick.smoke.own_sidecar import own_sidecar
from conductor_packs.sidekick.smoke.readiness import markdown, readiness
from conductor_packs.sidekick.smoke.run import smoke
from conductor_packs.sidekick.smoke.steps import STEPS
from conductor_packs.sidekick.smoke.walk import walk
from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.pack_hash import tree_hash
from conductor_sdk.workspace import resolve_workspace
from running import Running, environment

PACK = Path(__file__).parents[4] / "packs" / "conductor_packs" / "sidekick"
PLAN = (
    "sidekick:init", "task:create", "task:list", "memory:store", "memory:recall",
    "channel:configure", "channel:send", "routine:create", "routine:run", "sidekick:status",
    "sidekick:export",
)  # fmt: skip


def test_the_walk_begins_with_the_eleven_steps_of_the_plan() -> None:
    assert tuple(step.tool for step in STEPS[:11]) == PLAN


def test_the_command_starts_a_sidecar_of_its_own_and_writes_a_report(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["conductor", "sidekick", "smoke", "--report", "out"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert all(len(line) <= 80 for line in ran.stdout.splitlines())
    report = json.loads((tmp_path / "out" / "readiness.json").read_text())
    assert (report["passed"], report["own_sidecar"], len(report["steps"])) == (
        True,
        True,
        len(STEPS),
    )
    assert report["hashes"]["pack"] == tree_hash(PACK)
    assert set(report["versions"]) == {"conductor", "python", "pack", "contract"}
    text = (tmp_path / "out" / "readiness.md").read_text()
    assert text.startswith("# Sidekick is ready\n")
    assert report["hashes"]["schemas"] in text
    assert not (tmp_path / ".sidekick").exists()


def test_a_running_sidecar_is_used_and_left_running(tmp_path: Path) -> None:
    with Running("exec conductor sidecar --adapter memory", tmp_path, environment()) as running:
        running.wait_for("ready")
        for _ in range(2):
            report = smoke(tmp_path, strict=True)
            assert (report.passed, report.own_sidecar) == (True, False)
        assert resolve_workspace(tmp_path).root == tmp_path
    assert (tmp_path / ".sidekick" / "tasks" / "tasks.json").is_file()


def test_a_named_workspace_without_a_sidecar_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(SidecarUnreachable):
        smoke(tmp_path, strict=True)


def test_a_step_that_fails_is_named_and_what_needs_it_is_skipped() -> None:
    wrong = replace(STEPS[1], given=lambda _: {"title": ""})
    with own_sidecar() as workspace:
        results = walk(workspace, "mark", SystemClock(), (STEPS[0], wrong, *STEPS[2:4]))
    assert [result.result for result in results] == ["pass", "fail", "skip", "pass"]
    assert (results[1].status, "INVALID_INPUT" in results[1].detail) == (400, True)
    report = readiness(results, at="now", workspace=Path("/ws"), own_sidecar=True)
    assert (report.passed, "# Sidekick is not ready" in markdown(report)) == (False, True)
    assert "## What failed" in markdown(report)


def test_an_id_that_was_not_learned_skips_the_step(tmp_path: Path) -> None:
    results = walk(resolve_workspace(tmp_path), "mark", SystemClock(), STEPS)
    kinds = {result.name: result.result for result in results}
    assert (kinds["initialise"], kinds["plan the routine"]) == ("fail", "skip")
    assert "pass" not in kinds.values()


def test_a_sidecar_that_does_not_start_is_reported_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUCTOR_LINK__ADAPTER", "memory")
    monkeypatch.setenv("CONDUCTOR_DRAIN__DEADLINE_S", "minus one")
    with pytest.raises(SidecarNotReady, match="drain"), own_sidecar():
        pass
