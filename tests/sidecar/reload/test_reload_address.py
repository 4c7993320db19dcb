"""Another address for tools, while the sidecar runs: made before the old one is broken."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from conductor_adapters.http import HttpPushResult
from conductor_adapters.transport import ConnectFailed
from conductor_sdk.clock import ManualClock, SystemClock
from conductor_sdk.records import Outgoing
from conductor_sdk.secret import Secret
from conductor_sidecar.delivery import fallback as falling
from conductor_sidecar.delivery.fallback import HttpFallback
from conductor_sidecar.feed import Feed
from conductor_sidecar.rotation.fetch import HttpEndpoint
from conductor_sidecar.rotation.pusher import PresentPusher, Way
from conductor_sidecar.serve import Service
from conductor_sidecar.settings import LinkSettings
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from conductor_state.memory.outbox import MemoryOutbox
from own_port import own_port
from reload_pack import GUEST, STEADY
from reload_world import ReloadWorld, changes

TOOLS = [f"{GUEST}:say", f"{STEADY}:say"]
OPEN = {"allow_tools": ["*"]}


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return own_port()


def knock(address: str, request: bytes = b"") -> bytes:
    """Connect, ask, and return the first bytes of the answer; raises where nobody listens."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as talk:
        if not request:
            return b""
        talk.sendall(request)
        return talk.recv(64)


async def test_tools_move_to_another_address_and_away(world: ReloadWorld, port: int) -> None:
    await world.run()
    seen: list[Any] = [(await world.status())["http"]]
    for listen in ("127.0.0.1:0", f"127.0.0.1:{port}", None):
        world.write({"http": OPEN if listen is None else {**OPEN, "listen": listen}})
        report = await world.reload()
        assert ("applied", False) == (report["outcome"], report["restart_needed"])
        here = (await world.status())["http"]
        if listen is not None:
            assert TOOLS == await world.tcp_tools()
        if seen[-1] is not None:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.to_thread(knock, seen[-1])
        seen.append(here)
    assert [None, f"http://127.0.0.1:{port}", None] == [seen[0], *seen[2:]]
    assert seen[1] not in seen[2:]


async def test_an_address_that_cannot_be_had_leaves_the_old_one_open(
    world: ReloadWorld, port: int
) -> None:
    mine = {**OPEN, "listen": f"127.0.0.1:{port}"}
    world.write({"http": mine})
    await world.run()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = f"127.0.0.1:{taken.getsockname()[1]}"
        codes: list[str] = []
        for listen in (other, "192.0.2.1:0", "0.0.0.0:0"):
            world.write({"http": {**mine, "listen": listen}, "dispatch": {"concurrency": 3}})
            codes.append((await world.refused())["code"])
    assert ["HTTP_LISTEN_FAILED", "HTTP_LISTEN_REFUSED", "HTTP_LISTEN_REFUSED"] == codes
    assert (TOOLS, []) == (await world.tcp_tools(), world.applied)
    world.write({"http": {**mine, "listen": f"localhost:{port}"}})
    assert "applied" == (await world.reload())["outcome"]
    assert TOOLS == await world.tcp_tools()


async def test_leave_to_listen_for_others_cannot_be_taken_back_while_they_are_listened_for(
    world: ReloadWorld,
) -> None:
    remote = {**OPEN, "listen": "0.0.0.0:0", "allow_remote": True}
    world.write({"http": remote})
    await world.run()
    world.write({"http": {**remote, "allow_remote": False}})
    assert "HTTP_LISTEN_REFUSED" == (await world.refused())["code"]


async def test_an_exchange_that_fails_leaves_the_address_that_was_prepared(
    world: ReloadWorld, port: int
) -> None:
    await world.run()
    world.write({
        "http": {**OPEN, "listen": f"127.0.0.1:{port}"}, "reload": {"timeout_s": 0.1},
    })  # fmt: skip
    await world.reload()
    await world.send(1, do="wait")
    await world.until("it runs", lambda: bool(world.pack().calls))
    other = f"127.0.0.1:{own_port()}"
    for http in (OPEN, {**OPEN, "listen": other}):
        world.write({"http": http, "reload": {"timeout_s": 0.1}})
        assert "RELOAD_TIMEOUT" == (await world.refused())["code"]
        assert TOOLS == await world.tcp_tools()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.to_thread(knock, other)
    world.open_gates()


