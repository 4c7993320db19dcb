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
