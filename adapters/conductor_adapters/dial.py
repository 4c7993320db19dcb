"""A connected TCP socket to a host that may have several addresses.

Promise: every address gets its share of the time, so that one that swallows packets does not hide
the next; whatever happens, cancellation too, no socket is left open. Refusal: no TLS, no proxy.
(asyncio's own race of addresses leaks the winner when it is cancelled, at least in Python 3.11.)
"""

from __future__ import annotations

import asyncio
import socket


async def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to the first address that answers, in the resolver's order.

    Args:
        host: A name or an address.
        port: The TCP port.
        timeout_s: For all addresses together, resolving included.

    Raises:
        OSError: The first address's failure; `TimeoutError` is one.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    async with asyncio.timeout_at(deadline):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failures: list[OSError] = []
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        share_s = (deadline - loop.time()) / (len(found) - tried)
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(share_s):
                await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failures.append(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failures[0] if failures else OSError("the host has no address")
