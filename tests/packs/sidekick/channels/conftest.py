"""A pack's context without a daemon, and a provider that answers what it is told."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.sidekick.channels.port import (
    ReceiveReply,
    ReceiveRequest,
    SendReply,
    SendRequest,
)
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_sdk.clock import ManualClock

SECRET = "whsec_" + base64.b64encode(b"a-secret-of-24-bytes-abc").decode()


class Keys:
    """Replay keys in memory."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def has(self, key: str) -> bool:
        return key in self.keys

    async def put(self, key: str) -> None:
        self.keys.add(key)


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def _keep(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    debug = info = warning = error = _keep


class Context:
    """What a webhook's receiver reads of a `PackContext`."""

    def __init__(self, workspace: Path, clock: ManualClock, config: Mapping[str, Any]) -> None:
        self.slug = "sidekick"
        self.subject = "acme-workspace"
        self.workspace = workspace
        self.clock = clock
        self.config = config
        self.replay_log = Keys()
        self.log = Lines()


class Told:
    """A transport with answers prepared; the last one is repeated."""

    def __init__(self, *replies: SendReply | Exception, deduplicates: bool = True) -> None:
        self.replies = list(replies) or [SendReply(True, external_message_id="ext-1")]
        self.deduplicates = deduplicates
        self.requests: list[SendRequest] = []

    async def send(self, request: SendRequest) -> SendReply:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def receive(self, request: ReceiveRequest) -> ReceiveReply:
        return ReceiveReply(True, records=({"n": 1},))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def storage(clock: ManualClock) -> MemoryStoragePort:
    return MemoryStoragePort(clock=clock)


@pytest.fixture
def told() -> type[Told]:
    return Told


@pytest.fixture
def context(tmp_path: Path, clock: ManualClock) -> Any:
    file = tmp_path / "hook.secret"
    file.write_text(SECRET)
    file.chmod(0o600)

    def make(**config: Any) -> Context:
        return Context(tmp_path, clock, config)

    return make
