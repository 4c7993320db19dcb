"""Network scopes: which hosts and ports two allowlists have in common.

Promise: pure, and never wider than either list; an entry that is not understood allows nothing.
Refusal: no name is looked up, so a host name and a range of addresses have nothing in common.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from conductor_sdk.manifest_tools import NetworkScope

Range: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\Z"
)
_BRACKETS = re.compile(r"\[(?P<address>[^\]]+)\]:(?P<port>\d{1,5})\Z")
_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host and port."""

    host: str
    """Lower case, without a final dot; an address in its shortest form."""
    port: int
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


Entry: TypeAlias = Endpoint | Range


def parse_entry(text: str) -> Entry | None:
    """Read `host:port`, `[address]:port` or a CIDR range (any port); None: none of these."""
    text = text.strip().lower()
    if "/" in text:
        try:
            return ipaddress.ip_network(text)
        except ValueError:
            return None
    bracketed = _BRACKETS.match(text)
    if bracketed:
        host, port = bracketed["address"], bracketed["port"]
    else:
        host, _, port = text.rpartition(":")
        host = host.removesuffix(".")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= _PORT_MAX:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        plain = not bracketed and _HOST.match(host) and not host.rpartition(".")[2].isdigit()
        return Endpoint(host, int(port)) if plain else None
    if address.version == 6 and not bracketed:  # noqa: PLR2004  the protocol's number
        return None
    return Endpoint(str(address), int(port), address)


def network_intersection(layers: Sequence[Sequence[NetworkScope]]) -> NetworkScope | None:
    """Return what every layer allows; None: nothing, also where one says nothing or `off`."""
    allowed: frozenset[Entry] | None = None
    for layer in layers:
        if any(scope.posture == "full" for scope in layer):
            continue
        entries = [
            entry
            for scope in layer
            if scope.posture == "allowlist"
            for entry in map(parse_entry, scope.allowlist_entries)
            if entry is not None
        ]
        allowed = frozenset(entries) if allowed is None else _common(allowed, entries)
        if not allowed:
            return None
    if not layers:
        return None
    if allowed is None:
        return NetworkScope(type="network", posture="full")
    listed = tuple(sorted(map(str, allowed)))
    return NetworkScope(type="network", posture="allowlist", allowlist_entries=listed)


def _common(first: Iterable[Entry], second: Sequence[Entry]) -> frozenset[Entry]:
    found = (_both(one, other) for one in first for other in second)
    return frozenset(entry for entry in found if entry is not None)


def _both(one: Entry, other: Entry) -> Entry | None:
    """Return the narrower of two entries of which one holds the other."""
    if isinstance(one, Endpoint):
        return one if _holds(other, one) else None
    if isinstance(other, Endpoint):
        return other if _holds(one, other) else None
    if one.version != other.version or not one.overlaps(other):
        return None
    return max(one, other, key=lambda each: each.prefixlen)


def _holds(entry: Entry, endpoint: Endpoint) -> bool:
    if isinstance(entry, Endpoint):
        return entry == endpoint
    return endpoint.address is not None and endpoint.address in entry
