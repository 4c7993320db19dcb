"""A credential that is turned over while the options of the link are reloaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conductor_adapters.http import HttpPushResult
from conductor_adapters.transport import ConnectFailed
from conductor_sdk.secret import Secret
from conductor_sidecar.rotation.pusher import PresentPusher, Way
from delivery_world import SUBJECT
from reload_world import ReloadWorld
from rotation_world import RotationWorld


class TurningWorld(RotationWorld, ReloadWorld):
    """A world with a credential and with settings that a test changes."""


@pytest.fixture
async def turning(tmp_path: Path, packs: Path) -> AsyncIterator[TurningWorld]:
    """Both ends, neither of them running."""
    (tmp_path / SUBJECT).mkdir()
    made = TurningWorld(tmp_path)
    yield made
    made.open_gates()
    await made.end()


async def test_rotations_and_reloads_of_the_link_do_not_disturb_each_other(
    turning: TurningWorld,
) -> None:
    await turning.run()
    over = asyncio.Event()
    outcomes: list[str] = []

    async def reloading() -> None:
        number = 0
        while not over.is_set():
            number += 1
            after = {"http_fallback_after_s": 1.0 + number} if number % 2 else {}
            turning.write({"link": {"open_timeout_s": 5.0 + number, **after}})
            outcomes.append((await turning.reload())["outcome"])

    task = asyncio.create_task(reloading())
    try:
        for generation in (2, 3, 4):
            await turning.send(*range(generation * 10, generation * 10 + 10))
            await turning.order()
            await turning.rotated(generation)
    finally:
        over.set()
        await task
    assert {"applied"} == set(outcomes)
    handled = turning.pack().handled
    await turning.until("all is handled", lambda: len(handled) >= 30)
    assert list(range(20, 50)) == sorted(handled)
    assert (4, [4]) == (turning.generation, await turning.valid())


async def test_a_rotation_goes_on_when_its_link_is_mended_by_a_reload(
    turning: TurningWorld,
) -> None:
    await turning.run()
    broken = {"link": {"cert_file": "/nowhere/client.pem", "key_file": "/nowhere/client.key"}}
    for changes in (broken, {}):
        turning.write(changes)
        await turning.reload()
        if changes:
            await turning.order()
    await turning.rotated(2)
    await turning.send(1)
    await turning.until("it is handled", lambda: turning.pack().handled == [1])


class Failing:
    """A pusher that reaches nobody as long as it is told so."""

    closed = False

    def __init__(self, broken: list[bool]) -> None:
        self._broken = broken

    async def push(self, workspace: str, events: object) -> list[HttpPushResult]:
        if self._broken[0]:
            raise ConnectFailed("a certificate has expired")
        return []

    async def close(self) -> None:
        self.closed = True


async def test_a_pusher_that_failed_is_made_anew_for_the_files_may_have_changed() -> None:
    made: list[Failing] = []
    broken = [True]

    def make(way: Way) -> Failing:
        made.append(Failing(broken))
        return made[-1]

    way = Way("wss://127.0.0.1/link", Secret("a" * 20), "ca.pem", allow_plaintext=False)
    pusher = PresentPusher(make, lambda: way)
    for _ in range(2):
        with pytest.raises(ConnectFailed):
            await pusher.push("ws", [b"a"])
    broken[0] = False
    for _ in range(2):
        await pusher.push("ws", [b"a"])
    assert [True, True, False] == [each.closed for each in made]
