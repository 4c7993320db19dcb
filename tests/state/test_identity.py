"""The enrollment file: complete, private, valid, and silent about its secret."""

from __future__ import annotations

import json
import os
import stat
import traceback
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, WorkspaceUnsafe, resolve_workspace
from conductor_state.enrollment import (
    Enrollment,
    EnrollmentExpired,
    EnrollmentMalformed,
    EnrollmentMissing,
    EnrollmentTooNew,
)
from conductor_state.identity import read_enrollment, remove_enrollment, write_enrollment
from conductor_state.private_file import PrivateFileRefused, read_private, write_private

TOKEN = "tok-very-secret-0123456789"  # a toy
LATER = datetime(2026, 6, 1, 12, tzinfo=UTC)
FILE: dict[str, Any] = {
    "version": 1, "url": "ws://127.0.0.1:8000/link", "token": TOKEN, "subject": "ws-test",
    "expires_at": None,
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = resolve_workspace(tmp_path)
    workspace.create()
    return workspace


def put(workspace: Workspace, content: str | bytes | dict[str, Any]) -> Path:
    data = json.dumps(content) if isinstance(content, dict) else content
    path = workspace.enrollment
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(0o600)
    return path


def enrollment(expires_at: datetime | None = LATER) -> Enrollment:
    return Enrollment("wss://conductor.example/link", Secret(TOKEN), "ws-test", expires_at)


@pytest.mark.parametrize("expires_at", [None, LATER])
def test_what_was_written_is_read(workspace: Workspace, expires_at: datetime | None) -> None:
    write_enrollment(workspace, enrollment(expires_at))

    assert read_enrollment(workspace, ManualClock()) == enrollment(expires_at)


def test_the_file_has_its_documented_fields_and_is_private(workspace: Workspace) -> None:
    east = timezone(timedelta(hours=2))
    write_enrollment(workspace, enrollment(datetime(2026, 6, 1, 14, tzinfo=east)))

    assert json.loads(workspace.enrollment.read_text()) == {
        "version": 1, "url": "wss://conductor.example/link", "token": TOKEN,
        "subject": "ws-test", "expires_at": "2026-06-01T12:00:00Z",
    }  # fmt: skip
    assert stat.S_IMODE(workspace.enrollment.stat().st_mode) == 0o600
    assert stat.S_IMODE(workspace.state_dir.stat().st_mode) == 0o700


def test_writing_replaces_whole_files_and_leaves_no_other(workspace: Workspace) -> None:
    write_enrollment(workspace, enrollment(None))
    first = workspace.enrollment.stat().st_ino
    write_enrollment(workspace, enrollment())

    assert workspace.enrollment.stat().st_ino != first
    assert [path.name for path in workspace.state_dir.iterdir()] == ["enrollment.json"]


def test_a_write_that_fails_keeps_the_old_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_enrollment(workspace, enrollment(None))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_enrollment(workspace, enrollment())

    assert read_enrollment(workspace).expires_at is None
    assert [path.name for path in workspace.state_dir.iterdir()] == ["enrollment.json"]


def test_a_missing_file_says_how_to_enroll(workspace: Workspace) -> None:
    with pytest.raises(EnrollmentMissing) as caught:
        read_enrollment(workspace)

    assert caught.value.hint == "run: conductor enroll URL --token-file FILE"
    assert caught.value.exit_code == 77


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o666])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(
    workspace: Workspace, mode: int
) -> None:
    path = put(workspace, FILE)
    path.chmod(mode)

    with pytest.raises(PrivateFileRefused) as caught:
        read_enrollment(workspace)

    assert caught.value.hint == f"run: chmod 600 {path}"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_symbolic_link_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    put(workspace, FILE).rename(target)
    workspace.enrollment.symlink_to(target)

    with pytest.raises(PrivateFileRefused, match="symbolic link"):
        read_enrollment(workspace)


def test_a_file_of_another_user_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(workspace, FILE)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)

    with pytest.raises(PrivateFileRefused, match="belongs to user"):
        read_enrollment(workspace)


