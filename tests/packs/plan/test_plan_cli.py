"""`conductor plan` from the outside: the seed's evidence, refusals, exit codes, pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conductor_sidecar.cli.main import cli

DATA = Path(__file__).parents[2] / "data" / "plan"
FLOW, CONTRACT = "L3_PLAN_FLOW_001.json", "L3_CONTRACT_FLOW_001.json"


class Program:
    """The program in one workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scenarios = root / "scenarios"
        self.scenarios.mkdir(parents=True)
        for name in (FLOW, CONTRACT):
            shutil.copy(DATA / name, self.scenarios)

    def run(self, *words: str) -> Result:
        place = {"CONDUCTOR_WORKSPACE": str(self.root), "CONDUCTOR_ACTOR": "Liam"}
        return CliRunner().invoke(cli, list(words), env=place, standalone_mode=False)

    def plan(self, *words: str, code: int = 0) -> Any:
        """Return the answer, or with a code the error's object."""
        done = self.run("plan", *words)
        assert code == exit_code(done), done.output
        return json.loads(done.stdout) if code == 0 else json.loads(done.stderr)["error"]

    def scenario(self, name: str, **changes: Any) -> str:
        steps = json.loads((DATA / FLOW).read_text())
        for field, value in changes.items():
            if value is None:
                del steps[field]
            else:
                steps[field] = value
        (self.scenarios / name).write_text(json.dumps(steps))
        return name

    def verify(self) -> Mapping[str, Any]:
        done = self.run("log", "verify", "--json")
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found


def exit_code(done: Result) -> int:
    if isinstance(done.return_value, int):
        return done.return_value
    return done.exit_code


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "workspace")


def test_the_demonstration_gives_exactly_its_evidence(program: Program) -> None:
    made = program.plan("init-db")
    assert (True, ".lumenflow/state/conductor/journal.db") == (
        made["initialized"], str(Path(made["db_path"]).relative_to(program.root)),
    )  # fmt: skip
    assert {
        "plan_created": True, "items_added": 2, "links_added": 0, "item_updates": 1,
        "state_changes": 2, "exec_ready": 0, "exec_requests": 0, "exec_results": 0,
        "conflicts": 1, "events_written": 7, "plan_id": "P-L3-DEMO-001",
        "session_id": "SESSION-L3-DEMO-001", "task_id": "TASK-L3-PLAN-P0",
    } == program.plan("apply-scenario", FLOW)  # fmt: skip
    verdict = program.verify()
    assert ("OK", "OK", 7) == (verdict["chain"], verdict["state"], verdict["size"])
    [plan] = program.plan("list-plans")["plans"]
    assert ("P-L3-DEMO-001", "ACTIVE", 1) == (plan["plan_id"], plan["status"], plan["version"])
    items = program.plan("list-items", "--plan-id", "P-L3-DEMO-001")["items"]
    assert [("I-001", "DONE", 3), ("I-002", "TODO", 2)] == [
        (item["item_id"], item["state"], item["version"]) for item in items
    ]
    done = program.run("log", "session-timeline", "--session-id", "SESSION-L3-DEMO-001")
    assert "PLAN_CONFLICT_DETECTED" in done.stdout


