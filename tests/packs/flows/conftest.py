"""What the tests of the pack in the harness share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import flow_desk
from conductor_packs.flows import engine
from conductor_packs.flows.pack import pack
from conductor_sdk.testing import PackHarness
from flow_pack_harness import Make
from flow_pack_world import config, flows_in


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> flow_desk.Desk:
    monkeypatch.setattr(engine, "LOOK_S", 0.01)
    made = flow_desk.Desk()
    monkeypatch.setattr(flow_desk, "desk", made)
    return made


@pytest.fixture
async def make(tmp_path: Path, desk: flow_desk.Desk) -> AsyncIterator[Make]:
    flows_in(tmp_path)
    made: list[PackHarness] = []

    def harness(**more: Any) -> PackHarness:
        made.append(PackHarness(pack, config=config(**more), workspace=tmp_path))
        return made[-1]

    yield harness
    for each in made:
        await each.close()
