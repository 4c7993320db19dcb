"""What the tests of the MCP surface share."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)  # for the pack, whose entry points name its module


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose control socket has an address that any client can name."""
    with tempfile.TemporaryDirectory(prefix="mcp-") as directory:
        yield Path(directory)


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the notes' tools remember of one test."""
    import notes_pack

    fresh = notes_pack.Desk()
    monkeypatch.setattr(notes_pack, "desk", fresh)
    return fresh