def test_the_handshake_scenario_gives_five_entries_and_version_four(program: Program) -> None:
    counts = program.plan("apply-scenario", f"scenarios/{CONTRACT}")
    assert (5, 1, 1, 1) == (
        counts["events_written"], counts["exec_ready"], counts["exec_requests"],
        counts["exec_results"],
    )  # fmt: skip
    [item] = program.plan("list-items", "--plan-id", "P-L3-CONTRACT-001")["items"]
    assert ("TODO", 4, "EXEC_RESULT_RECORDED") == (
        item["state"], item["version"], item["exec_status"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [
        ("/etc/passwd", 2, "PLAN_SCENARIO_REFUSED"),
        ("../outside.json", 2, "PLAN_SCENARIO_REFUSED"),
        ("sub/../../outside.json", 2, "PLAN_SCENARIO_REFUSED"),
        ("~/outside.json", 2, "PLAN_SCENARIO_REFUSED"),
        ("link.json", 2, "PLAN_SCENARIO_REFUSED"),
        ("neighbour/in.json", 2, "PLAN_SCENARIO_REFUSED"),
        (".", 2, "PLAN_SCENARIO_REFUSED"),
        ("sub", 2, "PLAN_SCENARIO_REFUSED"),
        ("missing.json", 3, "PLAN_SCENARIO_MISSING"),
        ("workspace/scenarios/L3_PLAN_FLOW_001.json", 3, "PLAN_SCENARIO_MISSING"),
    ],
)
def test_a_scenario_elsewhere_is_refused(program: Program, name: str, code: int, word: str) -> None:
    outside = program.root.parent / "outside.json"
    outside.write_text((DATA / FLOW).read_text())
    neighbour = program.root / "scenarios-old"
    neighbour.mkdir()
    (neighbour / "in.json").write_text((DATA / FLOW).read_text())
    (program.scenarios / "link.json").symlink_to(outside)
    (program.scenarios / "neighbour").symlink_to(neighbour)
    (program.scenarios / "sub").mkdir()
    program.plan("init-db")
    assert word == program.plan("apply-scenario", name, code=code)["code"]
    assert 0 == program.verify()["size"]


def test_a_scenarios_directory_elsewhere_is_refused(program: Program) -> None:
    outside = program.root.parent / "outside"
    program.scenarios.rename(outside)
    program.scenarios.symlink_to(outside)
    assert "PLAN_SCENARIO_REFUSED" == program.plan("apply-scenario", FLOW, code=2)["code"]


def test_a_picture_that_cannot_be_written_is_a_json_error(program: Program) -> None:
    program.plan("apply-scenario", FLOW)
    words = ("graph", "--plan-id", "P-L3-DEMO-001", "--out")
    assert "PLAN_FILE_REFUSED" == program.plan(*words, "/nowhere/g.svg", code=1)["code"]
    assert "PLAN_INPUT_INVALID" == program.plan(*words, "g.png", code=2)["code"]
    target = program.root / "g.svg"
    assert str(target) == program.plan(*words, str(target))["path"]
    assert target.read_text().startswith("<svg ")


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": None},
        {"colour": "red"},
        {"plan": {"plan_id": "P", "title": "no owner"}},
        {"transitions": [{"item_id": "I-001", "to_state": "BANANA", "expected_version": 1}]},
        {"transitions": [{"item_id": "I-001", "to_state": "DONE"}]},
        {"transitions": [{"item_id": "I-9", "to_state": "DONE", "expected_version": 1}]},
        {"updates": [{"item_id": "I-002", "expected_version": 1, "patch": {"state": "DONE"}}]},
        {"exec_results": [{"item_id": "I-001", "expected_version": 1, "result": {"x": 0.5}}]},
        {"items": [{"item_id": "I-001", "plan_id": "P-2", "kind": "T", "title": "t",
                    "state": "TODO"}]},
    ],
)  # fmt: skip
def test_every_field_is_checked_before_the_first_write(
    program: Program, changes: dict[str, Any]
) -> None:
    program.plan("init-db")
    error = program.plan("apply-scenario", program.scenario("bad.json", **changes), code=2)
    assert "PLAN_SCENARIO_REFUSED" == error["code"]
    assert 0 == program.verify()["size"]


def test_a_conflict_that_does_not_come_undoes_the_scenario_with_exit_5(program: Program) -> None:
    current = [{"item_id": "I-002", "expected_version": 2, "patch": {"state": "IN_PROGRESS"}}]
    error = program.plan("apply-scenario", program.scenario("no.json", conflicts=current), code=5)
    assert ("PLAN_EXPECTATION_FAILED", "conflicts[0]") == (error["code"], error["data"]["step"])
    assert [] == program.plan("list-plans")["plans"]
    assert 0 == program.verify()["size"]


def test_an_unexpected_conflict_undoes_the_scenario_but_stays_in_the_journal(
    program: Program,
) -> None:
    stale = [{"item_id": "I-001", "expected_version": 7, "patch": {"title": "x"}}]
    done = program.run("plan", "apply-scenario", program.scenario("stale.json", updates=stale))
    assert 1 == exit_code(done)
    assert "updates[0]" == json.loads(done.stderr)["error"]["data"]["step"]
    assert [] == program.plan("list-plans")["plans"]
    tail = json.loads(program.run("log", "tail", "--json").stdout)
    assert "PLAN_CONFLICT_DETECTED" == tail["event_type"]


def test_a_scenario_is_not_applied_twice(program: Program) -> None:
    program.plan("apply-scenario", FLOW)
    assert "PLAN_ID_TAKEN" == program.plan("apply-scenario", FLOW, code=1)["code"]
    assert 7 == program.verify()["size"]


