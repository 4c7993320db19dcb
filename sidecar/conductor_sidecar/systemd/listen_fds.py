"""Sockets that the service manager has opened for us.

Promise: what was handed over is ours alone: no child inherits it, the environment forgets it, and
what is not used is closed. Refusal: sockets for another process are not touched, and one that is
not a listening stream is not served.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

from conductor_sidecar.systemd.errors import ActivationRefused

FIRST = 3
"""The first descriptor that is handed over."""
FDS_MAX = 64
TOOLS = "tools"
"""`FileDescriptorName=` of the tools port."""
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def take_listener(environ: MutableMapping[str, str], name: str = TOOLS) -> socket.socket | None:
    """Return the listening socket of that name; None where none was handed over.

    Call once, early: it takes all descriptors that were handed over and closes the others.

    Args:
        environ: The environment; `LISTEN_*` is removed from it.
        name: As in `FileDescriptorName=`. A single socket may have any name.

    Raises:
        ActivationRefused: More than one has the name, or it does not listen for streams; all are
            closed.
    """
    passed = _take_all(environ)
    found: socket.socket | None = None
    try:
        chosen = _choose(passed, name)
        found = None if chosen is None else _listening(chosen)
    finally:
        for fd, _ in passed:
            if found is None or fd != found.fileno():
                with contextlib.suppress(OSError):
                    os.close(fd)
    return found


def _choose(passed: list[tuple[int, str]], name: str) -> int | None:
    chosen = [fd for fd, known in passed if known == name or len(passed) == 1]
    if len(chosen) > 1:
        raise ActivationRefused(f"{len(chosen)} sockets are called {name}")
    if passed and not chosen:
        names = ", ".join(sorted({known for _, known in passed}))
        raise ActivationRefused(f"none is called {name}, but: {names}")
    return chosen[0] if chosen else None


def _take_all(environ: MutableMapping[str, str]) -> list[tuple[int, str]]:
    """Return (descriptor, name) of everything that is for this process; no child inherits it."""
    count, pid, names = (environ.pop(variable, "") for variable in _VARIABLES)
    if pid != str(os.getpid()) or not count.isascii() or not count.isdecimal():
        return []
    known = names.split(":") if names else []
    passed: list[tuple[int, str]] = []
    for fd in range(FIRST, FIRST + min(int(count), FDS_MAX)):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            raise ActivationRefused(f"descriptor {fd} is not open") from None
        place = fd - FIRST
        passed.append((fd, known[place] if place < len(known) else "unknown"))
    return passed


def _listening(fd: int) -> socket.socket:
    try:
        found = socket.socket(fileno=fd)
    except OSError:
        raise ActivationRefused(f"descriptor {fd} is not a socket") from None
    listens = found.type == socket.SOCK_STREAM and found.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    if not listens:
        found.detach()  # the caller closes the descriptor
        raise ActivationRefused(f"descriptor {fd} does not listen for streams")
    found.setblocking(False)
    return found
