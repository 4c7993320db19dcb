"""The HTTP push fallback against a server that controls every byte."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from conductor_adapters.http import HttpPusher, HttpPushResult, judge
from conductor_adapters.transport import (
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    TransportError,
)
from conductor_sdk.errors import EventMalformed
from conductor_sdk.event import parse_event
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.secret import Secret

TOKEN = Secret("toy-token-0123456789")
IDS = ["evt-1", "evt-2", "evt-3"]
EVENTS = [
    build_kernel_event_v2(
        {
            "kind": "acme-demo:job_completed",
            "from": "ws-1",
            "event_id": event_id,
            "note": "grün",
        }
    ).to_json()
    for event_id in IDS
]


class Conductor:
    """Answers every request with the same bytes and remembers what it was asked."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.tasks: set[asyncio.Task[Any] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(size))
                if self.answer is None:
                    continue
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()


@asynccontextmanager
async def conductor(status: str, reply: object = None, *headers: str) -> AsyncIterator[Conductor]:
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    async with serving(Conductor(answer)) as each:
        yield each


@asynccontextmanager
async def serving(each: Conductor, tls: ssl.SSLContext | None = None) -> AsyncIterator[Conductor]:
    server = await asyncio.start_server(each.serve, "127.0.0.1", 0, ssl=tls)
    each.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield each
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*filter(None, each.tasks))


@asynccontextmanager
async def pusher(url: str, **options: Any) -> AsyncIterator[HttpPusher]:
    each = HttpPusher(url, TOKEN, **options)
    try:
        yield each
    finally:
        await each.close()


async def failure(status: str, reply: object = None, *headers: str) -> TransportError:
    async with conductor(status, reply, *headers) as server, pusher(server.url) as each:
        with pytest.raises(TransportError) as caught:
            await each.push("ws-1", EVENTS)
    return caught.value


async def test_a_batch_is_one_post_with_workspace_events_and_bearer() -> None:
    async with (
        conductor("200 OK", {"accepted": 3}) as server,
        pusher(server.url + "/base/") as each,
    ):
        results = await each.push('w "1"', EVENTS)
        await each.push("ws-1", EVENTS[:1])
    assert [HttpPushResult(event_id, "accepted") for event_id in IDS] == results
    assert server.heads[0].startswith("POST /base/api/v1/events HTTP/1.1\r\n")
    assert f"authorization: Bearer {TOKEN.reveal()}\r\n" in server.heads[0]
    assert "content-type: application/json\r\n" in server.heads[0]
    expected = {"workspace_id": 'w "1"', "events": [json.loads(event) for event in EVENTS]}
    assert expected == json.loads(server.bodies[0])
    assert EVENTS[0] in server.bodies[1]


@pytest.mark.parametrize(("base", "path"), [("", "/"), ("/", "/"), ("//", "//"), ("/a/", "/a/")])
async def test_exactly_one_trailing_slash_of_the_base_is_removed(base: str, path: str) -> None:
    async with conductor("200 OK") as server, pusher(server.url + base) as each:
        await each.push("ws-1", EVENTS)
    assert f"POST {path}api/v1/events" == server.heads[0].split(" HTTP")[0]


async def test_an_empty_batch_is_not_sent() -> None:
    async with conductor("200 OK") as server, pusher(server.url) as each:
        assert [] == await each.push("ws-1", [])
    assert [] == server.heads


async def test_a_malformed_event_is_refused_before_anything_is_sent() -> None:
    async with conductor("200 OK") as server, pusher(server.url) as each:
        with pytest.raises(EventMalformed):
            await each.push("ws-1", [EVENTS[0], b"{}"])
    assert [] == server.heads


async def test_a_v1_event_is_known_by_its_derived_id() -> None:
    flat = b'{"schema_version":1,"kind":"run_paused","timestamp":"2026-01-01T00:00:00Z"}'
    async with conductor("200 OK", {"accepted": 1}) as server, pusher(server.url) as each:
        (result,) = await each.push("ws-1", [flat])
    assert parse_event(flat).event_id == result.event_id


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"accepted": 3}, "aaa"),
        ({"accepted": 2}, "---"),
        ({"accepted": 4}, "---"),
        ({"accepted": True}, "---"),
        ({"accepted": "3"}, "---"),
        ({"accepted": None}, "---"),
        ({"accepted_ids": IDS}, "aaa"),
        ({"accepted_ids": ["evt-2", "evt-9"]}, "-a-"),
        ({"accepted_ids": "evt-2"}, "---"),
        ({"accepted_ids": [2]}, "---"),
        ({"accepted": 2, "accepted_ids": ["evt-3", "evt-1"]}, "a-a"),
        ({"accepted": 3, "accepted_ids": ["evt-3"]}, "aaa"),
        ({"results": [{"event_id": "evt-1"}]}, "a--"),
        ({"results": [{"event_id": "evt-2", "status": "duplicate"}]}, "-d-"),
        ({"accepted": 3, "results": [{"event_id": "evt-3", "status": "rejected"}]}, "aar"),
        ({"results": [{"event_id": "evt-3", "status": "lost"}]}, "---"),
        ({"results": {"evt-1": "accepted"}}, "---"),
        ([], "---"),
        (None, "---"),
        ({}, "---"),
    ],
)
def test_only_what_the_reply_names_or_a_full_count_is_confirmed(
    reply: object, expected: str
) -> None:
    results = judge(IDS, json.dumps(reply).encode())
    letters = {"accepted": "a", "duplicate": "d", "rejected": "r", "unconfirmed": "-"}
    assert expected == "".join(letters[each.status] for each in results)
    assert IDS == [each.event_id for each in results]


