"""What a service tells its manager: one datagram for each message.

Promise: a message is sent whole or not at all, never waits, and costs nothing where no manager
listens. Refusal: nothing is read from the manager, and no text of ours can add a field of its own.
"""

from __future__ import annotations

import re
import socket
from collections.abc import MutableMapping
from typing import Self

VARIABLE = "NOTIFY_SOCKET"
STATUS_MAX = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def ready() -> str:
    """Say that the service has started, or that its reload has ended."""
    return "READY=1"


def status(text: str) -> str:
    """Say in a line what the service does; control characters become spaces."""
    return f"STATUS={_CONTROL.sub(' ', text)[:STATUS_MAX]}"


def stopping() -> str:
    """Say that the service stops."""
    return "STOPPING=1"


def reloading(monotonic_s: float) -> str:
    """Say that a reload has begun at a time of CLOCK_MONOTONIC; `ready` ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={round(monotonic_s * 1_000_000)}"


def watchdog() -> str:
    """Say that the service makes progress."""
    return "WATCHDOG=1"


def extend_timeout(seconds: float) -> str:
    """Ask for so many seconds more, from now, to start, reload or stop."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}"


class Notifier:
    """The way to the service manager; without one, every message is dropped."""

    def __init__(self, address: str | None) -> None:
        self._address = _resolved(address)
        self._socket: socket.socket | None = None

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self:
        """Use the manager that the environment names, and leave it to no child process."""
        return cls(environ.pop(VARIABLE, None))

    @property
    def listening(self) -> bool:
        """Whether there is a manager."""
        return self._address is not None

    def send(self, *lines: str) -> bool:
        """Send one message; tells whether it left, which without a manager it does not."""
        if self._address is None:
            return False
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            # Full, or gone for a moment: a daemon does not end because nobody takes its word.
            return False
        return True

    def close(self) -> None:
        """Close the socket. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _resolved(address: str | None) -> str | None:
    """Return the address as the kernel takes it; None for what is no Unix socket."""
    if not address or address[0] not in "/@":
        return None
    return "\0" + address[1:] if address.startswith("@") else address
