"""The commands as a user types them, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conductor_sdk.errors import Exit
from conductor_sidecar.cli.main import ALIASES, COMMANDS
from typed import typed


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    return str(tmp_path)


def test_every_command_has_help_that_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    for name in [*COMMANDS, *ALIASES]:
        code, out, _ = typed(capsys, name, "--help")

        assert code == Exit.OK
        assert out.startswith("Usage: conductor")
        assert max(map(len, out.splitlines())) <= 80, name


def test_the_root_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, "--help")

    assert code == Exit.OK
    assert [] == [name for name in COMMANDS if name not in out]


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = typed(capsys, "nonsense")

    assert code == Exit.USAGE
    assert "nonsense" in err


def test_the_daemon_refuses_a_workspace_that_is_not_enrolled(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    code, _, err = typed(capsys, "sidecar", "--workspace", workspace)

    assert code == Exit.TOKEN_REFUSED
    assert "next: conductor enroll" in err


def test_a_missing_token_file_is_refused_with_the_command_that_mends_it(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    arguments = ("enroll", "http://127.0.0.1:9", "--token-file", f"{workspace}/none")
    code, _, err = typed(capsys, *arguments, "--workspace", workspace)

    assert code == Exit.TOKEN_REFUSED
    assert "TOKEN_FILE_MISSING" in err
    assert "umask 077" in err


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: path.chmod(0o644), "PRIVATE_FILE_REFUSED"),
        (lambda path: path.write_text("not a token"), "TOKEN_MALFORMED"),
        (lambda path: path.rename(path.with_suffix(".real")), "PRIVATE_FILE_REFUSED"),
    ],
    ids=["readable by others", "malformed", "a symbolic link"],
)
def test_an_unusable_token_file_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make: object, code: str
) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    make(path)  # type: ignore[operator]
    if not path.exists():
        path.symlink_to(path.with_suffix(".real"))
    arguments = ("enroll", "http://127.0.0.1:9", "--token-file", str(path))
    exit_code, _, err = typed(capsys, *arguments, "--workspace", str(tmp_path))

    assert exit_code == Exit.TOKEN_REFUSED
    assert code in err
    assert "next: " in err


@pytest.mark.parametrize(
    "url", ["ftp://conductor.example", "http://conductor.example", "https://me:pw@host", "nonsense"]
)
def test_an_address_that_would_leak_the_token_is_refused(
    capsys: pytest.CaptureFixture[str], workspace: str, url: str
) -> None:
    code, _, err = typed(capsys, "enroll", url, "--token-file", "t", "--workspace", workspace)

    assert code == Exit.BAD_CONFIG
    assert "pw" not in err.replace("password", "")


def test_status_of_a_workspace_without_any_run_says_so(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    code, _, err = typed(capsys, "status", "--workspace", workspace)

    assert code == Exit.NOT_FOUND
    assert "NEVER_RUN" in err


def test_errors_are_json_when_json_was_asked_for(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    code, out, err = typed(capsys, "status", "--json", "--workspace", workspace)

    assert code == Exit.NOT_FOUND
    assert out == ""
    assert json.loads(err)["error"]["code"] == "NEVER_RUN"


def test_doctor_works_in_an_empty_directory_and_prints_checks(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    code, out, _ = typed(capsys, "doctor", "--json", "--workspace", workspace)
    checks = {check["name"]: check["state"] for check in json.loads(out)["checks"]}

    assert code == Exit.OK
    assert {"python": "ok", "packs": "ok", "journal": "skip"}.items() <= checks.items()


def test_doctor_fails_when_a_private_file_is_open_to_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = tmp_path / ".lumenflow/state/conductor"
    state.mkdir(parents=True, mode=0o700)
    (state / "enrollment.json").write_text("{}")
    (state / "enrollment.json").chmod(0o644)
    code, out, _ = typed(capsys, "doctor", "--workspace", str(tmp_path))

    assert code == Exit.FAILURE
    assert "FAIL" in out
    assert "chmod 600" in out


def test_packs_and_tools_need_neither_enrollment_nor_daemon(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    assert typed(capsys, "packs", "--workspace", workspace)[0] == Exit.OK
    code, out, _ = typed(capsys, "tools", "list", "--json", "--workspace", workspace)

    assert code == Exit.OK
    assert {"tools", "problems"} == json.loads(out).keys()


def test_a_pack_can_be_turned_off_in_the_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "conductor.toml").write_text('[packs]\ndisabled = ["acme-demo"]\n')
    _, out, _ = typed(capsys, "packs", "--json", "--workspace", str(tmp_path))

    assert "acme-demo" not in [pack["slug"] for pack in json.loads(out).get("loaded", [])]


def test_config_show_says_where_a_value_comes_from(
    capsys: pytest.CaptureFixture[str], workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUCTOR_DISPATCH__DEADLINE_S", "5")
    arguments = ("config", "show", "--json", "--set", "logs.level=debug", "-w", workspace)
    code, out, _ = typed(capsys, *arguments)
    sources = {item["name"]: item["source"] for item in json.loads(out)["settings"]}

    assert code == Exit.OK
    assert sources["dispatch.deadline_s"] == "environment CONDUCTOR_DISPATCH__DEADLINE_S"
    assert sources["logs.level"] == "command line"
    assert sources["dispatch.window"] == "default"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    code, out, _ = typed(capsys, "completion", shell)

    assert code == Exit.OK
    assert "conductor" in out


def test_a_push_without_a_daemon_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    code, _, err = typed(capsys, "push", "acme-demo:job_queued", "--workspace", workspace)

    assert code == Exit.UNAVAILABLE
    assert "next: start it: conductor sidecar" in err


def test_a_payload_that_is_not_an_object_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    arguments = ("push", "acme-demo:job_queued", "--payload", "[1]", "--workspace", workspace)

    assert typed(capsys, *arguments)[0] == Exit.USAGE


def test_redrive_wants_to_know_what(capsys: pytest.CaptureFixture[str], workspace: str) -> None:
    assert typed(capsys, "dead-letters", "redrive", "--workspace", workspace)[0] == Exit.USAGE
