"""The workspace: paths inside it, private directories, and a control socket at any depth."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conductor_sdk import workspace as module
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.workspace import (
    ControlSocketTaken,
    Workspace,
    WorkspaceMissing,
    WorkspaceUnsafe,
    bind_control_socket,
    connect_control_socket,
    remove_control_socket,
    resolve_workspace,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = resolve_workspace(tmp_path)
    workspace.create()
    return workspace


@pytest.fixture
def deep(tmp_path: Path) -> Workspace:
    root = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 8)
    root.mkdir(parents=True)
    workspace = resolve_workspace(root)
    workspace.create()
    return workspace


def test_the_default_workspace_is_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert resolve_workspace().root == tmp_path.resolve()


def test_every_path_is_where_the_files_belong(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    workspace = resolve_workspace(tmp_path)
    state = root / ".lumenflow/state/conductor"

    assert workspace.enrollment == state / "enrollment.json"
    assert workspace.sidecar_db == state / "sidecar.db"
    assert workspace.journal_db == state / "journal.db"
    assert workspace.control_socket == state / "control.sock"
    assert workspace.http_token == state / "http.token"
    assert workspace.lock == state / "lock"
    assert workspace.pack_db("acme-demo") == root / ".lumenflow/state/packs/acme-demo.db"
    assert workspace.signals == root / ".lumenflow/memory/signals.jsonl"


@pytest.mark.parametrize("slug", ["", "..", "../x", "a/b", "A", "a\n", ".hidden"])
def test_a_slug_cannot_name_a_file_elsewhere(tmp_path: Path, slug: str) -> None:
    with pytest.raises(ValueError, match="not a pack slug"):
        resolve_workspace(tmp_path).pack_db(slug)


def test_resolving_touches_nothing(tmp_path: Path) -> None:
    resolve_workspace(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_directory_is_not_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(WorkspaceMissing):
            resolve_workspace(path)
    with pytest.raises(WorkspaceMissing):
        Workspace(tmp_path / "missing").create()


def test_directories_are_made_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        resolve_workspace(tmp_path).create()
    finally:
        os.umask(before)

    made = [
        ".lumenflow",
        ".lumenflow/state",
        ".lumenflow/state/conductor",
        ".lumenflow/state/packs",
    ]
    assert [mode(tmp_path / name) for name in made] == [0o700] * 4


def test_existing_state_directories_are_narrowed_and_the_shared_ones_left_alone(
    tmp_path: Path,
) -> None:
    state = tmp_path / ".lumenflow/state/conductor"
    state.mkdir(parents=True, mode=0o755)
    state.chmod(0o755)
    (tmp_path / ".lumenflow").chmod(0o755)
    workspace = resolve_workspace(tmp_path)

    workspace.create()
    workspace.create()

    assert mode(state) == 0o700
    assert mode(tmp_path / ".lumenflow") == 0o755


@pytest.mark.parametrize("part", [".lumenflow", ".lumenflow/state", ".lumenflow/state/conductor",
                                  ".lumenflow/state/packs"])  # fmt: skip
def test_a_symbolic_link_out_of_the_workspace_is_refused(tmp_path: Path, part: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    link = root / part
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)

    with pytest.raises(WorkspaceUnsafe, match="out of the workspace"):
        resolve_workspace(root)
    with pytest.raises(WorkspaceUnsafe):
        Workspace(root.resolve()).create()
    assert list(outside.iterdir()) == []


def test_a_symbolic_link_that_stays_inside_is_fine(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / ".lumenflow").symlink_to("kept")
    workspace = resolve_workspace(tmp_path)

    workspace.create()

    assert (tmp_path / "kept/state/conductor").is_dir()


def test_a_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".lumenflow").touch()

    with pytest.raises(WorkspaceUnsafe):
        resolve_workspace(tmp_path)


def test_a_state_directory_of_someone_else_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(WorkspaceUnsafe, match="belongs to user"):
        workspace.check()


@pytest.mark.parametrize("where", ["workspace", "deep"])
def test_both_ends_meet_at_the_control_socket(where: str, request: pytest.FixtureRequest) -> None:
    workspace = request.getfixturevalue(where)
    with bind_control_socket(workspace, lock_held=True) as listener:
        listener.listen()

        assert mode(workspace.control_socket) == 0o600
        with connect_control_socket(workspace) as client, listener.accept()[0] as server:
            client.sendall(b"hello")
            assert server.recv(16) == b"hello"
            assert client.getblocking()


def test_the_long_path_is_really_too_long(deep: Workspace) -> None:
    assert len(os.fsencode(deep.control_socket)) > module.SOCKET_PATH_MAX


def test_no_descriptor_is_left_open_by_the_detour(deep: Workspace) -> None:
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    bind_control_socket(deep, lock_held=True).close()
    after = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0

    assert after == before


def test_the_detour_without_proc_leads_to_the_same_directory(
    deep: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = module._alias(deep.state_dir, tmp_path)

    assert alias == module._alias(deep.state_dir, tmp_path)
    assert alias.resolve() == deep.state_dir
    assert mode(alias.parent) == 0o700
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # pytest's own path may be too long for this address
        listener.bind(str(alias.relative_to(tmp_path) / "control.sock"))
        assert stat.S_ISSOCK(deep.control_socket.stat().st_mode)


def test_a_planted_detour_is_refused(deep: Workspace, tmp_path: Path) -> None:
    alias = module._alias(deep.state_dir, tmp_path)
    alias.unlink()
    alias.symlink_to(tmp_path)

    with pytest.raises(WorkspaceUnsafe, match="leads elsewhere"):
        module._alias(deep.state_dir, tmp_path)


def test_a_stale_socket_is_replaced_only_by_the_owner_of_the_lock(workspace: Workspace) -> None:
    bind_control_socket(workspace, lock_held=True).close()
    assert workspace.control_socket.exists()

    with pytest.raises(ControlSocketTaken):
        bind_control_socket(workspace, lock_held=False)
    bind_control_socket(workspace, lock_held=True).close()
    remove_control_socket(workspace)
    remove_control_socket(workspace)

    assert not workspace.control_socket.exists()


def test_something_else_in_its_place_is_never_removed(workspace: Workspace) -> None:
    workspace.control_socket.write_text("precious")

    with pytest.raises(ControlSocketTaken, match="is not a socket"):
        bind_control_socket(workspace, lock_held=True)
    assert workspace.control_socket.read_text() == "precious"


def test_no_sidecar_is_an_error_that_says_how_to_start_one(workspace: Workspace) -> None:
    with pytest.raises(SidecarUnreachable) as missing:
        connect_control_socket(workspace)
    bind_control_socket(workspace, lock_held=True).close()
    with pytest.raises(SidecarUnreachable) as refused:
        connect_control_socket(workspace)

    assert missing.value.hint == "start it: conductor sidecar"
    assert "Connection refused" in refused.value.detail


def test_a_full_queue_of_callers_is_waited_for_within_the_bound(workspace: Workspace) -> None:
    with bind_control_socket(workspace, lock_held=True) as listener:
        listener.listen(0)
        callers: list[socket.socket] = []

        def crowd() -> None:
            for _ in range(20):
                callers.append(connect_control_socket(workspace, timeout_s=0.1))  # noqa: PERF401  those that got in are closed

        try:
            with pytest.raises(SidecarUnreachable, match="too many callers"):
                crowd()
        finally:
            for caller in callers:
                caller.close()


def test_importing_it_loads_nothing_beyond_the_standard_library() -> None:
    program = (
        "import sys, conductor_sdk.workspace;"
        "print([m for m in ('msgspec', 'asyncio', 'pydantic', 'sqlite3') if m in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert printed.stdout.strip() == b"[]"
