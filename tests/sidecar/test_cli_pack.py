"""`conductor pack …` and `conductor packs`, without a daemon and without enrollment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from typed import Ran, shown

BROKEN = """
id: acme-jobs
version: 0.1.0
emitted_event_kinds: ['other:job_completed', 'acme-jobs:job_started']
surfaces_required: [fax]
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in sys.modules if name.split(".")[0] == "acme_jobs"]:
        del sys.modules[name]


@pytest.fixture
def conductor(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return partial(shown, capsys)


@pytest.fixture
def project(conductor: Any, place: Path) -> Path:
    assert conductor("pack", "new", "acme-jobs").code == 0
    return place / "acme-jobs"


def manifest(project: Path) -> Path:
    return project / "src" / "acme_jobs" / "manifest.yaml"


def test_a_new_pack_validates_and_conforms_as_it_stands(conductor: Any, project: Path) -> None:
    assert conductor("pack", "validate", str(project)).code == 0
    tested = conductor("pack", "test", "acme-jobs", "--json")
    assert tested.code == 0
    [report] = tested.json["packs"]
    assert (report["slug"], report["passed"]) == ("acme-jobs", True)
    assert {"manifest", "emit", "undeclared", "outcome", "replay", "crash", "cancel", "state"} == {
        result["name"] for result in report["results"]
    }


def test_a_new_pack_may_go_elsewhere(conductor: Any, place: Path) -> None:
    made = conductor("pack", "new", "acme-jobs", "--directory", "a/b")
    assert (made.code, (place / "a" / "b" / "pyproject.toml").is_file()) == (0, True)
    assert "next: conductor pack validate a/b" in made.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme", "PACK_NAME_REFUSED"),
        ("../acme", "PACK_NAME_REFUSED"),
        ("conductor", "belongs to the daemon"),
        ("json", "is taken by Python"),
        ("class", "is taken by Python"),
        ("tests", "is taken by Python"),
        ("conductor-sdk", "choose another name, for example: sdk"),
        ("a" * 65, "PACK_NAME_REFUSED"),
    ],
)
def test_a_name_that_cannot_be_a_packs_is_refused(
    conductor: Any, place: Path, name: str, said: str
) -> None:
    refused = conductor("pack", "new", name)
    assert (refused.code, said in refused.err) == (2, True)
    assert list(place.iterdir()) == []


def test_an_existing_project_is_never_touched(conductor: Any, project: Path) -> None:
    manifest(project).write_text("mine")
    refused = conductor("pack", "new", "acme-jobs")
    assert (refused.code, "DIRECTORY_OCCUPIED" in refused.err) == (1, True)
    assert manifest(project).read_text() == "mine"


def test_validate_lists_every_reason_with_its_fix(conductor: Any, project: Path) -> None:
    manifest(project).write_text(BROKEN)
    refused = conductor("pack", "validate", str(project))
    assert refused.code == 1
    assert "refused: 5 problems" in refused.out
    answer = conductor("pack", "validate", str(project), "--json")
    [pack] = answer.json["packs"]
    found = [(problem["code"], problem["data"]["value"]) for problem in pack["problems"]]
    assert found == [
        ("PACK_SLUG_MISMATCH", "other:job_completed"),
        ("BACKPRESSURE_MISSING", "other:job_completed"),
        ("BACKPRESSURE_MISSING", "acme-jobs:job_started"),
        ("HANDLER_EXTRA", "conductor:recovery_requested"),
        ("SURFACE_UNAVAILABLE", "fax"),
    ]
    assert (answer.code, pack["valid"], all(each["hint"] for each in pack["problems"])) == (
        1, False, True,
    )  # fmt: skip


def test_validate_shows_every_bad_key_of_a_manifest(conductor: Any, project: Path) -> None:
    manifest(project).write_text("id: acme-jobs\nversion: one\nemited_event_kinds: []\n")
    shown = conductor("pack", "validate", str(project)).out
    assert "/version: String should match pattern" in shown
    assert "/emited_event_kinds: unknown key; did you mean emitted_event_kinds?" in shown


