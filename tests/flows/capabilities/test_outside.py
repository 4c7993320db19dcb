"""HTTP, SQL, time and chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conductor_flows.capabilities.chance import PinnedClock, SeededRng, SystemRng
from conductor_flows.capabilities.databases import SqliteDatabase
from conductor_flows.capabilities.errors import (
    CapabilityFailed,
    CapabilityMisused,
    CapabilityTimedOut,
    CapabilityUnreachable,
)
from conductor_flows.capabilities.ports import Request, Rng
from conductor_flows.capabilities.web import HttpClient


@pytest.fixture
async def server() -> AsyncIterator[str]:
    stop = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
            if path == b"/slow":
                await stop.wait()
            elif path == b"/cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            else:
                body = method + b" " + path
                status = b"404 Not Found" if path == b"/missing" else b"200 OK"
                writer.write(b"HTTP/1.1 %s\r\nX-Kind: Plain\r\nContent-Length: %d\r\n"
                             b"Connection: close\r\n\r\n" % (status, len(body)) + body)  # fmt: skip
            await writer.drain()
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    stop.set()
    listening.close()
    await listening.wait_closed()


async def test_any_status_is_an_answer(server: str) -> None:
    async with HttpClient() as client:
        found = await client.send(Request("POST", f"{server}/x", body=b"{}"))
        lost = await client.send(Request("GET", f"{server}/missing"))
    assert (200, b"POST /x", "Plain") == (found.status, found.body, found.headers["x-kind"])
    assert 404 == lost.status


async def test_a_reading_client_sends_nothing_that_may_change_something(server: str) -> None:
    async with HttpClient(reading=True) as client:
        assert b"GET /x" == (await client.send(Request("GET", f"{server}/x"))).body
        with pytest.raises(CapabilityMisused):
            await client.send(Request("POST", f"{server}/x"))


async def test_a_slow_server_is_a_timeout_and_a_silent_one_unreachable(server: str) -> None:
    async with HttpClient() as client:
        with pytest.raises(CapabilityTimedOut):
            await client.send(Request("GET", f"{server}/slow", timeout_s=0.05))
        with pytest.raises(CapabilityUnreachable):
            await client.send(Request("GET", f"{server}/cut"))
        with pytest.raises(CapabilityUnreachable):
            await client.send(Request("GET", "http://127.0.0.1:1/"))


async def test_an_answer_that_is_too_long_is_cut_off(server: str) -> None:
    async with HttpClient(body_max=3) as client:
        with pytest.raises(CapabilityFailed, match="longer than 3 bytes"):
            await client.send(Request("GET", f"{server}/long"))


@pytest.fixture(params=["memory", "file"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    found = SqliteDatabase(tmp_path / "d.db" if request.param == "file" else None)
    await found.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    yield found
    await found.close()


async def test_rows_come_back_by_column_name(database: SqliteDatabase) -> None:
    assert 1 == await database.execute("INSERT INTO t VALUES (?, ?)", (1, "x"))
    rows = await database.query("SELECT a, b FROM t WHERE a = ?", (1,))
    assert [{"a": 1, "b": "x"}] == rows


async def test_an_effect_with_a_key_happens_once(database: SqliteDatabase) -> None:
    insert = "INSERT INTO t (b) VALUES ('x')"
    assert [1, None] == [await database.execute(insert, key="k") for _ in range(2)]
    assert [{"n": 1}] == await database.query("SELECT count(*) AS n FROM t")


async def test_a_failed_effect_leaves_its_key_free(database: SqliteDatabase) -> None:
    with pytest.raises(CapabilityMisused):
        await database.execute("INSERT INTO nowhere VALUES (1)", key="k")
    assert 1 == await database.execute("INSERT INTO t (b) VALUES ('x')", key="k")


async def test_a_question_changes_nothing(database: SqliteDatabase) -> None:
    for sql in ("DELETE FROM t", "DROP TABLE t", "nonsense"):
        with pytest.raises(CapabilityMisused):
            await database.query(sql)
    assert 1 == await database.execute("INSERT INTO t (b) VALUES ('x')")


def test_a_pinned_clock_stands_still() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert [at, at] == [PinnedClock(at).now() for _ in range(2)]
    with pytest.raises(ValueError, match="time zone"):
        PinnedClock(datetime(2026, 1, 1))  # noqa: DTZ001  # what is refused


def test_a_seeded_generator_takes_the_same_course_again() -> None:
    one, two = SeededRng(7), SeededRng(7)
    assert [one.random(), one.bytes(4)] == [two.random(), two.bytes(4)]
    system: Rng = SystemRng()
    assert 0 <= system.random() < 1
    assert 16 == len(system.bytes(16))
