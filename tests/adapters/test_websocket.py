"""The WebSocket adapter against a server that controls every byte."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from conductor_adapters.http_refusal import parse_retry_after
from conductor_adapters.testing.expect import closed, gather, quiet
from conductor_adapters.transport import (
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    LinkClosed,
    LinkOptions,
    Transport,
    TransportError,
)
from conductor_adapters.websocket import SUBPROTOCOL, adapter
from conductor_adapters.websocket_protocol import READ_BYTES
from conductor_sdk.secret import Secret
from raw_websocket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    TOKEN,
    RawServer,
    frame,
    goodbye,
    linked,
    listening,
)


async def failure(answer: bytes, options: LinkOptions | None = None) -> TransportError:
    """Connect to a server that answers the handshake with these bytes."""

    async def receive(server: RawServer) -> None:
        await server.reader.readuntil(b"\r\n\r\n")
        server.writer.write(answer)
        await asyncio.Event().wait()

    async with listening(receive) as address:
        with pytest.raises(TransportError) as caught:
            await adapter.connect(address, TOKEN, options or LinkOptions(open_timeout_s=2.0))
    return caught.value


def response(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# The handshake.


async def test_the_handshake_carries_credential_subprotocol_and_headers_and_no_extension() -> None:
    options = LinkOptions(headers={"X-Workspace": "w-1"}, close_timeout_s=0.3)
    async with linked(options) as (_, server):
        assert "GET /link?workspace=w HTTP/1.1" == server.request.decode().split("\r\n")[0]
        assert f"Bearer {TOKEN.reveal()}" == server.header("Authorization")
        assert SUBPROTOCOL == server.header("Sec-WebSocket-Protocol")
        assert "w-1" == server.header("X-Workspace")
        assert b"sec-websocket-extensions" not in server.request.lower()


async def test_an_empty_credential_is_not_sent() -> None:
    arrived: list[bytes] = []

    async def receive(server: RawServer) -> None:
        await server.answer()
        arrived.append(server.request)

    async with listening(receive) as address:
        link = await adapter.connect(address, Secret(""), LinkOptions())
        await link.close(1006)
    assert b"Authorization" not in arrived[0]


async def test_no_log_shows_the_credential(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    async with linked() as (link, _):
        await link.close()
    await failure(response("500 Oops", body=TOKEN.reveal().encode()))
    assert TOKEN.reveal() not in caplog.text


@pytest.mark.parametrize("protocol", [None, "conductor.v9+json"])
async def test_a_server_without_the_subprotocol_is_refused(protocol: str | None) -> None:
    async def receive(server: RawServer) -> None:
        await server.answer(protocol=protocol)
        await asyncio.Event().wait()

    async with listening(receive) as address:
        with pytest.raises(ConnectFailed, match=r"speak|subprotocol"):
            await adapter.connect(address, TOKEN, LinkOptions())


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_401_and_403_refuse_the_credential(status: str) -> None:
    error = await failure(response(status, body=b"expired\x1b[0m " + TOKEN.reveal().encode()))
    assert CredentialRefused is type(error)
    assert status in error.detail
    assert "expired [0m …" in error.detail


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_429_and_503_are_busy_with_the_delay_in_seconds(status: str) -> None:
    error = await failure(response(status, "Retry-After: 90"))
    assert isinstance(error, ConductorBusy)
    assert 90.0 == error.retry_after_s


async def test_busy_without_a_delay_has_none() -> None:
    error = await failure(response("503 Service Unavailable"))
    assert isinstance(error, ConductorBusy)
    assert error.retry_after_s is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-5", None),
        ("soon", None),
        ("9" * 5000, None),
        (format_datetime(datetime(2026, 1, 1, 0, 1, tzinfo=UTC), usegmt=True), 60.0),
        (format_datetime(datetime(2025, 1, 1, tzinfo=UTC), usegmt=True), 0.0),
        ("Thu Jan  1 00:00:30 2026", 30.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    assert expected == parse_retry_after(value, datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_retry_after_date_is_read_from_the_handshake() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error = await failure(response("503 Service Unavailable", f"Retry-After: {later}"))
    assert isinstance(error, ConductorBusy)
    assert error.retry_after_s is not None
    assert 3000 < error.retry_after_s <= 3600


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (response("404 Not Found", body=b"no such path"), "HTTP 404 Not Found: no such path"),
        (response("302 Found", "Location: http://elsewhere.example/"), "HTTP 302 Found"),
        (response("200 OK"), "HTTP 200 OK"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tea\r\n\r\n", "not a WebSocket server"),
    ],
)
async def test_any_other_answer_fails_with_its_reason(answer: bytes, detail: str) -> None:
    error = await failure(answer)
    assert ConnectFailed is type(error)
    assert detail in error.detail


async def test_a_server_that_hangs_up_during_the_handshake_is_a_failed_connection() -> None:
    async def receive(server: RawServer) -> None:
        await server.reader.readuntil(b"\r\n\r\n")

    async with listening(receive) as address:
        with pytest.raises(ConnectFailed, match="closed the connection during the handshake"):
            await adapter.connect(address, TOKEN, LinkOptions())


async def test_an_answer_that_never_ends_is_cut_off_by_the_open_timeout() -> None:
    error = await failure(b"HTTP/1.1 503 Busy\r\nX-", LinkOptions(open_timeout_s=0.05))
    assert "did not answer within 0.05 s" in error.detail


async def test_a_connect_that_fails_leaves_no_connection() -> None:
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def receive(server: RawServer) -> None:
        ended.set_result(await server.reader.read())

    async with listening(receive) as address:
        with pytest.raises(ConnectFailed):
            await adapter.connect(address, TOKEN, LinkOptions(open_timeout_s=0.05))
        await asyncio.wait_for(ended, 5)


@pytest.mark.parametrize(
    "address",
    [
        "ws://conductor.example/link",
        "ws://10.0.0.7:8080",
        "ws://localhost.example",
        "http://127.0.0.1",
        "wss://",
        "wss://host:port",
        "wss://host:99999",
        "wss://user:toy-token-0123456789@host/",
        "wss://toy-token-0123456789@host/",
        "wss://host/#toy-token-0123456789",
        "wss://host/\r\nX-Injected: 1",
        "wss://[::1/",
        "not an address",
    ],
)
async def test_an_unfit_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(ConnectFailed) as caught:
        await adapter.connect(address, TOKEN, LinkOptions())
    assert TOKEN.reveal() not in f"{caught.value!r} {caught.value} {caught.value.hint}"


async def test_plaintext_beyond_loopback_can_be_allowed() -> None:
    options = LinkOptions(allow_plaintext=True, open_timeout_s=0.05)
    with pytest.raises(ConnectFailed) as caught:
        await adapter.connect("ws://conductor.invalid:1", TOKEN, options)
    assert "unencrypted" not in caught.value.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Basic x"),
        ("sec-websocket-protocol", "other"),
        ("Host", "elsewhere"),
        ("X-Bad\r\nX", "1"),
        ("X-Bad", "1\r\nX-Injected: 1"),
    ],
)
async def test_a_header_that_would_change_the_handshake_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConnectFailed, match="header"):
        await adapter.connect("ws://127.0.0.1:1", TOKEN, LinkOptions(headers={name: value}))


@pytest.mark.parametrize("token", ["two words", "line\r\nX-Injected: 1", "t\u00f6ken"])
async def test_a_credential_that_no_header_can_carry_is_refused_unseen(token: str) -> None:
    with pytest.raises(CredentialRefused) as caught:
        await adapter.connect("ws://127.0.0.1:1", Secret(token), LinkOptions())
    assert token not in str(caught.value)


async def test_a_second_address_is_tried_when_the_first_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(RawServer.answer) as address:
        port = int(address.split(":")[2].split("/")[0])
        loop = asyncio.get_running_loop()

        async def resolve(*_: object, **__: object) -> list[tuple[Any, ...]]:
            tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*tcp, ("127.0.0.1", 1)), (*tcp, ("127.0.0.1", port))]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        link = await adapter.connect(f"ws://localhost:{port}", TOKEN, LinkOptions())
        await link.close(1006)


async def test_a_host_without_an_address_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(ConnectFailed, match="no address"):
        await adapter.connect("ws://localhost:1", TOKEN, LinkOptions())


# Frames.


async def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    async with linked(then=frame(TEXT, b"early") + frame(TEXT, b"bird")) as (link, _):
        assert [b"early", b"bird"] == await link.receive(10)


async def test_fragments_are_joined_around_control_frames() -> None:
    async with linked() as (link, server):
        server.writer.write(
            frame(TEXT, "gr\u00fc".encode()[:3], fin=False)
            + frame(PING, b"?")
            + frame(CONT, "\u00fc".encode()[1:] + b"n", fin=False)
            + frame(CONT, b"", fin=True)
            + frame(TEXT, b"next")
        )
        assert ["gr\u00fcn".encode(), b"next"] == await gather(link, 2)
        assert (PONG, b"?") == await server.read()
        got = await asyncio.wait_for(closing(link, server), 5)
        assert 1000 == got


async def closing(link: Transport, server: RawServer) -> int:
    """Close the link while the server answers the goodbye; return the code it saw."""

    async def answer() -> int:
        code = await server.read_close_code()
        server.writer.write(goodbye(code))
        server.writer.transport.abort()
        return code

    answering = asyncio.create_task(answer())
    await link.close()
    return await answering


async def test_fragments_count_together_against_the_frame_limit() -> None:
    async with linked(LinkOptions(max_frame_bytes=100, close_timeout_s=0.3)) as (link, server):
        server.writer.write(frame(TEXT, b"a" * 60, fin=False) + frame(CONT, b"a" * 60))
        assert 1009 == (await closed(link)).close_code
        assert 1009 == await server.read_close_code()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(BINARY, b"\x00"), 1003),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"\x28"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"x" * 1001), 1009),
        (frame(CONT, b"of nothing"), 1002),
        (frame(0x3, b"reserved"), 1002),
        (frame(TEXT | 0x40, b"compressed"), 1002),
    ],
)
async def test_a_frame_that_breaks_the_rules_ends_the_link_after_the_good_ones(
    bad: bytes, code: int
) -> None:
    async with linked(LinkOptions(max_frame_bytes=1000, close_timeout_s=0.3)) as (link, server):
        server.writer.write(frame(TEXT, b"good") + bad + frame(TEXT, b"too late"))
        assert [b"good"] == await gather(link, 1)
        error = await closed(link)
        assert (code, False) == (error.close_code, error.clean)
        assert code == await server.read_close_code()


async def test_a_binary_message_is_refused_with_its_first_fragment() -> None:
    async with linked(then=frame(BINARY, b"\x00", fin=False)) as (link, server):
        assert 1003 == (await closed(link)).close_code
        assert 1003 == await server.read_close_code()


async def test_a_bad_frame_followed_by_a_goodbye_is_still_refused() -> None:
    async with linked(then=frame(BINARY, b"\x00") + goodbye(1000)) as (link, _):
        assert 1003 == (await closed(link)).close_code


async def test_frames_are_bytes_and_sent_as_masked_text() -> None:
    async with linked() as (link, server):
        await link.send([b"one", "zw\u00f6lf".encode()])
        assert (TEXT, b"one") == await server.read()
        assert (TEXT, "zw\u00f6lf".encode()) == await server.read()
        server.writer.write(frame(TEXT, b"reply"))
        assert [bytes] == [type(each) for each in await link.receive(1)]


# Windows.


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (LinkOptions(receive_window=50, close_timeout_s=0.3), 10_000),
        (LinkOptions(receive_window_bytes=500_000, close_timeout_s=0.3), 10_000),
    ],
)
async def test_a_full_window_stops_reading_at_frames_and_at_bytes(
    options: LinkOptions, size: int
) -> None:
    async with linked(options) as (link, server):
        server.writer.write(frame(TEXT, b"x" * size) * 2000)
        await paused(link)
        held = await link.receive(100_000)
        assert 50 <= len(held) <= 50 + READ_BYTES // size + 1
        rest = await gather(link, 2000 - len(held))
        assert 2000 == len(held) + len(rest)


async def test_reading_goes_on_only_from_half_a_window() -> None:
    async with linked(LinkOptions(receive_window=50, close_timeout_s=0.3)) as (link, server):
        server.writer.write(frame(TEXT, b"x" * 10_000) * 2000)
        await paused(link)
        await link.receive(20)
        assert not reading(link)
        await link.receive(40)
        assert reading(link)


def reading(link: Transport) -> bool:
    return bool(link._network.is_reading())  # type: ignore[attr-defined]


async def paused(link: Transport) -> None:
    async with asyncio.timeout(10):
        while reading(link):  # noqa: ASYNC110  the link has no event for it
            await asyncio.sleep(0)


# The end.


async def test_closing_while_paused_ends_with_the_peers_goodbye_not_with_the_timer() -> None:
    options = LinkOptions(receive_window=10, close_timeout_s=60.0)
    async with linked(options) as (link, server):
        server.writer.write(frame(TEXT, b"x" * 10_000) * 2000)
        await paused(link)
        assert 1000 == await asyncio.wait_for(closing(link, server), 10)


async def test_a_peer_that_ignores_the_goodbye_is_aborted_after_the_close_timeout() -> None:
    async with linked(LinkOptions(close_timeout_s=0.05)) as (link, server):
        await asyncio.wait_for(link.close(1001, "leaving"), 5)
        assert (CLOSE, struct.pack("!H", 1001) + b"leaving") == await server.read()
        assert b"" == await server.reader.read()


async def test_closing_with_1006_cuts_a_polite_close_short() -> None:
    async with linked(LinkOptions(close_timeout_s=60.0)) as (link, _):
        polite = asyncio.create_task(link.close())
        await quiet(lambda: 0)
        assert not polite.done()
        await asyncio.wait_for(link.close(1006), 5)
        await polite


async def test_a_peer_that_says_goodbye_and_keeps_the_connection_is_aborted() -> None:
    async with linked(LinkOptions(close_timeout_s=0.05)) as (link, server):
        server.writer.write(frame(TEXT, b"last") + goodbye(1012, b"restart"))
        assert [b"last"] == await gather(link, 1)
        error = await closed(link)
        assert (1012, True) == (error.close_code, error.clean)
        assert "restart" in error.detail
        assert 1012 == await server.read_close_code()
        assert b"" == await asyncio.wait_for(server.reader.read(), 5)


async def test_a_half_closed_connection_ends_the_link() -> None:
    async with linked(LinkOptions(close_timeout_s=0.05)) as (link, server):
        server.writer.write(frame(TEXT, b"last") + frame(TEXT, b"cut")[:3])
        server.writer.write_eof()
        assert [b"last"] == await gather(link, 1)
        error = await closed(link)
        assert (1006, False) == (error.close_code, error.clean)
        assert b"" == await asyncio.wait_for(server.reader.read(), 5)


async def test_a_half_closed_peer_that_does_not_read_is_aborted() -> None:
    async with linked(LinkOptions(close_timeout_s=0.05)) as (link, server):
        server.reader._transport.pause_reading()  # type: ignore[attr-defined]
        blocked = asyncio.create_task(link.send([b"x" * 1_000_000] * 20))
        await quiet(lambda: 0)
        server.writer.write_eof()
        with pytest.raises(LinkClosed):
            await blocked
        await asyncio.wait_for(link.close(), 5)


@pytest.mark.parametrize("code", [0, 999, 1005, 1015, 5000])
async def test_a_code_that_no_close_frame_may_carry_aborts(code: int) -> None:
    async with linked(LinkOptions(close_timeout_s=60.0)) as (link, server):
        await asyncio.wait_for(link.close(code, "x"), 5)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await server.read()


async def test_a_long_or_odd_reason_is_cut_to_what_a_close_frame_holds() -> None:
    async with linked(LinkOptions(close_timeout_s=0.05)) as (link, server):
        await link.close(1000, "\u00e9" * 100 + "\udc80")
        opcode, payload = await server.read()
        assert (CLOSE, "\u00e9" * 61) == (opcode, payload[2:].decode())


async def test_a_goodbye_without_a_code_is_1005_and_clean() -> None:
    async with linked(then=frame(CLOSE)) as (link, _):
        error = await closed(link)
        assert (1005, True) == (error.close_code, error.clean)


async def test_a_peers_reason_is_shown_printable() -> None:
    async with linked(then=goodbye(1011, b"bad\x1b[31m\nday")) as (link, _):
        assert "the peer closed with 1011: bad [31m day" == (await closed(link)).detail


async def test_cancelling_close_still_ends_the_connection() -> None:
    async with linked(LinkOptions(close_timeout_s=0.05)) as (link, server):
        ending = asyncio.create_task(link.close())
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait({ending})
        await link.close()
        assert 1000 == await server.read_close_code()
        assert b"" == await asyncio.wait_for(server.reader.read(), 5)


async def test_a_second_receiver_is_told_so() -> None:
    async with linked() as (link, _):
        first = asyncio.create_task(link.receive(1))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await link.receive(1)
        first.cancel()
        with pytest.raises(ValueError, match="limit"):
            await link.receive(0)


async def test_a_cancelled_send_leaves_the_link_whole() -> None:
    async with linked() as (link, server):
        server.reader._transport.pause_reading()  # type: ignore[attr-defined]
        sending = asyncio.create_task(link.send([b"x" * 50_000] * 400))
        await quiet(lambda: 0)
        assert not sending.done()
        sending.cancel()
        await asyncio.wait({sending})
        after = asyncio.create_task(link.send([b"after"]))
        await quiet(lambda: 0)
        assert not after.done()
        server.reader._transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(400):
            assert (TEXT, 50_000) == _shape(await server.read())
        await after
        assert (TEXT, b"after") == await server.read()


def _shape(read: tuple[int, bytes]) -> tuple[int, int]:
    return read[0], len(read[1])
