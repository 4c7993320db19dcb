"""Builders that the protocol's tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def event() -> Callable[..., bytes]:
    """Build the bytes of a well-formed event; keywords replace or add envelope members."""

    def build(number: int = 1, **members: Any) -> bytes:
        fields = {
            "schema_version": 2,
            "kind": "acme-demo:job_completed",
            "event_id": f"evt-{number}",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "from": "workspace:test",
            "payload": {"number": number},
        }
        return json.dumps(fields | members, ensure_ascii=False).encode()

    return build
