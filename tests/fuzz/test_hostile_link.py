"""A conductor that means harm, through a real WebSocket and the real link."""

from __future__ import annotations

import asyncio
import gc
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from conductor_adapters.transport import ConnectFailed, LinkClosed, LinkOptions
from conductor_adapters.websocket import adapter
from conductor_protocol.messages import Limits
from hostile_conductor import Villain
from link_bench import LinkBench
from raw_websocket import CONT, PING, TEXT, TOKEN, RawServer, frame, linked, listening
from virtual_time import turns

MESSAGES = 3_000
AT_ONCE = 40
"""Messages of one connection at most."""
GROWTH_BYTES = 24 * 1024 * 1024
PATIENCE_S = 30.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BOMB = zlib.compress(bytes(64 * 1024 * 1024))[2:-4]
"""Sixty-four megabytes as sixty-four kilobytes."""
RSV1 = 0x40


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@asynccontextmanager
async def growing_little(limit: int = GROWTH_BYTES) -> AsyncIterator[None]:
    gc.collect()
    before = resident()
    yield
    gc.collect()
    assert resident() - before < limit


async def test_three_thousand_hostile_messages_over_a_socket_end_links_and_nothing_else() -> None:
    villain, told, links = Villain(11, Limits()), 0, 0
    stream = villain.frames()

    async def speak(server: RawServer) -> None:
        nonlocal told
        await server.answer()
        server.writer.write(frame(TEXT, villain.opening()))
        with suppress(ConnectionError):
            for _ in range(AT_ONCE):
                told += 1
                server.writer.write(frame(TEXT, next(stream)))
                await server.writer.drain()
            server.writer.write(frame(TEXT, b"\xff"))  # enough now
            await server.reader.read()

    bench = LinkBench()
    async with growing_little(), bench.running(), listening(speak) as address:
        async with asyncio.timeout(PATIENCE_S):
            while told < MESSAGES:
                transport = await adapter.connect(address, TOKEN, LinkOptions(close_timeout_s=0.02))
                cursor = await bench.log.cursor()
                villain.seen.last, villain.seen.credit = cursor.sequence, 64
                close = await bench.link(transport).run(cursor, None, [], "t/1")
                assert close.code
                links += 1
    assert links > MESSAGES / AT_ONCE / 2


async def test_a_compressed_frame_is_refused_before_it_is_unpacked() -> None:
    bomb = bytearray(frame(TEXT, BOMB))
    bomb[0] |= RSV1
    async with growing_little(), linked(then=bytes(bomb)) as (link, _):
        with pytest.raises(LinkClosed) as ended:
            await link.receive(1)
        assert 1002 == ended.value.close_code


async def test_a_server_that_turns_compression_on_is_not_connected_to() -> None:
    async def receive(server: RawServer) -> None:
        await server.answer(extension="permessage-deflate")
        await asyncio.Event().wait()

    async with listening(receive) as address:
        with pytest.raises(ConnectFailed):
            await adapter.connect(address, TOKEN, LinkOptions(open_timeout_s=2.0))


async def test_a_frame_that_announces_a_terabyte_is_refused_at_its_header() -> None:
    header = bytes([0x81, 127]) + (1 << 40).to_bytes(8, "big")
    async with growing_little(), linked(then=header) as (link, _):
        with pytest.raises(LinkClosed) as ended:
            await link.receive(1)
        assert 1009 == ended.value.close_code


async def test_fragments_without_an_end_take_no_more_than_a_frame_may() -> None:
    first, more = frame(TEXT, b"x", fin=False), frame(CONT, b"y" * 65_000, fin=False)
    async with growing_little(), linked() as (link, server):
        with suppress(ConnectionError):
            server.writer.write(first)
            for _ in range(64):
                server.writer.write(more)
                await server.writer.drain()
        with pytest.raises(LinkClosed) as ended:
            await link.receive(1)
        assert 1009 == ended.value.close_code


async def test_a_million_empty_fragments_take_no_memory() -> None:
    crumbs = frame(CONT, b"", fin=False) * 50_000
    async with growing_little(), linked() as (link, server):
        server.writer.write(frame(TEXT, b"x", fin=False))
        for _ in range(20):
            server.writer.write(crumbs)
            await server.writer.drain()
        server.writer.write(frame(CONT, b"y"))
        assert [b"xy"] == await link.receive(10)


async def test_pings_of_a_peer_that_reads_no_pong_take_no_memory() -> None:
    pings = frame(PING, b"p" * 125) * 4_000
    async with linked() as (link, server):
        before = resident()
        server.writer.transport.pause_reading()  # type: ignore[attr-defined]  a socket transport
        for _ in range(100):
            server.writer.write(pings)
            await server.writer.drain()
            await turns(3)
        server.writer.write(frame(TEXT, b"still here"))
        assert [b"still here"] == await link.receive(10)
        assert resident() - before < GROWTH_BYTES


async def test_a_frame_that_comes_byte_by_byte_is_one_frame() -> None:
    slow = frame(TEXT, b'{"type":"beat","sequence":1}')
    async with linked() as (link, server):
        receiving = asyncio.ensure_future(link.receive(1))
        for byte in slow[:-1]:
            server.writer.write(bytes([byte]))
            await server.writer.drain()
            await turns(3)
            assert not receiving.done()
        server.writer.write(slow[-1:])
        assert [b'{"type":"beat","sequence":1}'] == await receiving
