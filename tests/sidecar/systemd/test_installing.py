"""Units onto a host and off it again, below a temporary root; and the commands that do it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conductor_sdk.workspace import WorkspaceMissing
from conductor_sidecar.cli.main import cli
from conductor_sidecar.systemd import enquiry
from conductor_sidecar.systemd.enquiry import enquire
from conductor_sidecar.systemd.errors import UnitInUse, UnitNotOurs, UnitRefused
from conductor_sidecar.systemd.installing import apply, plan_install, plan_uninstall
from conductor_sidecar.systemd.units import SYSTEM_UNITS, Wanted, render, unit_name

PROGRAM = Path("/opt/conductor/bin/conductor")
ROBOTS = Wanted(program=PROGRAM, workspace=Path("/srv/robots"), user="ada", listen="127.0.0.1:7500")
CELLS = replace(ROBOTS, workspace=Path("/srv/cells"), listen="127.0.0.1:7501")
HOST = Wanted(program=PROGRAM)


def install(wanted: Wanted, root: Path) -> dict[str, str]:
    changes = plan_install(render(wanted), root)
    apply(changes)
    return {str(change.path.relative_to(root)): change.state for change in changes}


def uninstall(wanted: Wanted, root: Path) -> dict[str, str]:
    changes = plan_uninstall(render(wanted), root, unit_name(wanted))
    apply(changes)
    return {change.path.name: change.state for change in changes}


def files_below(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*")) if path.is_file()
    }  # fmt: skip


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    changes = plan_install(render(HOST), tmp_path)

    assert {"create"} == {change.state for change in changes}
    assert {} == files_below(tmp_path)
    assert "+ExecStart=/opt/conductor/bin/conductor sidecar\n" in changes[0].diff()


def test_installing_writes_every_file_for_everybody_to_read(tmp_path: Path) -> None:
    install(HOST, tmp_path)

    assert {
        "etc/systemd/system/conductor-sidecar.service", "etc/sysusers.d/conductor-sidecar.conf",
        "etc/tmpfiles.d/conductor-sidecar.conf",
    } == set(files_below(tmp_path))  # fmt: skip
    modes = {(tmp_path / name).stat().st_mode & 0o777 for name in files_below(tmp_path)}
    assert {0o644} == modes


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    install(ROBOTS, tmp_path)
    before = files_below(tmp_path)

    assert {"unchanged"} == set(install(ROBOTS, tmp_path).values())
    assert before == files_below(tmp_path)


def test_a_program_that_moved_is_an_update_of_one_file_and_the_diff_shows_it(
    tmp_path: Path,
) -> None:
    install(ROBOTS, tmp_path)
    moved = plan_install(render(replace(ROBOTS, program=Path("/opt/new/conductor"))), tmp_path)
    changed = [change for change in moved if change.acts]

    assert [("update", "conductor-sidecar@.service")] == [(c.state, c.path.name) for c in changed]
    lines = changed[0].diff().splitlines()
    assert "-ExecStart=/opt/conductor/bin/conductor sidecar" in lines
    assert "+ExecStart=/opt/new/conductor sidecar" in lines


@pytest.mark.parametrize("theirs", ["[Service]\nExecStart=/bin/true\n", ""])
def test_a_file_of_somebody_else_is_left_alone_and_then_nothing_is_written(
    tmp_path: Path, theirs: str
) -> None:
    path = tmp_path / "etc/tmpfiles.d/conductor-sidecar.conf"
    path.parent.mkdir(parents=True)
    path.write_text(theirs, encoding="utf-8")

    with pytest.raises(UnitNotOurs):
        install(HOST, tmp_path)
    assert {"etc/tmpfiles.d/conductor-sidecar.conf": theirs} == files_below(tmp_path)


def test_a_file_that_was_edited_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    install(HOST, tmp_path)
    service = tmp_path / SYSTEM_UNITS / "conductor-sidecar.service"
    edited = service.read_text(encoding="utf-8").replace("60s", "90s")
    service.write_text(edited, encoding="utf-8")

    with pytest.raises(UnitNotOurs, match="was edited"):
        install(HOST, tmp_path)
    with pytest.raises(UnitNotOurs, match="was edited"):
        uninstall(HOST, tmp_path)
    assert edited == service.read_text(encoding="utf-8")


def test_a_masked_unit_stays_masked(tmp_path: Path) -> None:
    masked = tmp_path / SYSTEM_UNITS / "conductor-sidecar.service"
    masked.parent.mkdir(parents=True)
    masked.symlink_to(os.devnull)

    with pytest.raises(UnitNotOurs, match="symbolic link"):
        install(HOST, tmp_path)


def test_uninstalling_leaves_nothing_of_ours_and_everything_of_others(tmp_path: Path) -> None:
    install(HOST, tmp_path)
    dropin = tmp_path / SYSTEM_UNITS / "conductor-sidecar.service.d/override.conf"
    dropin.parent.mkdir()
    dropin.write_text("[Service]\n", encoding="utf-8")

    assert {"remove"} == set(uninstall(HOST, tmp_path).values())
    assert [str(dropin.relative_to(tmp_path))] == list(files_below(tmp_path))
    assert {"absent"} == set(uninstall(HOST, tmp_path).values())


def test_a_template_stays_while_another_workspace_needs_it(tmp_path: Path) -> None:
    install(ROBOTS, tmp_path)
    install(CELLS, tmp_path)

    assert {
        "conductor-sidecar@.service": "kept", "conductor-sidecar@.socket": "kept",
        "50-conductor.conf": "remove", "50-listen.conf": "remove",
    } == uninstall(ROBOTS, tmp_path)  # fmt: skip
    assert "remove" == uninstall(CELLS, tmp_path)["conductor-sidecar@.service"]
    assert [] == [path.name for path in (tmp_path / SYSTEM_UNITS).iterdir()]


def test_a_template_that_another_workspace_has_enabled_stays(tmp_path: Path) -> None:
    install(ROBOTS, tmp_path)
    wants = tmp_path / SYSTEM_UNITS / "multi-user.target.wants"
    wants.mkdir()
    (wants / "conductor-sidecar@srv-other.service").symlink_to("../conductor-sidecar@.service")

    assert "kept" == uninstall(ROBOTS, tmp_path)["conductor-sidecar@.service"]


@pytest.mark.parametrize("suffix", ["service", "socket"])
def test_a_unit_that_is_enabled_is_not_removed_and_the_hint_disables_it(
    tmp_path: Path, suffix: str
) -> None:
    install(ROBOTS, tmp_path)
    before = files_below(tmp_path)
    wants = tmp_path / SYSTEM_UNITS / f"{suffix}s.target.wants"
    wants.mkdir()
    name = f"conductor-sidecar@srv-robots.{suffix}"
    (wants / name).symlink_to("../conductor-sidecar@.service")

    with pytest.raises(UnitInUse) as refused:
        uninstall(ROBOTS, tmp_path)
    assert f"run: systemctl disable --now {name}" == refused.value.hint
    assert before == {name: text for name, text in files_below(tmp_path).items() if name in before}


class Commands:
    """`conductor systemd`, with a temporary root and a workspace."""

    def __init__(self, place: Path) -> None:
        self.root, self.workspace = place / "root", place / "robots"
        self.workspace.mkdir()

    def run(self, *words: object, env: Mapping[str, str] | None = None) -> Result:
        command = ["systemd", *map(str, words)]
        return CliRunner().invoke(cli, command, env=env, catch_exceptions=True)

    def change(self, what: str, *words: object) -> Result:
        return self.run(
            what, "-w", self.workspace, "--as", "nobody", "--root", self.root,
            "--program", PROGRAM, "--systemd", 252, *words,
        )  # fmt: skip


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_install_shows_first_and_writes_when_told(commands: Commands) -> None:
    shown = commands.change("install")

    assert shown.exit_code == 0, shown.output
    assert "+ExecStart=/opt/conductor/bin/conductor sidecar\n" in shown.output
    assert "Nothing is changed yet; do it with --yes" in shown.output
    assert not commands.root.exists()

    done = commands.change("install", "--yes")
    assert done.exit_code == 0, done.output
    assert "created" in done.output
    assert "  next: systemctl daemon-reload\n" in done.output
    unit = unit_name(Wanted(program=PROGRAM, workspace=commands.workspace))
    assert f"enable --now {unit}\n" in done.output.replace("'", "")
    assert 2 == len(files_below(commands.root))

    again = commands.change("install", "--yes")
    assert "created" not in again.output
    assert "unchanged" in again.output


def test_uninstall_finds_what_any_installation_wrote(commands: Commands) -> None:
    commands.change(
        "install", "--yes", "--listen", "127.0.0.1:7500", "--url", "https://conductor.example",
        "--systemd", 255,
    )  # fmt: skip
    assert 5 == len(files_below(commands.root))

    shown = commands.change("uninstall")
    assert "-ListenStream=127.0.0.1:7500\n" in shown.output
    assert 5 == len(files_below(commands.root))
    assert commands.change("uninstall", "--yes").exit_code == 0
    assert {} == files_below(commands.root)


def test_programs_read_the_same_as_json(commands: Commands) -> None:
    said = json.loads(commands.change("install", "--json").output)

    assert said["dry_run"]
    assert ["create", "create"] == [file["state"] for file in said["files"]]
    assert said["next"][-1].startswith("systemctl enable --now ")


def test_an_enrolled_workspace_needs_no_token(commands: Commands) -> None:
    assert "enrollment-token" in commands.change("install").output
    state = commands.workspace / ".lumenflow/state/conductor"
    state.mkdir(mode=0o700, parents=True)
    (state / "enrollment.json").write_text("{}")

    assert "next: install -D" not in commands.change("install").output


def test_print_works_without_systemd(commands: Commands) -> None:
    nowhere = {"PATH": "/nowhere"}
    printed = commands.run("print", "--host", "--program", PROGRAM, env=nowhere)

    assert printed.exit_code == 0, printed.output
    assert "# /etc/systemd/system/conductor-sidecar.service\n" in printed.output
    assert "notify-reload.conf\n" not in printed.output.replace("drop-in notify-reload.conf", "")
    assert "u conductor-sidecar -" in printed.output


def test_a_user_s_units_go_to_the_user_s_directory(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = commands.run(
        "install", "--user", "-w", commands.workspace, "--root", commands.root, "--yes"
    )

    assert done.exit_code == 0, done.output
    below = commands.root / str(tmp_path / "home").lstrip("/") / ".config/systemd/user"
    assert (below / "conductor-sidecar@.service").exists()
    assert "next: systemctl --user daemon-reload" in done.output
    assert "next: loginctl enable-linger" in done.output


def test_the_host_has_a_workspace_of_its_own(commands: Commands) -> None:
    both = commands.run("print", "--host", "-w", commands.workspace)
    assert both.exit_code == 2
    assert "--host has a workspace of its own" in both.output

    mine = commands.run("print", "--host", "--user", "--program", PROGRAM)
    assert isinstance(mine.exception, UnitRefused)


def test_a_workspace_of_root_wants_another_user_to_be_named(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Owned:
        st_uid = 0

    monkeypatch.setattr(Path, "stat", lambda _: Owned)
    with pytest.raises(UnitRefused, match="belongs to root"):
        enquire(workspace=commands.workspace, manager="system", program=PROGRAM)
    with pytest.raises(UnitRefused, match="is not a user here"):
        enquire(workspace=commands.workspace, manager="system", user="no-such-user-here")
    assert "conductor-sidecar" == enquire(
        workspace=commands.workspace, manager="system", user="conductor-sidecar"
    ).user  # fmt: skip


def test_a_workspace_that_is_gone_can_be_uninstalled(commands: Commands) -> None:
    commands.change("install", "--yes")
    commands.workspace.rmdir()

    done = commands.run("uninstall", "-w", commands.workspace, "--root", commands.root, "--yes")
    assert done.exit_code == 0, done.output
    assert {} == files_below(commands.root)


def test_a_workspace_that_is_nowhere_needs_the_name_of_its_user(commands: Commands) -> None:
    assert commands.run("print", "-w", "/nowhere/robots", "--as", "nobody").exit_code == 0
    assert isinstance(commands.run("print", "-w", "/nowhere/robots").exception, WorkspaceMissing)


def test_the_program_is_the_one_of_this_installation() -> None:
    assert Path(sys.executable).with_name("conductor") == enquiry.find_program()
