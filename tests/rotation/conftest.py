from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import delivery_pack
from delivery_world import SUBJECT
from installed import install
from rotation_world import RotationWorld


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RotationWorld]:
    """Both ends, neither of them running."""
    installed = install(tmp_path / "installed", packs={"delivery_pack": "delivery_pack:pack"})
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(delivery_pack, "desk", delivery_pack.Desk())
    (tmp_path / SUBJECT).mkdir()
    made = RotationWorld(tmp_path)
    yield made
    await made.end()
