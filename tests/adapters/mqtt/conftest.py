"""Brokers for the tests of the MQTT adapter: one for all that only need a broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mosquitto import Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker without passwords; tests keep apart by their topic roots."""
    with Broker(tmp_path_factory.mktemp("broker") / "run") as running:
        yield running
