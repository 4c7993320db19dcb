"""Credentials: files that are private, hashes that are stored, commands that are journaled."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import ConductorError
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_journal
from conductor_sidecar.cli.tool_tokens import CREATED, REVOKED, token
from conductor_sidecar.http.access import Credential
from conductor_sidecar.http.credential_file import (
    CREDENTIALS_MAX,
    add_credential,
    credential_path,
    make_credential,
    new_token,
    read_credentials,
    remove_credential,
)
from conductor_sidecar.http.errors import (
    CredentialExists,
    CredentialNotFound,
    CredentialRefused,
    CredentialsDamaged,
)
from conductor_sidecar.http.tokens import Authenticator
from conductor_state.private_file import PrivateFileRefused

READ = PathScope(type="path", pattern=".demo/**", access="read")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = resolve_workspace(tmp_path)
    made.create()
    return made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def authenticator(workspace: Workspace, clock: ManualClock) -> Authenticator:
    made = Authenticator(workspace, clock)
    made.prepare()
    return made


def give(workspace: Workspace, clock: ManualClock, name: str = "ci", **more: Any) -> bytes:
    """Store a credential; returns its token."""
    secret = new_token()
    stored = make_credential(name, ["task:*"], token=secret, now=clock.now(), **more)
    add_credential(workspace, stored)
    return secret.reveal().encode()


def test_the_token_file_is_made_once_and_private(
    workspace: Workspace, authenticator: Authenticator
) -> None:
    made = workspace.http_token.read_bytes().strip()
    authenticator.prepare()

    assert 0o600 == workspace.http_token.stat().st_mode & 0o777
    assert made == workspace.http_token.read_bytes().strip()
    assert Credential("default", ("*",)) == authenticator.identify(made)
    assert authenticator.identify(made[:-1]) is None


@pytest.mark.parametrize("text", ["", "short", "x" * 600, "two words " * 5, "é" * 40, "a\nb" * 20])
def test_a_token_file_that_is_no_token_ends_the_start(workspace: Workspace, text: str) -> None:
    workspace.http_token.write_text(text)
    workspace.http_token.chmod(0o600)

    with pytest.raises(CredentialsDamaged):
        Authenticator(workspace, ManualClock()).prepare()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o622])
def test_a_token_file_that_others_can_open_ends_the_start(workspace: Workspace, mode: int) -> None:
    workspace.http_token.write_text("x" * 40)
    workspace.http_token.chmod(mode)

    with pytest.raises(PrivateFileRefused):
        Authenticator(workspace, ManualClock()).prepare()


def test_a_token_file_that_is_a_link_or_a_pipe_ends_the_start(
    workspace: Workspace, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x" * 40)
    elsewhere.chmod(0o600)
    workspace.http_token.symlink_to(elsewhere)
    with pytest.raises(PrivateFileRefused):
        Authenticator(workspace, ManualClock()).prepare()
    workspace.http_token.unlink()
    os.mkfifo(workspace.http_token, 0o600)
    with pytest.raises(PrivateFileRefused):
        Authenticator(workspace, ManualClock()).prepare()


def test_a_file_opened_to_others_while_it_is_used_gives_no_access(
    workspace: Workspace, authenticator: Authenticator
) -> None:
    made = workspace.http_token.read_bytes().strip()
    workspace.http_token.chmod(0o644)
    assert authenticator.identify(made) is None
    workspace.http_token.unlink()
    assert authenticator.identify(made) is None


def test_a_named_credential_brings_its_tools_and_scopes(
    workspace: Workspace, authenticator: Authenticator, clock: ManualClock
) -> None:
    made = give(workspace, clock, scopes=[READ])

    assert Credential("ci", ("task:*",), (READ,)) == authenticator.identify(made)


def test_a_revoked_credential_is_refused_at_the_next_request(
    workspace: Workspace, authenticator: Authenticator, clock: ManualClock
) -> None:
    made, kept = give(workspace, clock), give(workspace, clock, "kept")
    assert authenticator.identify(made)
    remove_credential(workspace, "ci")

    assert authenticator.identify(made) is None
    assert authenticator.identify(kept)


def test_a_credential_ends_at_its_time(
    workspace: Workspace, authenticator: Authenticator, clock: ManualClock
) -> None:
    made = give(workspace, clock, expires_at=clock.now() + timedelta(seconds=10))
    clock.advance(9)
    assert authenticator.identify(made)
    clock.advance(1)
    assert authenticator.identify(made) is None


def test_the_file_holds_hashes_and_no_token(workspace: Workspace, clock: ManualClock) -> None:
    made = give(workspace, clock)
    path = credential_path(workspace)

    assert made not in path.read_bytes()
    assert 0o600 == path.stat().st_mode & 0o777
    assert 64 == len(read_credentials(workspace)[0].sha256)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"version":1}', '{"version":2,"credentials":[]}', "\xff", "[" * 9000,
        '{"version":1,"credentials":[{}]}', '{"version":1,"credentials":[],"more":1}',
        '{"version":1,"credentials":[{"name":"X","sha256":"","tools":["*"],"created_at":""}]}',
    ],
)  # fmt: skip
def test_a_damaged_file_gives_nobody_access(
    workspace: Workspace, authenticator: Authenticator, clock: ManualClock, text: str
) -> None:
    made = give(workspace, clock)
    path = credential_path(workspace)
    path.write_text(text, "latin-1")
    path.chmod(0o600)

    assert authenticator.identify(made) is None
    assert authenticator.identify(workspace.http_token.read_bytes().strip())
    with pytest.raises(CredentialsDamaged):
        Authenticator(workspace, clock).prepare()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "default"), ("name", ""), ("name", "A"), ("name", "a b"), ("name", "-a"),
        ("name", "a/b"), ("name", "x" * 65), ("sha256", "0" * 63), ("sha256", "G" * 64),
        ("tools", []), ("tools", [""]), ("tools", ["x" * 161]), ("expires_at", "2026-01-01"),
        ("expires_at", "2026-01-01T00:00:00+01:00"), ("expires_at", "never"),
        ("scopes", [{"type": "path"}]), ("scopes", [{"type": "all"}]),
    ],
)  # fmt: skip
def test_a_credential_that_is_unclear_is_not_used(
    workspace: Workspace, clock: ManualClock, field: str, value: object
) -> None:
    give(workspace, clock)
    path = credential_path(workspace)
    file = json.loads(path.read_text())
    file["credentials"][0][field] = value
    path.write_text(json.dumps(file))

    with pytest.raises(CredentialsDamaged):
        read_credentials(workspace)


def test_names_are_taken_once_and_only_what_exists_is_removed(
    workspace: Workspace, clock: ManualClock
) -> None:
    give(workspace, clock)
    with pytest.raises(CredentialExists):
        give(workspace, clock)
    with pytest.raises(CredentialNotFound):
        remove_credential(workspace, "other")
    with pytest.raises(CredentialRefused):
        give(workspace, clock, "old", expires_at=clock.now())


def test_commands_at_the_same_time_lose_nothing(workspace: Workspace, clock: ManualClock) -> None:
    names = [f"n{number}" for number in range(CREDENTIALS_MAX)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: give(workspace, clock, name), names))

    assert sorted(names) == sorted(one.name for one in read_credentials(workspace))
    with pytest.raises(CredentialRefused):
        give(workspace, clock, "one-more")


def run(workspace: Workspace, *words: str) -> Result:
    return CliRunner().invoke(token, [*words, "--workspace", str(workspace.root)])


def journaled(workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    async def read() -> list[tuple[str, dict[str, Any]]]:
        journal = open_journal(workspace)
        try:
            return [(one.event_type, json.loads(one.payload)) for one in await journal.latest(10)]
        finally:
            await journal.close()

    return asyncio.run(read())


def test_the_commands_make_list_and_revoke(workspace: Workspace) -> None:
    made = run(workspace, "create", "ci", "--tool", "task:*", "--scope", "read:.demo/**",
               "--expires-in", "90d", "--json")  # fmt: skip
    said = json.loads(made.stdout)
    listed = json.loads(run(workspace, "list", "--json").stdout)["credentials"]
    shown = run(workspace, "list").stdout
    gone = run(workspace, "revoke", "ci").stdout

    assert said["token"].startswith("cst_")
    assert [("ci", ["task:*"], False)] == [
        (one["name"], one["tools"], one["expired"]) for one in listed
    ]
    assert "task:*" in shown
    assert "read .demo/**" in shown
    assert "Revoked ci.\n" == gone
    assert "No named credential.\n" == run(workspace, "list").stdout
    entries = journaled(workspace)
    assert [CREATED, REVOKED] == [kind for kind, _ in entries]
    assert said["token"] not in repr(entries)


def test_a_token_is_alone_on_standard_output(workspace: Workspace) -> None:
    made = run(workspace, "create", "ci", "--tool", "*", "--scope", "network:off")
    lines = made.stdout.splitlines()

    assert (1, 0) == (len(lines), made.exit_code)
    found = Authenticator(workspace, ManualClock()).identify(lines[0].encode())
    assert found is not None
    assert "ci" == found.name


@pytest.mark.parametrize(
    "words",
    [
        ("create", "ci"), ("create", "ci", "--tool", "*", "--expires-in", "soon"),
        ("create", "ci", "--tool", "*", "--expires-in", "0d"),
        ("create", "ci", "--tool", "*", "--scope", "**"),
        ("create", "ci", "--tool", "*", "--scope", "admin:**"),
        ("create", "ci", "--tool", "*", "--scope", "read:"),
        ("create", "CI", "--tool", "*"), ("create", "default", "--tool", "*"),
        ("create", "ci", "--tool", ""), ("revoke", "nobody"),
    ],
)  # fmt: skip
def test_a_command_that_is_wrong_changes_nothing(
    workspace: Workspace, words: tuple[str, ...]
) -> None:
    done = run(workspace, *words)

    assert done.exit_code
    assert done.exit_code == 2 or isinstance(done.exception, ConductorError)
    assert [] == read_credentials(workspace)
