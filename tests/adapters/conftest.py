"""What every test of an adapter must leave behind: nothing in the event loop's error log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

SERVER_SIDE_OF_A_REFUSED_TLS_HANDSHAKE = "Error on transport creation for incoming connection"


@pytest.fixture(autouse=True)
def _no_error_in_a_callback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    errors = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR
        and not record.getMessage().startswith(SERVER_SIDE_OF_A_REFUSED_TLS_HANDSHAKE)
    ]
    assert not errors