async def test_metrics_are_opened_and_closed_on_the_same_port(world: ReloadWorld) -> None:
    listen = {"listen": "127.0.0.1:0"}
    world.write({"http": listen})
    await world.run()
    said: list[bytes] = []
    for is_open in (False, True, False):
        world.write({"http": listen, "metrics": {"open": is_open}})
        await world.reload()
        address = str((await world.status())["http"])
        host = address.removeprefix("http://").encode()
        request = b"GET /metrics HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host
        said.append((await asyncio.to_thread(knock, address, request))[:12])
    assert [b"HTTP/1.1 401", b"HTTP/1.1 200", b"HTTP/1.1 401"] == said


async def test_a_socket_that_was_handed_over_is_kept_and_that_is_said(world: ReloadWorld) -> None:
    handed = socket.socket()
    handed.bind(("127.0.0.1", 0))
    handed.listen()
    world.service = Service(Herald(Notifier(None), SystemClock()), handed)
    world.write({"http": OPEN})
    await world.run()
    before = (await world.status())["http"]
    world.write({"http": {**OPEN, "listen": "127.0.0.1:0"}})
    report = await world.reload()
    assert [("setting", "http.listen", "added")] == changes(report) or [
        ("setting", "http.listen", "changed")
    ] == changes(report)
    assert ["a service manager holds the socket: change its .socket unit"] == [
        change["why"] for change in report["changes"]
    ]
    assert (before, TOOLS) == ((await world.status())["http"], await world.tcp_tools())


class Link:
    """A link that is never open, and counts who looks."""

    looks = 0

    @property
    def open(self) -> bool:
        self.looks += 1
        return False


class Counting:
    """A pusher that remembers how often it was asked."""

    pushes = 0

    async def push(self, workspace: str, events: Sequence[bytes]) -> list[HttpPushResult]:
        self.pushes += 1
        return [HttpPushResult(body.decode(), "accepted") for body in events]


async def test_the_wait_for_http_is_asked_for_at_each_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(falling, "LOOK_S", 0.001)
    clock, pusher, link = ManualClock(), Counting(), Link()
    outbox = MemoryOutbox(clock=clock)
    await outbox.put([Outgoing("a", "demo:thing", b"a")])
    wait: list[float | None] = [None]
    fallback = HttpFallback(
        pusher, outbox, link, clock, Feed(clock), subject="ws", after_s=lambda: wait[0]
    )
    task = asyncio.create_task(fallback.run())

    async def until(reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not reached():  # noqa: ASYNC110  it has no event to wait on
                await asyncio.sleep(0.001)

    try:
        await until(lambda: link.looks > 0)
        clock.advance(61.0)
        seen = link.looks
        await until(lambda: link.looks > seen + 2)
        assert 0 == pusher.pushes
        wait[0] = 60.0
        await until(lambda: pusher.pushes > 0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 0 == (await outbox.depth()).events


class Closing(Counting):
    def __init__(self, way: Way) -> None:
        self.way = way
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def test_another_way_is_taken_from_the_next_push_on() -> None:
    made: list[Closing] = []

    def make(way: Way) -> Closing:
        made.append(Closing(way))
        return made[-1]

    first = Way("ws://127.0.0.1/link", Secret("a" * 20), None, allow_plaintext=False)
    ways = [first, first, Way(first.link, first.credential, "ca.pem", allow_plaintext=False)]
    pusher = PresentPusher(make, lambda: ways[0])
    while len(ways) > 1:
        await pusher.push("ws", [b"a"])
        ways.pop(0)
    await pusher.push("ws", [b"a"])
    assert [(None, True, 2), ("ca.pem", False, 1)] == [
        (each.way.ca_file, each.closed, each.pushes) for each in made
    ]
    ways[0] = Way("mqtt://127.0.0.1", first.credential, None, allow_plaintext=False)
    with pytest.raises(ConnectFailed, match="no HTTP address"):
        await pusher.push("ws", [b"a"])


async def test_a_rotation_asks_by_the_trust_of_its_time(tmp_path: Path) -> None:
    now = [LinkSettings(ca_file=str(tmp_path / "one.pem"))]
    endpoint = HttpEndpoint(ManualClock(), lambda: now[0])
    missing: list[str] = []
    for name in ("one.pem", "two.pem"):
        now[0] = LinkSettings(ca_file=str(tmp_path / name))
        with pytest.raises((OSError, ssl.SSLError, ConnectFailed)) as failed:
            await endpoint.fetch("https://127.0.0.1:9/", Secret("a" * 20), None)
        missing.append(str(failed.value))
    assert ["one.pem" in missing[0], "two.pem" in missing[1]] == [True, True]
    now[0] = LinkSettings()
    with pytest.raises(ConnectFailed, match="unencrypted"):
        await endpoint.fetch("http://192.0.2.1/", Secret("a" * 20), None)
