"""A world whose files a test changes, over each adapter."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from delivery_world import SUBJECT
from reload_pack import GUEST, STEADY, install_packs, module_of
from reload_world import ReloadWorld


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The packs of the suite, imported fresh."""
    monkeypatch.syspath_prepend(str(install_packs(tmp_path / "installed")))
    yield tmp_path / "installed"
    ours = {module_of(slug) for slug in (STEADY, GUEST)}
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]


@pytest.fixture(params=["websocket", "inprocess"], ids=["websocket", "memory"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, packs: Path
) -> AsyncIterator[ReloadWorld]:
    (tmp_path / SUBJECT).mkdir()
    made = ReloadWorld(tmp_path, request.param)
    yield made
    await made.end()
