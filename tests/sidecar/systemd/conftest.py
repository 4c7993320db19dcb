"""A service manager's end of the notify socket, and systemd's own tools."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Manager:
    """Receives what a service says."""

    def __init__(self, address: str) -> None:
        self.address = address
        """As in NOTIFY_SOCKET."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Return every datagram that has come since the last call."""
        datagrams: list[str] = []
        while True:
            try:
                datagrams.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return datagrams


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A service manager that listens."""
    name = tmp_path / "notify"
    manager = Manager(str(name) if request.param == "path" else f"@conductor{name}")
    with manager.socket:
        yield manager


@pytest.fixture
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of systemd's tools; where it is missing, the test fails."""

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        program = shutil.which(str(command[0]))
        assert program, f"{command[0]} is missing; run: tests/servers/install-systemd.sh"
        words = [program, *map(str, command[1:])]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    return run
