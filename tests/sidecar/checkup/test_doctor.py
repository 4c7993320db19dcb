"""The doctor as a whole: every check is made, none hides another, mends touch no data."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from conductor_sdk.workspace import Workspace
from conductor_sidecar import doctor as doctor_module
from conductor_sidecar.checkup.finding import Check, Finding, Mend, fail, ok, warn
from conductor_sidecar.checkup.registry import CHECKS
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.doctor import Doctor
from house import ROOT


def check(check_id: str, look: object, mend: Mend | None = None) -> Check:
    return Check(check_id, check_id, "fail", "Looks.", look, mend)  # type: ignore[arg-type]


def test_there_are_many_checks_and_each_is_named_once() -> None:
    ids, names = [each.id for each in CHECKS], [each.name for each in CHECKS]

    assert len(CHECKS) >= 25
    assert (len(ids), len(names)) == (len(set(ids)), len(set(names)))
    assert all(each.sentence.endswith(".") and each.id.count(".") == 1 for each in CHECKS)


def test_in_an_empty_workspace_every_check_is_made_and_nothing_is_written(scene: Scene) -> None:
    found = Doctor(scene).examine()

    assert [each.id for each in CHECKS] == [each.id for each in found]
    assert [] == [each for each in found if each.state == "fail"]
    assert [] == [each for each in found if each.state in {"warn", "fail"} and not each.hint]
    assert [] == list(scene.workspace.root.iterdir())


def test_no_check_finds_worse_than_its_severity(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    workspace.sidecar_db.write_bytes(b"nonsense" * 100)
    workspace.journal_db.write_bytes(b"nonsense" * 100)
    workspace.enrollment.write_text("{")
    found = Doctor(scene).examine()

    assert {"stores.sidecar", "stores.journal", "files.modes", "credentials.enrollment"} <= {
        each.id for each in found if each.state == "fail"
    }
    assert [] == [each.id for each in found if each.state == "fail" and each.severity != "fail"]


def test_a_check_that_breaks_or_hangs_is_a_finding_and_hides_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "CHECK_S", 0.05)
    over = threading.Event()

    def hang(_: Scene) -> Finding:
        over.wait(10)
        return ok("late")

    def broken(_: Scene) -> Finding:
        raise KeyError("x")

    def denied(_: Scene) -> Finding:
        raise PermissionError(13, "Permission denied", "/some/file")

    checks = [check("a.hang", hang), check("a.broken", broken), check("a.denied", denied),
              check("a.fine", lambda _: ok("fine"))]  # fmt: skip
    found = Doctor(scene, checks).examine()
    over.set()

    assert ["fail", "fail", "fail", "ok"] == [each.state for each in found]
    assert "did not end" in found[0].detail
    assert "KeyError" in found[1].detail
    assert "/some/file: Permission denied" == found[2].detail


def test_what_is_mended_is_looked_at_again_and_told(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "wide"
    file.touch()

    def look(_: Scene) -> Finding:
        return fail("there", "rm it") if file.exists() else ok("gone")

    def remove(_: Scene) -> list[str]:
        file.unlink()
        return ["rm wide"]

    asks = Mend("Removes it.", remove, asks=True)
    examiner = Doctor(scene, [check("a.file", look, asks), check("a.other", lambda _: ok("x"))])
    found = examiner.examine()
    refused = examiner.mend(found, lambda _: False)
    agreed = examiner.mend(found, lambda _: True)

    assert found == refused
    assert [("ok", ("rm wide",)), ("ok", ())] == [(each.state, each.fixed) for each in agreed]


def test_a_mend_that_fails_says_why(scene: Scene) -> None:
    def cannot(_: Scene) -> list[str]:
        raise PermissionError(1, "Operation not permitted", "/x")

    examiner = Doctor(scene, [check("a.b", lambda _: warn("w", "h"), Mend("Tries.", cannot))])
    [found] = examiner.mend(examiner.examine(), lambda _: True)

    assert ("warn", ("could not: /x: Operation not permitted",)) == (found.state, found.fixed)


def test_single_checks_and_groups_can_be_named(scene: Scene) -> None:
    found = Doctor(scene).examine(["disk", "machine.python"])

    assert {"disk", "machine"} == {each.group for each in found}
    assert 1 == sum(each.group == "machine" for each in found)


def test_the_page_of_the_checks_is_the_registry() -> None:
    import runpy

    page = runpy.run_path(str(ROOT / "docs/doctor.py"))["page"]()

    assert (ROOT / "docs/reference/doctor.md").read_text(encoding="utf-8") == page
