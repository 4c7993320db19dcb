"""Which Host and Origin headers are ours: exact comparison, no parsing.

Promise: a value that is not literally in the list is refused, however it would resolve: a trailing
dot, another spelling of an address, user information, another port. Refusal: an empty list
allows nothing; there is no way to switch the check off.
"""

from __future__ import annotations

from collections.abc import Iterable

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
HTTP_PORT = 80
_WILDCARDS = frozenset({"0.0.0.0", "[::]"})  # noqa: S104  recognised, not bound


def allowed_hosts(host: str, port: int, further: Iterable[str] = ()) -> frozenset[bytes]:
    """Return every Host header that is answered.

    Args:
        host: Where we listen, as in a URL: an IPv6 address in brackets.
        port: The listening port.
        further: Names with or without a port, as the configuration gives them; one without a port
            stands for the listening port and for none.
    """
    names = {*LOOPBACK_NAMES, *({host.lower()} - _WILDCARDS)}
    found = {f"{name}:{port}" for name in names}
    if port == HTTP_PORT:
        found |= names
    for name in (name.strip().lower() for name in further):
        found |= {name} if _has_port(name) else {name, f"{name}:{port}"}
    return frozenset(name.encode() for name in found if name)


def allowed_origins(origins: Iterable[str]) -> frozenset[bytes]:
    """Return every Origin header that is answered; `null` is never among them."""
    found = {origin.strip().lower().rstrip("/") for origin in origins} - {"", "null", "*"}
    return frozenset(origin.encode() for origin in found)


def host_allowed(headers: Iterable[tuple[bytes, bytes]], allowed: frozenset[bytes]) -> bool:
    """Tell whether there is exactly one Host header, and it is in the list."""
    found = [value for name, value in headers if name == b"host"]
    return len(found) == 1 and found[0].lower() in allowed


def origin_allowed(headers: Iterable[tuple[bytes, bytes]], allowed: frozenset[bytes]) -> bool:
    """Tell whether a request is of a program, or of a page whose origin is in the list.

    A browser names its page in Origin, or says in Sec-Fetch-Site that another one asks.
    """
    found = list(headers)
    origins = [value for name, value in found if name == b"origin"]
    if origins:
        return len(origins) == 1 and origins[0].lower() in allowed
    sites = {value.lower() for name, value in found if name == b"sec-fetch-site"}
    return sites <= {b"none", b"same-origin"}


def _has_port(name: str) -> bool:
    _, colon, port = name.rpartition(":")
    return bool(colon) and port.isdigit()