def test_what_is_not_a_plain_file_is_refused_without_hanging(
    workspace: Workspace, tmp_path: Path
) -> None:
    os.mkfifo(workspace.enrollment, 0o600)

    for path in (workspace.enrollment, workspace.state_dir):
        with pytest.raises(PrivateFileRefused):
            read_private(path)


def test_a_file_without_end_is_refused(workspace: Workspace) -> None:
    put(workspace, b"x" * 70_000)

    with pytest.raises(PrivateFileRefused, match="longer than"):
        read_enrollment(workspace)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", b"\xff\xfe", "{}", '{"version":"1"}', "[" * 60_000,
        {**FILE, "extra": 1}, {**FILE, "token": ""}, {**FILE, "token": "a b"},
        {**FILE, "token": "a\nb"}, {**FILE, "token": 7}, {**FILE, "subject": ""},
        {**FILE, "subject": "a\x00"}, {**FILE, "url": "conductor"}, {**FILE, "url": ["x"]},
        {**FILE, "expires_at": "tomorrow"}, {**FILE, "expires_at": "2026-01-01"},
        {**FILE, "expires_at": "2026-01-01T00:00:00+02:00"},
        {key: FILE[key] for key in FILE if key != "token"},
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused(
    workspace: Workspace, content: str | bytes | dict[str, Any]
) -> None:
    put(workspace, content)

    with pytest.raises(EnrollmentMalformed):
        read_enrollment(workspace)


@pytest.mark.parametrize("version", [0, 3, 99])
def test_an_unknown_version_is_refused_whatever_else_it_holds(
    workspace: Workspace, version: int
) -> None:
    put(workspace, {**FILE, "version": version, "novelty": True})

    with pytest.raises(EnrollmentTooNew, match=f"version {version}"):
        read_enrollment(workspace)


def test_an_expired_enrollment_is_refused_with_its_time(workspace: Workspace) -> None:
    clock = ManualClock(LATER)
    write_enrollment(workspace, enrollment())

    with pytest.raises(EnrollmentExpired, match="2026-06-01T12:00:00Z") as caught:
        read_enrollment(workspace, clock)
    assert caught.value.exit_code == 77
    assert read_enrollment(workspace, ManualClock(LATER - timedelta(seconds=1))).subject


def test_what_could_not_be_read_again_is_not_written(workspace: Workspace) -> None:
    for bad in ("", "two words", "ümlaut"):
        with pytest.raises(EnrollmentMalformed):
            write_enrollment(workspace, Enrollment("ws://c", Secret(bad), "s", None))

    assert not workspace.enrollment.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"url": TOKEN, "token": f"{TOKEN} x"}, {"subject": f"{TOKEN}\x00"}, {"version": TOKEN},
        {"expires_at": f"{TOKEN}Z"}, {TOKEN: TOKEN}, {"url": f"//{TOKEN}"},
        {"url": f"ws://[{TOKEN}"},
    ],
)  # fmt: skip
def test_no_error_carries_a_character_of_the_secret(
    workspace: Workspace, change: dict[str, Any]
) -> None:
    put(workspace, {**FILE, **change})

    with pytest.raises(ConductorError) as caught:
        read_enrollment(workspace)

    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value.as_json())
    assert TOKEN not in text


def test_the_record_does_not_show_its_secret() -> None:
    assert TOKEN not in repr(enrollment())


def test_writing_makes_the_state_directory_and_refuses_one_that_leads_away(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    write_enrollment(resolve_workspace(inside), enrollment())
    assert read_enrollment(resolve_workspace(inside), ManualClock()) == enrollment()

    led = Workspace(outside.resolve())
    (outside / ".lumenflow").symlink_to(inside)
    with pytest.raises(WorkspaceUnsafe):
        write_enrollment(led, enrollment())


def test_removing_forgets_it(workspace: Workspace) -> None:
    write_enrollment(workspace, enrollment())
    remove_enrollment(workspace)
    remove_enrollment(workspace)

    with pytest.raises(EnrollmentMissing):
        read_enrollment(workspace)


def test_a_private_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "secret", b"x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert read_private(tmp_path / "secret") == b"x"
