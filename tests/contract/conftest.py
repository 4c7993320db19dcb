"""A world for each adapter, with a fresh pack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from delivery_world import World, install_delivery_pack
from mqtt_world import MqttWorld


@pytest.fixture(params=["websocket", "inprocess", "mqtt"], ids=["websocket", "memory", "mqtt"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Both ends, neither of them running."""
    install_delivery_pack(tmp_path, monkeypatch)
    made = MqttWorld(tmp_path) if request.param == "mqtt" else World(tmp_path, request.param)
    yield made
    await made.end()
