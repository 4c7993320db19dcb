"""The WebSocket adapter against the contract suites and a server that others wrote."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from conductor_adapters.testing.connect_contract import (
    RETRY_AFTER_S,
    ConnectContract,
    Reception,
)
from conductor_adapters.testing.contract import TransportContract
from conductor_adapters.testing.expect import Peer
from conductor_adapters.transport import Adapter, ConnectFailed, LinkOptions, Transport
from conductor_adapters.websocket import SUBPROTOCOL, adapter
from conductor_adapters.websocket_protocol import READ_BYTES
from conductor_sdk.secret import Secret
from silent_server import silent_server

TOKEN = Secret("toy-token")


class ServerPeer:
    """A connection of the `websockets` server as the far end of a link."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self, limit: int) -> list[bytes]:
        return [await self._connection.recv(decode=False)]

    async def send(self, frames: list[bytes]) -> None:
        for frame in frames:
            await self._connection.send(frame, text=True)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    async def abort(self) -> None:
        self._connection.transport.abort()


@asynccontextmanager
async def linked(
    options: LinkOptions,
    *,
    scheme: str = "ws",
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[tuple[Transport, Peer]]:
    arrived: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def handle(connection: ServerConnection) -> None:
        arrived.set_result(connection)
        await connection.wait_closed()

    async with serve(
        handle, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], ssl=tls, compression=None,
        close_timeout=1, max_size=2**21,
    ) as server:  # fmt: skip
        port = server.sockets[0].getsockname()[1]
        link = await adapter.connect(f"{scheme}://{host}:{port}/link", TOKEN, options)
        connection = await arrived
        try:
            yield link, ServerPeer(connection)
        finally:
            await link.close()
            connection.transport.abort()


class TestWebSocketTransport(TransportContract):
    read_ahead_bytes = READ_BYTES

    @asynccontextmanager
    async def link(self, options: LinkOptions) -> AsyncIterator[tuple[Transport, Peer]]:
        async with linked(options) as ends:
            yield ends


class TestWebSocketConnect(ConnectContract):
    @property
    def adapter(self) -> Adapter:
        return adapter

    @asynccontextmanager
    async def server(self, reception: Reception) -> AsyncIterator[str]:
        if reception is Reception.IS_SILENT:
            async with silent_server() as port:
                yield f"ws://127.0.0.1:{port}"
            return

        def answer(connection: ServerConnection, request: Request) -> Response | None:
            if reception is Reception.REFUSES:
                token = request.headers["Authorization"]
                return connection.respond(HTTPStatus.UNAUTHORIZED, f"no such token: {token}")
            if reception is Reception.IS_BUSY:
                response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "later")
                response.headers["Retry-After"] = f"{RETRY_AFTER_S:g}"
                return response
            return None

        async def handle(connection: ServerConnection) -> None:
            with pytest.raises(ConnectionClosed):
                await connection.recv()

        async with serve(
            handle, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], process_request=answer
        ) as server:
            address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/link"
            if reception is not Reception.IS_GONE:
                yield address
        if reception is Reception.IS_GONE:
            yield address


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


class TestTlsTransport(TransportContract):
    read_ahead_bytes = READ_BYTES + 524_288
    """asyncio's TLS layer holds up to two reads of its own in front of ours."""

    @pytest.fixture(autouse=True)
    def _tls(self, server_tls: ssl.SSLContext, ca_file: str) -> None:
        self.server_tls, self.ca_file = server_tls, ca_file

    @asynccontextmanager
    async def link(self, options: LinkOptions) -> AsyncIterator[tuple[Transport, Peer]]:
        trusting = LinkOptions(
            **{
                name: getattr(options, name)
                for name in options.__struct_fields__
                if name != "ca_file"
            },
            ca_file=self.ca_file,
        )
        async with linked(trusting, scheme="wss", tls=self.server_tls) as ends:
            yield ends


async def test_an_unknown_issuer_is_refused_with_the_way_out(server_tls: ssl.SSLContext) -> None:
    with pytest.raises(ConnectFailed, match="untrusted certificate") as caught:
        async with linked(LinkOptions(), scheme="wss", tls=server_tls):
            pass
    assert "ca_file" in caught.value.hint


async def test_a_certificate_for_another_host_is_refused(
    authority: trustme.CA, ca_file: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    with pytest.raises(ConnectFailed, match="untrusted certificate"):
        async with linked(LinkOptions(ca_file=ca_file), scheme="wss", tls=context):
            pass


async def test_a_server_without_tls_is_refused_over_wss() -> None:
    with pytest.raises(ConnectFailed):
        async with linked(LinkOptions(open_timeout_s=2.0), scheme="wss"):
            pass


async def test_a_tls_handshake_that_never_ends_is_cut_off() -> None:
    async with silent_server() as port:
        with pytest.raises(ConnectFailed, match="did not answer"):
            await adapter.connect(
                f"wss://127.0.0.1:{port}", TOKEN, LinkOptions(open_timeout_s=0.05)
            )


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_an_unusable_ca_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "trust.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConnectFailed, match=r"trust\.pem"):
        await adapter.connect("wss://127.0.0.1:1", TOKEN, LinkOptions(ca_file=str(path)))
