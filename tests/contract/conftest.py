"""A world for each adapter, with a fresh pack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import delivery_pack
from delivery_world import SUBJECT, World
from installed import install
from mqtt_world import MqttWorld


@pytest.fixture(params=["websocket", "inprocess", "mqtt"], ids=["websocket", "memory", "mqtt"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Both ends, neither of them running."""
    installed = install(
        tmp_path / "installed",
        packs={"delivery_pack": "delivery_pack:pack"},
        adapters={"inprocess": "conductor_adapters.memory:adapter"},
    )
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(delivery_pack, "desk", delivery_pack.Desk())
    (tmp_path / SUBJECT).mkdir()
    made = MqttWorld(tmp_path) if request.param == "mqtt" else World(tmp_path, request.param)
    yield made
    await made.end()
