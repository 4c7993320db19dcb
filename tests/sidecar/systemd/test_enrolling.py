"""Enrollment with the token that the service manager loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.errors import ConfigInvalid
from conductor_sidecar.settings import LinkSettings
from conductor_sidecar.systemd.enrolling import CREDENTIAL, enroll_at_start, private
from conductor_sidecar.systemd.errors import CredentialUnsafe


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws1").mkdir()
    return resolve_workspace(tmp_path / "ws1")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "credentials").mkdir()
    return {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
            "CONDUCTOR_URL": "http://127.0.0.1:1"}  # fmt: skip


def place(environ: dict[str, str], mode: int = 0o400) -> Path:
    path = Path(environ["CREDENTIALS_DIRECTORY"]) / CREDENTIAL
    path.write_text("no token at all\n")
    path.chmod(mode)
    return path


def test_without_a_credential_nothing_happens(
    workspace: Workspace, environ: dict[str, str]
) -> None:
    assert not enroll_at_start(workspace, LinkSettings(), {})
    assert not enroll_at_start(workspace, LinkSettings(), environ)
    assert not workspace.state_dir.exists()


def test_an_enrolled_workspace_keeps_what_it_has(
    workspace: Workspace, environ: dict[str, str]
) -> None:
    place(environ)
    workspace.create()
    workspace.enrollment.write_text("whatever it is")

    assert not enroll_at_start(workspace, LinkSettings(), environ)


def test_a_token_without_an_address_is_a_wrong_configuration(
    workspace: Workspace, environ: dict[str, str]
) -> None:
    place(environ)
    del environ["CONDUCTOR_URL"]

    with pytest.raises(ConfigInvalid, match="no CONDUCTOR_URL") as refused:
        enroll_at_start(workspace, LinkSettings(), environ)
    assert 78 == refused.value.exit_code


def test_a_token_is_not_sent_in_plain_text_over_the_network(
    workspace: Workspace, environ: dict[str, str]
) -> None:
    place(environ)
    environ["CONDUCTOR_URL"] = "http://conductor.example"

    with pytest.raises(ConfigInvalid, match="unencrypted"):
        enroll_at_start(workspace, LinkSettings(), environ)


@pytest.mark.parametrize("mode", [0o404, 0o444, 0o420])
def test_a_token_that_others_can_read_or_write_is_not_used(
    workspace: Workspace, environ: dict[str, str], mode: int
) -> None:
    place(environ, mode)

    with pytest.raises(CredentialUnsafe) as refused:
        enroll_at_start(workspace, LinkSettings(), environ)
    assert 77 == refused.value.exit_code


def test_a_token_behind_a_symbolic_link_is_not_used(
    workspace: Workspace, environ: dict[str, str]
) -> None:
    path = place(environ)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")

    with pytest.raises(CredentialUnsafe):
        enroll_at_start(workspace, LinkSettings(), environ)


@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [
        (0o100400, 1000, True),  # ramfs: the service's own
        (0o100440, 0, True),  # tmpfs: root's, the access list shows as the group's bits
        (0o100440, 1000, False),
        (0o100400, 1001, False),
        (0o100404, 0, False),
        (0o100460, 0, False),
        (0o040700, 1000, False),
        (0o010600, 1000, False),
    ],
)
def test_a_credential_is_ours_or_root_s_with_an_access_list(
    mode: int, owner: int, expected: bool
) -> None:
    facts = os.stat_result((mode, 0, 0, 1, owner, owner, 0, 0, 0, 0))

    assert expected == private(facts, user=1000)