@pytest.mark.parametrize("reply", [b"", b"OK", b"\xff\xfe", b"[" * 100_000])
def test_a_reply_that_is_not_json_confirms_nothing(reply: bytes) -> None:
    assert ["unconfirmed"] * 3 == [each.status for each in judge(IDS, reply)]


def test_a_rejection_keeps_its_reason() -> None:
    reply = b'{"results":[{"event_id":"evt-1","status":"rejected","reason":"too old"}]}'
    assert HttpPushResult("evt-1", "rejected", "too old") == judge(["evt-1"], reply)[0]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_401_and_403_refuse_the_credential(status: str) -> None:
    error = await failure(status, f"no {TOKEN.reveal()} here")
    assert CredentialRefused is type(error)
    assert TOKEN.reveal() not in str(error)
    assert status in error.detail


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_429_and_503_are_busy(status: str) -> None:
    error = await failure(status, None, "Retry-After: 30")
    assert isinstance(error, ConductorBusy)
    assert 30.0 == error.retry_after_s


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "404 Not Found", "413 Too Large", "500 Oops", "302 Found"]
)
async def test_any_other_answer_fails_with_its_reason(status: str) -> None:
    error = await failure(status, b"because", "Location: http://127.0.0.1:1/")
    assert ConnectFailed is type(error)
    assert f"HTTP {status}: because" in error.detail


async def test_a_silent_conductor_fails_after_the_timeout() -> None:
    async with serving(Conductor(None)) as server, pusher(server.url, timeout_s=0.05) as each:
        with pytest.raises(ConnectFailed, match=r"did not answer within 0\.05 s"):
            await each.push("ws-1", EVENTS)


async def test_a_conductor_that_is_gone_or_talks_nonsense_fails() -> None:
    async with serving(Conductor(b"SSH-2.0\r\n\r\n")) as server, pusher(server.url) as each:
        with pytest.raises(ConnectFailed):
            await each.push("ws-1", EVENTS)
    async with pusher(server.url) as each:
        with pytest.raises(ConnectFailed):
            await each.push("ws-1", EVENTS)


async def test_an_endless_reply_is_cut_off() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b" " * 2_000_000
    async with serving(Conductor(endless)) as server, pusher(server.url) as each:
        results = await asyncio.wait_for(each.push("ws-1", EVENTS), 5)
    assert ["unconfirmed"] * 3 == [each.status for each in results]


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with conductor("200 OK", {"accepted": 3}) as server, pusher(server.url) as each:
        await each.push("ws-1", EVENTS)
    assert 1 == len(server.bodies)


async def test_https_needs_a_trusted_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"accepted":3}'
    async with serving(Conductor(answer), tls) as server:
        async with pusher(server.url, ca_file=str(tmp_path / "ca.pem")) as each:
            assert "accepted" == (await each.push("ws-1", EVENTS))[0].status
        async with pusher(server.url) as each:
            with pytest.raises(ConnectFailed, match="certificate"):
                await each.push("ws-1", EVENTS)
    assert 1 == len(server.bodies)


@pytest.mark.parametrize(
    "url", ["http://conductor.example", "ftp://127.0.0.1", "https://u:p@host", "https://host?a=b"]
)
def test_an_unfit_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConnectFailed):
        HttpPusher(url, TOKEN)


async def test_a_credential_that_no_header_can_carry_is_refused_unseen() -> None:
    async with conductor("200 OK") as server:
        each = HttpPusher(server.url, Secret("two words\r\n"))
        with pytest.raises(CredentialRefused) as caught:
            await each.push("ws-1", EVENTS)
        await each.close()
        await each.close()
    assert "two words" not in str(caught.value)
    assert [] == server.heads


async def test_no_log_shows_the_credential(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with conductor("200 OK", {"accepted": 3}) as server, pusher(server.url) as each:
        await each.push("ws-1", EVENTS)
        assert TOKEN.reveal() not in repr(each)
    assert TOKEN.reveal() not in caplog.text
