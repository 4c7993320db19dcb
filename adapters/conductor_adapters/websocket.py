"""Links over WebSocket, `ws://` and `wss://`.

Promise: the credential travels only in the `Authorization` header of the handshake, over TLS or
loopback; the server must choose the subprotocol `conductor.v1+json`; `connect` gives an open link
or one coded error within `open_timeout_s`. Refusal: no redirect, no proxy, no compression, no
reconnecting.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from conductor_adapters.dial import dial
from conductor_adapters.endpoint import Endpoint, bearer, client_tls, parse_endpoint
from conductor_adapters.http_refusal import refusal
from conductor_adapters.link_end import ABNORMAL
from conductor_adapters.opening import explain
from conductor_adapters.transport import ConnectFailed, LinkOptions, Transport
from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

    from conductor_adapters.websocket_protocol import WebSocketLink

SUBPROTOCOL = "conductor.v1+json"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*\Z")
_OWN_HEADERS = re.compile(
    r"(authorization|connection|content-length|host|transfer-encoding|upgrade|sec-websocket-.*)\Z",
    re.IGNORECASE,
)


class WebSocketAdapter:
    """The entry point `websocket` of the group `conductor.adapters`."""

    name = "websocket"
    schemes = ("ws", "wss")

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        """Open a link.

        Args:
            address: `wss://HOST[:PORT][/PATH][?QUERY]`; `ws://` for loopback, or where
                `options.allow_plaintext` says so.
            credential: Sent as a bearer token; an empty one is not sent.
            options: Limits, windows, time-outs, extra headers, trust.

        Raises:
            CredentialRefused: 401, 403, or a credential that no header can carry.
            ConductorBusy: 429 or 503, with Retry-After where given.
            ConnectFailed: Anything else, within `open_timeout_s`.
        """
        endpoint = parse_endpoint(
            address, plain="ws", encrypted="wss", allow_plaintext=options.allow_plaintext
        )
        link, wire = _prepare(address, credential, options)
        try:
            async with asyncio.timeout(options.open_timeout_s):
                await _open(link, endpoint, options)
            _check(wire, link, endpoint, credential)
        except BaseException as error:
            await link.close(ABNORMAL)
            failure = explain(error, endpoint, options.open_timeout_s)
            if failure is error:
                raise
            raise failure from None
        return link


def _prepare(
    address: str, credential: Secret, options: LinkOptions
) -> tuple[WebSocketLink, ClientProtocol]:
    """Build the wire with its handshake request queued: nothing has been sent yet."""
    from websockets.client import ClientProtocol
    from websockets.exceptions import InvalidURI
    from websockets.typing import Subprotocol
    from websockets.uri import parse_uri

    from conductor_adapters.websocket_protocol import WebSocketLink

    try:
        uri = parse_uri(address)
    except (InvalidURI, UnicodeError):
        raise ConnectFailed("the address is not a WebSocket URL") from None
    wire = ClientProtocol(
        uri,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        max_size=options.max_frame_bytes,
    )
    wire.debug = False  # its debug log shows every header of the handshake
    request = wire.connect()
    for name, value in options.headers.items():
        if _OWN_HEADERS.match(name) or not _HEADER_NAME.match(name):
            raise ConnectFailed(f"the header {name!r} cannot be set here")
        if not _HEADER_VALUE.match(value):
            raise ConnectFailed(f"the header {name!r} has a value that cannot be sent")
        request.headers[name] = value
    if credential:
        request.headers["Authorization"] = bearer(credential)
    wire.send_request(request)
    return WebSocketLink(wire, options), wire


async def _open(link: WebSocketLink, endpoint: Endpoint, options: LinkOptions) -> None:
    loop = asyncio.get_running_loop()
    tls = client_tls(options.ca_file) if endpoint.secure else None
    connection = await dial(endpoint.host, endpoint.port, options.open_timeout_s)
    if tls is None:
        await loop.create_connection(lambda: link, sock=connection)
    else:
        await loop.create_connection(
            lambda: link,
            sock=connection,
            ssl=tls,
            server_hostname=endpoint.host,
            ssl_handshake_timeout=options.open_timeout_s,
            ssl_shutdown_timeout=options.close_timeout_s,
        )
    await link.opened


def _check(
    wire: ClientProtocol, link: WebSocketLink, endpoint: Endpoint, credential: Secret
) -> None:
    """Judge the handshake's answer.

    Raises:
        TransportError: If the connection is not a link of this protocol.
    """
    response = link.opened.result()
    if response is None:
        cause = getattr(wire.handshake_exc, "__cause__", None)
        if cause is None or isinstance(cause, EOFError):
            raise ConnectFailed(f"{endpoint} closed the connection during the handshake")
        raise ConnectFailed(f"{endpoint} does not speak HTTP: {cause}")
    if response.status_code != 101:  # noqa: PLR2004  Switching Protocols
        raise refusal(
            str(endpoint),
            status=response.status_code,
            reason=response.reason_phrase,
            retry_after=next(iter(response.headers.get_all("Retry-After")), None),
            body=bytes(response.body),
            credential=credential,
            now=SystemClock().now(),
        )
    if wire.handshake_exc is not None:
        raise ConnectFailed(f"{endpoint} is not a WebSocket server: {wire.handshake_exc}")
    if wire.subprotocol != SUBPROTOCOL:
        raise ConnectFailed(f"{endpoint} does not speak {SUBPROTOCOL}")


adapter = WebSocketAdapter()
