"""A workspace with a system of its own around it: /proc and /etc below a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checkup_scene import NOW, Enroll, enroller
from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.checkup.scene import Scene
from installed import install


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws").mkdir()
    return resolve_workspace(tmp_path / "ws")


@pytest.fixture
def scene(workspace: Workspace, tmp_path: Path) -> Scene:
    root = tmp_path / "root"
    (root / "proc/self").mkdir(parents=True)
    return Scene(workspace, {"HOME": "/home/someone"}, ManualClock(NOW), root=root)


@pytest.fixture
def enroll(workspace: Workspace) -> Enroll:
    return enroller(workspace)


@pytest.fixture
def installed_pack() -> Callable[[Path, str], Path]:
    return lambda directory, target: install(directory, packs={"broken": target})
