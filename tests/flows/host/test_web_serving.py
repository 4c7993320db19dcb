"""A real server on a real socket, with clients that behave as they like."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from uvicorn.server import ServerState

from conductor_flows.host.errors import AddressRefused
from conductor_flows.host.web import presence, serving
from conductor_flows.host.web.application import WebHost
from conductor_flows.host.web.serving import BoundedProtocol, bind, serve
from conductor_flows.host.web.site import Choices
from flow_web import back, counting, program_of, web
from virtual_time import turns, virtual

PATIENCE_S = 10.0
BEFORE: contextvars.ContextVar[Any] = contextvars.ContextVar("BEFORE", default="nobody")


@contextlib.asynccontextmanager
async def served(app: WebHost, **how: Any) -> AsyncIterator[str]:
    """Serve for the time of the block; gives the URL."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(
        serve(app, "127.0.0.1:0", ready=told.set_result, stop=stop, signals=False, **how)
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield await told
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task


class Wire:
    """A connection, byte by byte."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        place = urlsplit(self._url)
        self.reader, self.writer = await asyncio.open_connection(place.hostname, place.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def say(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        with contextlib.suppress(OSError):
            await self.writer.drain()

    async def ask(self, body: str = "1", *, head: str = "", target: str = "/asked") -> None:
        lines = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}"
        await self.say(f"{lines}Content-Length: {len(body)}\r\n\r\n{body}")

    async def answer(self) -> tuple[int, bytes]:
        """Read one answer with a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        found = {name.lower(): value.strip() for name, _, value in
                 (line.partition(b":") for line in head.split(b"\r\n")[1:])}  # fmt: skip
        body = await self.reader.readexactly(int(found.get(b"content-length", b"0")))
        return int(head.split()[1]), body

    async def closed(self) -> bytes:
        """Read until the server closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


async def test_a_connection_serves_one_request_after_another() -> None:
    async with served(web(program_of(back))) as url, Wire(url) as wire:
        for number in range(3):
            await wire.ask(str(number + 1))
            assert (200, str(number + 1).encode()) == await wire.answer()


async def swap(value: Any) -> Any:
    """Leave something in the context of the run, and give what was there."""
    before = BEFORE.get()
    BEFORE.set(value)
    return before


async def test_what_a_run_leaves_in_its_context_reaches_no_other_of_its_connection() -> None:
    BEFORE.set("the host")
    async with served(web(program_of(swap))) as url, Wire(url) as wire:
        for body in ("1", "2", "3"):  # without waiting for answers
            await wire.ask(body)
        # One that is read in pieces: reading is paused, and taken up by whoever asks for more.
        for body in (json.dumps("x" * 200_000), "4", json.dumps("y" * 200_000)):
            await wire.ask(body)
        for _ in range(6):
            assert (200, b'"the host"') == await wire.answer()


async def test_no_connection_waits_for_an_acknowledgement_before_it_sends_the_rest() -> None:
    # asyncio turns Nagle's delay off for sockets that say that they are TCP.
    for addr in ("127.0.0.1:0", "[::1]:0"):
        with bind(addr) as listener:
            assert socket.IPPROTO_TCP == listener.proto
    made: list[asyncio.Transport] = []

    class Watched(BoundedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's own
            made.append(transport)
            super().connection_made(transport)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "BoundedProtocol", Watched)
        async with served(web(program_of(back))) as url, Wire(url) as wire:
            await wire.ask()
            assert (200, b"1") == await wire.answer()
            accepted = made[0].get_extra_info("socket")
            assert 1 == accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("streams", [False, True])
async def test_a_client_that_closes_its_socket_cancels_the_run(*, streams: bool) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def plain(_: Any) -> Any:
        return await wait()

    async def stream(_: Any) -> Any:
        async def each() -> AsyncIterator[Any]:
            yield await wait()

        return each()

    app = web(program_of(stream if streams else plain, streams=streams), concurrency=1)
    async with served(app) as url:
        async with Wire(url) as wire:
            await wire.ask()
            await began.wait()
        await ended.wait()
        began.clear()
        async with Wire(url) as wire:  # the place is free again
            await wire.ask()
            await began.wait()


async def test_a_stream_comes_as_it_is_made() -> None:
    async with served(web(program_of(counting(3, 0.01), streams=True))) as url, Wire(url) as wire:
        await wire.ask(head="Connection: close\r\n")
        text = (await wire.closed()).decode()
    assert "content-type: text/event-stream" in text.lower()
    assert [0, 1, 2] == [
        json.loads(line.removeprefix("data: ")) for line in text.splitlines()
        if line.startswith("data: ")
    ]  # fmt: skip


@pytest.fixture
def protocols(monkeypatch: pytest.MonkeyPatch) -> list[BoundedProtocol]:
    """Those of the connections that are made; each run is watched for its client from its start."""
    made: list[BoundedProtocol] = []

    class Watched(BoundedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's own
            made.append(self)
            super().connection_made(transport)

    monkeypatch.setattr(serving, "BoundedProtocol", Watched)
    monkeypatch.setattr(presence, "WATCH_AFTER_S", 0.0)
    return made


async def length(value: Any) -> Any:
    await turns()
    return len(value)


async def test_requests_that_wait_for_one_before_them_stay_with_their_client(
    protocols: list[BoundedProtocol],
) -> None:
    ran, enough = list[Any](), asyncio.Event()

    async def give(value: Any) -> Any:
        await turns()
        ran.append(value)
        if len(ran) == 20:
            enough.set()
        return value

    async with served(web(program_of(give))) as url, Wire(url) as wire:
        head = "POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"
        wire.writer.write(head.encode() * 100_000)
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
        waiting, _ = protocols[0].conn.trailing_data
        wire.writer.transport.abort()
    assert len(waiting) < 1_000_000


async def test_requests_that_wait_for_one_before_them_are_all_answered(
    protocols: list[BoundedProtocol],
) -> None:
    async with served(web(program_of(length))) as url, Wire(url) as wire:
        sizes = [60_000, 1, 1, 200_000, 1, 70_000, 60_000, 2]
        asking = asyncio.gather(*(wire.ask(json.dumps("x" * size)) for size in sizes))
        async with asyncio.timeout(PATIENCE_S):
            for size in sizes:
                assert (200, str(size).encode()) == await wire.answer()
            await asking
    assert 1 == len(protocols)


async def test_a_head_that_drips_is_cut_off() -> None:
    async with served(web(program_of(back)), head_s=0.2) as url:
        async with Wire(url) as silent, Wire(url) as slow:
            await slow.say("POST /asked HTTP/1.1\r\nHost: ")
            assert b"" == await silent.closed()
            assert b"" == await slow.closed()
        async with Wire(url) as wire:
            await wire.ask()
            assert (200, b"1") == await wire.answer()


async def test_a_body_that_drips_is_cut_off() -> None:
    app = web(program_of(back), choices=Choices(body_s=0.2))
    async with served(app, head_s=5) as url, Wire(url) as wire:
        await wire.say("POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[1")
        status, body = await wire.answer()
        assert (408, True) == (status, b"did not come" in body)
        await wire.closed()


async def test_a_body_that_nobody_reads_may_not_drip_for_ever() -> None:
    async with served(web(program_of(back)), head_s=0.2) as url, Wire(url) as wire:
        await wire.say("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert 404 == (await wire.answer())[0]
        closed = asyncio.create_task(wire.closed())
        async with asyncio.timeout(PATIENCE_S):
            while not closed.done():
                await wire.say("x")
                await asyncio.wait({closed}, timeout=0.02)


async def test_a_body_that_nobody_reads_is_passed_over_when_it_comes_in_time() -> None:
    async with served(web(program_of(back))) as url, Wire(url) as wire:
        await wire.ask("1" * 300_000, target="/nowhere")
        assert 404 == (await wire.answer())[0]
        await wire.ask("2")
        assert (200, b"2") == await wire.answer()


class Clogged(asyncio.Transport):
    """The way to a client that takes what the test says."""

    untaken = 0
    aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def abort(self) -> None:
        self.aborted = True


@virtual
async def test_a_client_has_as_long_as_it_goes_on_taking() -> None:
    config = serving._config(web(program_of(back)), BoundedProtocol)
    config.load()
    protocol = BoundedProtocol(
        config=config, server_state=ServerState(), app_state={}, head_s=10, connections_max=1,
        context=contextvars.copy_context(),
    )  # fmt: skip
    way = Clogged()
    way.untaken = 3 * serving.TAKEN_MIN
    protocol.connection_made(way)
    protocol.pause_writing()
    for taken in (2 * serving.TAKEN_MIN, serving.TAKEN_MIN):
        way.untaken -= taken
        await asyncio.sleep(serving.STALL_S)
        assert not way.aborted
    way.untaken += serving.TAKEN_MIN
    protocol.resume_writing()
    await asyncio.sleep(serving.STALL_S)
    assert not way.aborted
    protocol.pause_writing()
    way.untaken -= serving.TAKEN_MIN - 1
    await asyncio.sleep(serving.STALL_S)
    assert way.aborted


async def test_more_connections_than_may_be_are_dropped() -> None:
    app = web(program_of(back))
    async with served(app, connections_max=2) as url, Wire(url) as one, Wire(url) as two:
        for wire in (one, two):
            await wire.ask()
            await wire.answer()
        async with Wire(url) as three:
            await three.ask()
            assert b"" == await three.closed()
        await one.ask("2")
        assert (200, b"2") == await one.answer()


async def test_connections_leave_files_for_everything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving.resource, "getrlimit", lambda _: (4, 4))
    async with served(web(program_of(back))) as url, Wire(url) as one, Wire(url) as two:
        for wire in (one, two):
            await wire.ask()
            await wire.answer()
        async with Wire(url) as three:
            await three.ask()
            assert b"" == await three.closed()


@pytest.mark.parametrize(("files", "connections"), [
    (64, 32), (256, 128), (1024, 896), (4096, 1024), (resource.RLIM_INFINITY, 1024),
])  # fmt: skip
def test_connections_are_as_many_as_the_process_can_afford(
    files: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.resource, "getrlimit", lambda _: (files, files))
    assert connections == serving._affordable(1024)


async def test_a_body_over_the_limit_is_answered_and_the_rest_not_taken() -> None:
    app = web(program_of(back), max_body_bytes=1000)
    async with served(app) as url:
        async with Wire(url) as wire:
            await wire.say("POST /asked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            await wire.say(b"400\r\n" + b"1" * 1024 + b"\r\n")
            status, _ = await wire.answer()
            assert 413 == status
            await wire.say(b"ffffff\r\n" + b"1" * 100_000)
            await wire.closed()
        async with Wire(url) as wire:
            await wire.ask()
            assert (200, b"1") == await wire.answer()


@pytest.mark.parametrize("raw", [
    "POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n1",
    "POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n1",
    "POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n1",
    "POST /asked HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\nb: c\x00\r\n\r\n",
    "POST /asked HTTP/1.1\r\nX-No-Host: x\r\n\r\n", "nonsense\r\n\r\n",
])  # fmt: skip
async def test_a_head_that_is_none_is_refused_and_the_connection_closed(raw: str) -> None:
    async with served(web(program_of(back))) as url, Wire(url) as wire:
        await wire.say(raw)
        answer = await wire.closed()
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(("version", "length"), [("1.1", "Content-Length: 4\r\n"), ("1.0", "")])
async def test_a_body_with_two_ends_hides_no_request(version: str, length: str) -> None:
    async with served(web(program_of(back))) as url, Wire(url) as wire:
        head = f"POST /asked HTTP/{version}\r\nHost: x\r\nContent-Type: application/json\r\n"
        hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        chunked = "Transfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n"
        await wire.say(head + length + chunked + hidden)
        answer = await wire.closed()
    assert (True, 1) == (b" 400 " in answer.split(b"\r\n")[0], answer.count(b"HTTP/1.1 "))


async def test_whoever_sends_nonsense_does_not_write_our_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = "Host: x\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"
    async with served(web(program_of(back))) as url:
        for text in (
            "nonsense\r\n\r\n",
            f"POST /nowhere HTTP/1.1\r\n{body}",
            f"POST /asked HTTP/1.1\r\n{body}",
            f"HEAD /asked HTTP/1.1\r\n{body}",
            "GET /asked HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ):
            async with Wire(url) as wire:
                await wire.say(text)
                wire.writer.write_eof()
                await wire.closed()
        async with Wire(url) as wire:
            head = "POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            await wire.say(head)
            assert 404 == (await wire.answer())[0]
            await wire.say("no size\r\n")
            await wire.closed()
    ours = [each for each in caplog.records if "flows" in each.name or each.name == "asyncio"]
    assert [] == [each.getMessage() for each in ours if each.levelname == "ERROR"]


async def test_a_client_that_breaks_a_stream_off_does_not_write_our_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def give(_: Any) -> Any:
        async def pieces() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                ended.set()

        return pieces()

    ended = asyncio.Event()
    async with served(web(program_of(give, streams=True))) as url, Wire(url) as wire:
        await wire.ask()
        await wire.reader.readuntil(b"data: ")
        lingering = struct.pack("ii", 1, 0)  # what was sent and not taken is thrown away: a reset
        wire.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, lingering
        )
        wire.writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            await ended.wait()
    assert [] == [each.getMessage() for each in caplog.records if "send" in each.getMessage()]


async def test_a_body_shorter_than_it_says_begins_nothing() -> None:
    ran: list[Any] = []

    async def note(value: Any) -> Any:
        ran.append(value)
        return value

    async with served(web(program_of(note))) as url:
        async with Wire(url) as wire:
            await wire.say("POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
            wire.writer.write_eof()
            await wire.closed()
        async with Wire(url) as wire:
            await wire.ask("2")
            assert (200, b"2") == await wire.answer()
    assert [2] == ran


async def test_stopping_lets_a_request_end_and_answers_it() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def wait(value: Any) -> Any:
        began.set()
        await go_on.wait()
        return value

    app, stop = web(program_of(wait)), asyncio.Event()
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(app, "127.0.0.1:0", ready=told.set_result, stop=stop, signals=False)
    )
    async with asyncio.timeout(PATIENCE_S), Wire(await told) as wire, Wire(await told) as late:
        await wire.ask()
        await began.wait()
        stop.set()
        while not app.site.guests.draining:  # noqa: ASYNC110  # nobody tells when it is set
            await asyncio.sleep(0.001)
        await late.ask()
        assert 503 == (await late.answer())[0]
        go_on.set()
        assert (200, b"1") == await wire.answer()
        await task


PROGRAM = """
import asyncio, sys
from pathlib import Path
from conductor_flows.host.hosting import Host
from conductor_flows.host.loading import load
from conductor_flows.host.services import serving
from conductor_flows.host.web.application import application
from conductor_flows.host.web.route import routes_of
from conductor_flows.host.web.serving import serve

