"""To which addresses a webhook may be sent.

Promise: the address that was judged is the address that is connected to, so a name that is resolved
anew cannot lead elsewhere. Refusal: no address of this machine, of a private network or of any
other special purpose, unless the webhook is allowed to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import httpx2

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host and a port into IP addresses."""

_EMBEDDED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))


class AddressRefused(Exception):
    """A webhook's host leads to where it may not."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve by the operating system.

    Raises:
        OSError: The name is unknown.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, hidden forms of others included."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and any(ip in network for network in _EMBEDDED):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to the addresses that were judged; TLS is still checked against the name."""

    def __init__(
        self, *, allow_private: bool, resolver: Resolver = resolve,
        inner: httpx2.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        self._allow_private = allow_private
        self._resolver = resolver
        self._inner = inner or httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request.

        Raises:
            AddressRefused: Some address of the host is not public.
            OSError: The name is unknown.
        """
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        addresses = await self._resolver(host, port)
        if not addresses:
            raise AddressRefused(f"{host} has no address")
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host} is not in the open internet")
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=addresses[0])
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