def test_another_file_must_be_inside_of_the_workspace(program: Program, tmp_path: Path) -> None:
    (program.root / "out").symlink_to(tmp_path)
    for place in ("/tmp/elsewhere.db", "../elsewhere.db", "out/elsewhere.db"):
        error = program.plan("list-plans", "--db", place, code=78)
        assert "WORKSPACE_UNSAFE" == error["code"]
    program.plan("init-db", "--db", "other.db")
    assert (program.root / "other.db").is_file()
    program.plan("--db", "other.db", "apply-scenario", FLOW)
    assert 1 == len(program.plan("list-plans", "--db", "other.db")["plans"])
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_reading_command_makes_no_file(program: Program) -> None:
    assert "PLAN_TABLES_MISSING" == program.plan("list-plans", code=3)["code"]
    assert not (program.root / ".lumenflow" / "state" / "conductor" / "journal.db").exists()


def test_wrong_words_are_json_errors_too(program: Program) -> None:
    assert "PLAN_INPUT_INVALID" == program.plan("show-plan", code=2)["code"]
    assert "PLAN_INPUT_INVALID" == program.plan("nothing-like-it", code=2)["code"]
    program.plan("init-db")
    assert "PLAN_NOT_FOUND" == program.plan("show-plan", "--plan-id", "P", code=3)["code"]


def test_a_working_day_from_the_command_line(program: Program) -> None:
    program.plan("create", "--plan-id", "P", "--title", "Day")
    for item in ("A", "B"):
        program.plan("add-item", "--plan-id", "P", "--item-id", item, "--title", item)
    link = program.plan("link", "--from-item-id", "B", "--to-item-id", "A")
    assert "A" == program.plan("next", "--plan-id", "P")["next"]["item_id"]
    claim = program.plan("claim", "--plan-id", "P", "--path", "src", "--ttl-s", "60")
    assert ("A", "Liam", 1, "claimed") == (
        claim["item_id"], claim["holder"], claim["token"], claim["status"],
    )  # fmt: skip
    held = program.plan("claim", "--item-id", "A", "--as", "Codex", code=6)
    assert "Liam" == held["data"]["holder"]
    program.plan("heartbeat", "--item-id", "A", "--token", "1")
    program.plan("reserve", "--item-id", "A", "--token", "1", "--path", "docs")
    move = ("transition", "--item-id", "A", "--to-state", "DONE", "--expected-version", "2")
    assert "PLAN_TOKEN_STALE" == program.plan(*move, code=1)["code"]
    assert 3 == program.plan(*move, "--token", "1")["version"]
    assert "B" == program.plan("next", "--plan-id", "P")["next"]["item_id"]
    assert "unlinked" == program.plan("unlink", "--link-id", link["link_id"])["status"]
    assert True is program.plan("explain", "--item-id", "B")["ready"]
    program.plan("mark-ready", "--item-id", "B", "--expected-version", "1")
    program.plan("record-request", "--item-id", "B", "--expected-version", "2",
                 "--payload", '{"run": "tests"}')  # fmt: skip
    program.plan("record-result", "--item-id", "B", "--expected-version", "3", "--result", "{}")
    shown = program.plan("show-plan", "--plan-id", "P")
    assert ["DONE", "TODO"] == [item["state"] for item in shown["items"]]
    updated = program.plan("update", "--item-id", "B", "--expected-version", "4",
                           "--assigned-to", "Codex", "--clear", "due_ts")  # fmt: skip
    assert {"assigned_to": {"from": None, "to": "Codex"}} == updated["changes"]
    program.plan("update-plan", "--plan-id", "P", "--expected-version", "1",
                 "--status", "ARCHIVED")  # fmt: skip
    assert "OK" == program.verify()["state"]


def test_the_same_key_is_the_same_item(program: Program) -> None:
    program.plan("create", "--plan-id", "P", "--title", "Keys")
    words = ("add-item", "--plan-id", "P", "--title", "one", "--idempotency-key", "k")
    first, again = program.plan(*words), program.plan(*words)
    assert (first["item_id"], True) == (again["item_id"], again["replayed"])
    assert (
        True is program.plan("add-item", "--plan-id", "P", "--title", "x", "--dry-run")["dry_run"]
    )
    assert 1 == len(program.plan("list-items", "--plan-id", "P")["items"])


def test_the_healthcheck_never_touches_the_workspace(program: Program) -> None:
    program.plan("apply-scenario", FLOW)
    before = program.verify()
    report = program.plan("healthcheck", "--extended")
    assert "GREEN" == report["status"]
    assert {"L3_PLAN_FLOW_001", "L3_CONTRACT_FLOW_001", "race", "replay"} <= {
        check["name"] for check in report["checks"]
    }
    assert before == program.verify()
    assert {".lumenflow", "scenarios"} == {each.name for each in program.root.iterdir()}


def test_nothing_known_is_not_healthy(program: Program) -> None:
    done = program.run("plan", "healthcheck")
    assert ("UNKNOWN", 3) == (json.loads(done.stdout)["status"], exit_code(done))
