"""A port for somebody who has to know it before anybody listens on it.

Promise: nobody listens on it, and nobody is given it by chance: it is below the ports that Linux
and macOS hand out, and each process of the tests counts on from a place of its own.
Refusal: whoever can listen on port 0 and ask afterwards has no need of this.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, LAST = 10_000, 32_000
_places = itertools.count(os.getpid() * 997)
"""Processes that begin at the same time have numbers beside each other."""


def own_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free at an address, another one each time."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for place in itertools.islice(_places, LAST - FIRST):
        port = FIRST + place % (LAST - FIRST)
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue  # somebody has chosen it
        return port
    raise AssertionError("no port is free")