async def main():
    async with serving() as services:
        app = application(routes_of(Host(load("slow.py", folder=Path(sys.argv[1])), services)))
        await serve(app, "127.0.0.1:0", ready=lambda url: print(url, flush=True))
    print("closed", flush=True)

asyncio.run(main())
"""
SLOW = """
import asyncio
from conductor_flows import Flow, trigger

@trigger(summary="Wait")
async def wait(seconds: float) -> str:
    print("began", flush=True)
    await asyncio.sleep(seconds)
    return "ended"

flow = Flow("slow", "1.0.0", summary="Slow", profile="web")
flow.add(wait)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_a_process_after_its_requests(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(3 * PATIENCE_S):
        url = (await process.stdout.readline()).decode().strip()
        async with Wire(url) as wire:
            await wire.ask("0.3", target="/slow")
            assert b"began\n" == await process.stdout.readline()
            process.send_signal(number)
            assert (200, b'"ended"') == await wire.answer()
        rest, errors = await process.communicate()
    assert (0, b"closed\n", b"") == (process.returncode, rest, errors)


@pytest.mark.parametrize("addr", ["", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:80",
                                  "127.0.0.1:65536", "127.0.0.1:-1", "no such host:80",
                                  "a" * 70 + ".test:80", "127.0.0.1:٣", "[::1]"])  # fmt: skip
async def test_what_is_no_address_is_refused(addr: str) -> None:
    with pytest.raises(AddressRefused):
        await serve(web(program_of(back)), addr)


async def test_an_address_that_is_taken_is_refused() -> None:
    async with served(web(program_of(back))) as url:
        with pytest.raises(AddressRefused, match="in use"):
            await serve(web(program_of(back)), urlsplit(url).netloc)


@pytest.mark.parametrize("addr", ["0", ":0", "localhost:0", "[::1]:0"])
async def test_without_a_host_only_this_machine_is_served(addr: str) -> None:
    stop, told = asyncio.Event(), list[str]()

    def ready(url: str) -> None:
        told.append(url)
        stop.set()

    async with asyncio.timeout(PATIENCE_S):
        await serve(web(program_of(back)), addr, ready=ready, stop=stop, signals=False)
    assert urlsplit(told[0]).hostname in {"127.0.0.1", "::1"}
