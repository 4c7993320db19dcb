"""The far end of the memory adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conductor_adapters.memory import pair
from conductor_protocol.messages import Push
from conductor_sdk.clock import SystemClock
from conductor_server.inbox import read_signals
from conductor_server.loopback import Loopback
from conductor_server.settings import HubSettings
from conductor_server.signals import SIGNALS


@pytest.fixture
async def loopback(history: Any, tmp_path: Path) -> AsyncIterator[Loopback]:
    loopback = Loopback(history, SystemClock(), tmp_path, "ws-1", HubSettings(close_s=0.5))
    yield loopback
    await loopback.close()


async def connected(loopback: Loopback, play: Any, group: asyncio.TaskGroup) -> Any:
    near, far = pair()
    group.create_task(loopback.attach(far))
    sidecar = play(near)
    await sidecar.hello()
    return sidecar


async def test_a_pushed_event_is_in_the_inbox_before_it_is_confirmed(
    loopback: Any, play: Any, made: Any, tmp_path: Any
) -> None:
    async with asyncio.TaskGroup() as group:
        sidecar = await connected(loopback, play, group)

        [result] = await sidecar.push(made(key="1"))

        [signal] = read_signals(tmp_path)
        assert ("accepted", made(key="1").event_id) == (result.status, signal.remote_id)
        await loopback.close()


async def test_an_event_sent_down_reaches_the_sidecar(loopback: Any, play: Any) -> None:
    async with asyncio.TaskGroup() as group:
        sidecar = await connected(loopback, play, group)

        sequence, event_id = await loopback.send(
            "conductor:recovery_requested", {"wu_id": "acme-job-1"}, idempotency_key="k"
        )

        [(arrived, event)] = await sidecar.events(1)
        assert (sequence, event_id) == (arrived, event.event_id)
        await loopback.close()


async def test_an_inbox_that_cannot_be_written_withholds_the_confirmation(
    loopback: Any, play: Any, made: Any, tmp_path: Any
) -> None:
    (tmp_path / SIGNALS).mkdir(parents=True)
    async with asyncio.TaskGroup() as group:
        sidecar = await connected(loopback, play, group)
        await sidecar.say(Push(events=[raw(made(key="1"))]))
        closed = await sidecar.closed()
    (tmp_path / SIGNALS).rmdir()

    async with asyncio.TaskGroup() as group:
        sidecar = await connected(loopback, play, group)
        [result] = await sidecar.push(made(key="1"))
        await loopback.close()

    assert (1011, "duplicate") == (closed.close_code, result.status)
    assert [made(key="1").event_id] == [signal.remote_id for signal in read_signals(tmp_path)]


def raw(event: Any) -> Any:
    import msgspec

    return msgspec.Raw(event.to_json())
