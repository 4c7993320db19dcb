"""The units, read by systemd's own parser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conductor_sidecar.systemd.enquiry import systemd_version
from conductor_sidecar.systemd.errors import UnitRefused
from conductor_sidecar.systemd.escaping import assigned, escape_path, instance_of, quoted
from conductor_sidecar.systemd.units import NOTIFY_RELOAD, Wanted, render, shipped, unit_name
from house import ROOT

PROGRAM = Path(sys.executable).with_name("conductor")
THRESHOLD = 20
"""Tenths: 2.0."""
HOST = Wanted(program=PROGRAM)
ROBOTS = Wanted(
    program=PROGRAM, workspace=Path("/srv/robots/cell 7-ü"), user="ada", home=Path("/home/ada l"),
    listen="127.0.0.1:7500", url="https://conductor.example/%2Fa?b=\"c'\\d",
)  # fmt: skip
MINE = replace(ROBOTS, manager="user")
SYSTEM = {"host": HOST, "host with a socket": replace(HOST, listen="[::1]:7433"), "robots": ROBOTS}


def written(wanted: Wanted, root: Path) -> dict[str, Path]:
    """Write what is rendered; the unit of an instance is a link to its template."""
    for file in render(wanted):
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
    directory = root / render(wanted)[0].path.parent
    units: dict[str, Path] = {}
    for suffix in ("service", "socket"):
        name = unit_name(wanted, suffix)
        kind = name if wanted.workspace is None else f"conductor-sidecar@.{suffix}"
        if (directory / kind).exists():
            units[suffix] = directory / name
            if name != kind:
                (directory / name).symlink_to(directory / kind)
    return units


def verified(tool: Any, unit: Path, *words: str) -> subprocess.CompletedProcess[str]:
    answer: subprocess.CompletedProcess[str] = tool(
        "systemd-analyze", "verify", "--recursive-errors=yes", *words, unit
    )
    return answer


@pytest.mark.parametrize("name", SYSTEM)
def test_systemd_takes_every_unit_without_a_word(name: str, tool: Any, tmp_path: Path) -> None:
    for unit in written(SYSTEM[name], tmp_path).values():
        checked = verified(tool, unit)

        assert (0, "") == (checked.returncode, checked.stdout + checked.stderr)


def test_a_user_s_manager_takes_its_unit(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    units = written(replace(MINE, home=Path("/home/ada")), tmp_path)
    checked = verified(tool, units["service"], "--user")

    assert (0, "") == (checked.returncode, checked.stdout + checked.stderr)


def test_a_mistake_in_a_unit_or_a_drop_in_is_found(tool: Any, tmp_path: Path) -> None:
    unit = written(ROBOTS, tmp_path)["service"]
    dropin = unit.with_name(f"{unit.name}.d") / "50-conductor.conf"
    dropin.write_text(dropin.read_text(encoding="utf-8") + "Restrat=on-failure\n")

    checked = verified(tool, unit)

    assert checked.returncode != 0
    assert "Restrat" in checked.stderr


@pytest.mark.parametrize("name", SYSTEM)
def test_the_exposure_of_every_service_is_at_most_2(name: str, tool: Any, tmp_path: Path) -> None:
    unit = written(SYSTEM[name], tmp_path)["service"]
    measured = tool(
        "systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}", unit
    )

    assert measured.returncode == 0, measured.stdout


def test_what_is_open_is_what_the_unit_explains(tool: Any, tmp_path: Path) -> None:
    unit = written(HOST, tmp_path)["service"]
    words = ("security", "--offline=true", "--json=short", unit)
    listed = json.loads(tool("systemd-analyze", *words).stdout)
    relaxed = {item["name"].split("=")[0] for item in listed if float(item["exposure"] or 0) > 0}

    # DeviceAllow=: what PrivateDevices= leaves, and nothing that we could take away.
    assert {
        "RootDirectory", "PrivateNetwork", "IPAddressDeny", "MemoryDenyWriteExecute",
        "RestrictAddressFamilies", "DeviceAllow",
    } == relaxed  # fmt: skip
    text = unit.read_text(encoding="utf-8")
    for name in relaxed - {"DeviceAllow", "RestrictAddressFamilies"}:
        assert f"{name}=" in text.partition("Relaxed")[2]
    for family in ("AF_INET", "AF_UNIX"):
        assert f"# Relaxed, {family}" in text


def test_the_reload_that_tells_when_it_is_done_is_for_systemds_that_know_it(
    tool: Any, tmp_path: Path
) -> None:
    newer = replace(HOST, version=NOTIFY_RELOAD)
    names = [file.path.name for file in render(newer)]
    assert "10-notify-reload.conf" in names
    assert "10-notify-reload.conf" not in [file.path.name for file in render(HOST)]

    checked = verified(tool, written(newer, tmp_path)["service"])

    # An older one says that it would ignore the line: that is why it is not given to it.
    knows = systemd_version() >= NOTIFY_RELOAD
    assert knows == (checked.returncode == 0)
    assert knows or "notify-reload" in checked.stderr


def test_the_users_and_directories_of_the_host_are_understood(tool: Any, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text("")
    written(HOST, tmp_path)
    root = f"--root={tmp_path}"

    users = tool("systemd-sysusers", root, "--dry-run", "conductor-sidecar.conf")
    assert users.returncode == 0, users.stderr
    assert "conductor-sidecar" in users.stdout + users.stderr
    assert (tmp_path / "etc/sysusers.d/conductor-sidecar.conf").exists()
    files = [line.split() for line in shipped("conductor-sidecar.tmpfiles").splitlines()]
    assert {
        "/etc/conductor-sidecar": "0750", "/var/lib/conductor-sidecar": "0700",
        "/etc/credstore": "0700",
    } == {words[1]: words[2] for words in files if words[0] == "d"}  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/srv/robots", "/", "/.hidden/.b/a b/ü-x/%i", "/a//b/", "/srv/a:b_c.d", "/x/\\y/~", "/-/-"],
)
def test_paths_are_escaped_as_systemd_escapes_them(path: str, tool: Any) -> None:
    expected = tool("systemd-escape", "--path", path).stdout.rstrip("\n")

    assert expected == escape_path(Path(path))


@pytest.mark.parametrize("path", ["relative", "/a/../b"])
def test_a_path_that_is_not_one_way_only_is_refused(path: str) -> None:
    with pytest.raises(UnitRefused):
        escape_path(Path(path))


def test_a_path_that_is_too_long_for_a_name_is_refused_with_what_helps() -> None:
    with pytest.raises(UnitRefused, match="too long") as refused:
        instance_of("conductor-sidecar", Path("/" + "ü" * 80), "service")

    assert "ln -s" in refused.value.hint


def test_what_is_quoted_comes_back_as_one_word() -> None:
    assert "/opt/100%%/conductor" == quoted(Path("/opt/100%/conductor"))
    assert '"/opt/my tools/conductor"' == quoted(Path("/opt/my tools/conductor"))
    assert '"A=%%x \\"y\\" \\\\z"' == assigned("A", '%x "y" \\z')


@pytest.mark.parametrize("path", ["/a\nb", "/a$b", '/a"b', "/a'b", "/a\\b", "/a\udcffb"])
def test_a_program_that_no_unit_can_name_is_refused(path: str) -> None:
    with pytest.raises(UnitRefused):
        render(replace(HOST, program=Path(path)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"program": Path("bin/conductor")},
        {"workspace": None, "manager": "user"},
        {"user": None},
        {"user": "ada\nExecStartPre=/bin/sh"},
        {"user": "Ada Lovelace"},
        {"workspace": Path("/a\nb")},
        {"listen": "0.0.0.0:7433"},
        {"listen": "127.0.0.1:70000"},
        {"listen": "127.0.0.1:1\nListenStream=2"},
        {"listen": "localhost:7433"},
        {"url": "ftp://conductor.example"},
        {"url": "https://conductor.example/\nUser=root"},
    ],
)
def test_nothing_that_could_add_a_line_or_open_the_host_gets_into_a_unit(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(UnitRefused):
        render(replace(ROBOTS, **wrong))


def test_a_program_in_a_home_is_found_although_homes_are_hidden(tmp_path: Path) -> None:
    service = render(replace(HOST, program=Path("/home/ada/.venv/bin/conductor")))[0].text

    assert "\nProtectHome=read-only\n" in service
    assert (
        "\nProtectHome=yes\n" in render(replace(HOST, program=Path("/opt/bin/conductor")))[0].text
    )


def test_the_same_request_gives_the_same_bytes() -> None:
    assert render(ROBOTS) == render(ROBOTS)


def test_restarts_leave_out_what_no_restart_mends() -> None:
    for name in ("conductor-sidecar.service", "conductor-sidecar@.service",
                 "user/conductor-sidecar@.service"):  # fmt: skip
        lines = shipped(name).splitlines()

        assert {
            "Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "WatchdogSec=60s",
            "Restart=on-failure", "RestartPreventExitStatus=77 78",
        } <= set(lines)  # fmt: skip


def test_a_built_wheel_has_every_file_of_the_systemd_folder(tmp_path: Path) -> None:
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(tmp_path / built.stdout.split()[-1], unpacked, "zip")

    inside = unpacked / "conductor_sidecar/systemd/files"
    expected = {path.relative_to(ROOT / "systemd"): path.read_bytes()
                for path in (ROOT / "systemd").rglob("*") if path.is_file()}  # fmt: skip
    assert expected == {
        path.relative_to(inside): path.read_bytes()
        for path in inside.rglob("*") if path.is_file()
    }  # fmt: skip
    assert len(expected) >= 8