def test_a_pack_that_breaks_the_contract_fails_its_test(conductor: Any, project: Path) -> None:
    handlers = project / "src" / "acme_jobs" / "handlers.py"
    text = handlers.read_text().replace("if await ctx.replay_log.has(replay_key):", "if False:")
    handlers.write_text(text)
    failed = conductor("pack", "test", str(project))
    assert failed.code == 5
    assert "FAIL replay conductor:recovery_requested (sample 1)" in failed.out
    assert "handler called twice" in failed.out
    assert "acme-jobs 0.1.0 does not conform: 12 of 13 checks passed" in failed.out


def test_a_pack_that_would_not_load_is_not_tested(conductor: Any, project: Path) -> None:
    manifest(project).write_text(BROKEN)
    refused = conductor("pack", "test", str(project))
    assert (refused.code, "SURFACE_UNAVAILABLE" in refused.out) == (1, True)
    assert conductor("pack", "test", str(project), "--json").json["packs"][0]["valid"] is False


def test_samples_may_stand_in_a_file_of_the_project(conductor: Any, project: Path) -> None:
    file = project / "conformance.json"
    file.write_text('{"conductor:recovery_requested": [{"wu_id": "acme-jobs-7"}]}')
    tested = conductor("pack", "test", str(project), "--json")
    samples = {result["sample"] for result in tested.json["packs"][0]["results"]}
    assert (tested.code, samples) == (0, {None, 1})
    file.write_text("[]")
    refused = conductor("pack", "test", str(project))
    assert (refused.code, "conformance.json" in refused.err) == (78, True)


@pytest.mark.parametrize("name", ["acme-demo", "acme_demo"])
def test_the_built_in_pack_conforms_by_its_id(conductor: Any, name: str) -> None:
    assert "valid" in conductor("pack", "validate", name).out
    tested = conductor("pack", "test", name)
    assert (tested.code, "acme-demo 0.1.0 conforms" in tested.out) == (0, True)


@pytest.mark.parametrize("what", ["no-such-pack", "."])
@pytest.mark.parametrize("command", ["validate", "test"])
def test_what_is_not_there_exits_3(conductor: Any, command: str, what: str) -> None:
    missing = conductor("pack", command, what)
    assert (missing.code, "PACK_NOT_FOUND" in missing.err) == (3, True)


def test_packs_shows_what_is_loaded(conductor: Any) -> None:
    shown = conductor("packs")
    assert (shown.code, "acme-demo 0.1.0" in shown.out) == (0, True)
    assert "acme-demo:job_queued (queue)" in shown.out
    loaded = {pack["slug"]: pack for pack in conductor("packs", "--json").json["loaded"]}
    assert loaded["acme-demo"]["subscribes"] == ["conductor:recovery_requested"]


def test_packs_shows_what_the_configuration_turns_off(conductor: Any, place: Path) -> None:
    (place / "conductor.toml").write_text("[packs]\ndisabled = ['acme-demo']\n")
    answer = conductor("packs", "--json").json
    assert [pack["slug"] for pack in answer["loaded"] if pack["slug"] == "acme-demo"] == []
    assert "acme_demo" in [pack["name"] for pack in answer["disabled"]]
    assert "turned off by packs.disabled" in conductor("packs").out


def test_packs_says_why_a_pack_is_not_loaded(conductor: Any, place: Path) -> None:
    (place / "conductor.toml").write_text("[packs]\nsurfaces_disabled = ['http']\n")
    answer = conductor("packs", "--json").json
    reasons = {each["name"]: each["problems"][0]["code"] for each in answer["refused"]}
    assert reasons["acme_demo"] == "SURFACE_UNAVAILABLE"
    assert "fix: enable the surface" in conductor("packs").out
