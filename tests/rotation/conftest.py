from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from delivery_world import install_delivery_pack
from rotation_world import RotationWorld


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RotationWorld]:
    """Both ends, neither of them running."""
    install_delivery_pack(tmp_path, monkeypatch)
    made = RotationWorld(tmp_path)
    yield made
    await made.end()
