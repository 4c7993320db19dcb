from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from real_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty directory in which processes run."""
    with World(tmp_path) as world:
        yield world


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for a module, for tests that leave no trace in each other's workspaces."""
    with World(tmp_path_factory.mktemp("shared")) as world:
        yield world
