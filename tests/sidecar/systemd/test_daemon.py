"""A real daemon as a service: its manager is this test."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from doc_runner import Reader
from practice import Practice
from running import environment

PATIENCE_S = 30.0
CONDUCTOR = str(Path(sys.executable).with_name("conductor"))
LOOPBACK = ("sidecar", "--adapter", "memory", "--set", "reconnect.first_spread_s=0.05")


class Service:
    """One daemon, started as systemd starts it."""

    def __init__(self, words: tuple[str, ...], directory: Path, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            words, cwd=directory, env=environment() | env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def end(self) -> str:
        """Stop it; returns what it printed."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE_S)[0]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "ws1"
    place.mkdir()
    return place


@pytest.fixture
def start(workspace: Path) -> Iterator[Callable[..., Service]]:
    """Start daemons in the workspace; what still runs at the end is killed by its id."""
    started: list[Service] = []

    def run(*words: str, **env: str) -> Service:
        started.append(Service(words, workspace, env))
        return started[-1]

    yield run
    for service in started:
        service.process.kill()
        service.process.communicate()


def hear(manager: Any, wanted: str, heard: list[str]) -> list[str]:
    """Listen until something that begins so has come."""
    until = time.monotonic() + PATIENCE_S
    manager.socket.settimeout(PATIENCE_S)
    while not any(message.startswith(wanted) for message in heard):
        assert time.monotonic() < until, heard
        heard.append(manager.socket.recv(65536).decode())
    return heard


def test_a_life_is_told_to_the_manager(manager: Any, start: Callable[..., Service]) -> None:
    service = start(CONDUCTOR, *LOOPBACK, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000")

    hear(manager, "READY=1\nSTATUS=running", [])
    hear(manager, "WATCHDOG=1", [])
    hear(manager, "WATCHDOG=1", [])
    service.process.send_signal(signal.SIGHUP)
    hear(manager, "RELOADING=1\nMONOTONIC_USEC=", [])
    hear(manager, "READY=1", [])
    service.process.send_signal(signal.SIGTERM)
    said = hear(manager, "STOPPING=1", [])[-1]

    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000\nSTATUS=draining, at most 20 s" == said
    assert service.process.wait(PATIENCE_S) == 0


def test_a_manager_that_nobody_can_reach_changes_nothing(
    start: Callable[..., Service], workspace: Path
) -> None:
    service = start(CONDUCTOR, *LOOPBACK, NOTIFY_SOCKET="/nowhere/notify", WATCHDOG_USEC="300000")
    assert service.process.stdout is not None
    while '"ready"' not in service.process.stdout.readline():
        assert service.process.poll() is None

    assert "stopped" in service.end()
    assert service.process.returncode == 0


def test_ready_is_said_while_the_conductor_is_gone_and_the_watchdog_is_fed(
    manager: Any, start: Callable[..., Service], workspace: Path
) -> None:
    with socket.socket() as refuses:
        refuses.bind(("127.0.0.1", 0))
        enroll(workspace, f"ws://127.0.0.1:{refuses.getsockname()[1]}/link")
        start(
            CONDUCTOR, "sidecar", "--set", "reconnect.first_spread_s=0.05",
            NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000",
        )  # fmt: skip

        hear(manager, "READY=1", [])
        for _ in range(5):
            hear(manager, "WATCHDOG=1", [])


def enroll(workspace: Path, url: str) -> None:
    from conductor_sdk.secret import Secret
    from conductor_sdk.workspace import resolve_workspace
    from conductor_state.enrollment import Enrollment
    from conductor_state.identity import write_enrollment

    place = resolve_workspace(workspace)
    place.create()
    write_enrollment(place, Enrollment(url, Secret("cred_of_nobody"), "ws1", None))


def test_the_token_that_the_manager_loaded_enrolls_once(
    manager: Any, start: Callable[..., Service], workspace: Path, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    place = tmp_path / "conductor"
    place.mkdir()
    with Reader(place) as operator:
        conductor = Practice(operator, "ws1")
        token = credentials / "enrollment-token"
        token.write_text(conductor.token)
        token.chmod(0o400)
        env = {
            "CREDENTIALS_DIRECTORY": str(credentials), "CONDUCTOR_URL": conductor.url,
            "NOTIFY_SOCKET": manager.address,
        }  # fmt: skip
        for _ in range(2):  # the second start finds the enrollment: the token is spent
            service = start(CONDUCTOR, "sidecar", **env)
            hear(manager, "READY=1", [])
            printed = service.end()
            assert service.process.returncode == 0, printed
            assert conductor.token.strip() not in printed
        assert (workspace / ".lumenflow/state/conductor/enrollment.json").exists()

        refused = tmp_path / "ws2"
        refused.mkdir()
        spent = start(CONDUCTOR, "sidecar", "--workspace", str(refused), **env)
        printed = spent.process.communicate(timeout=PATIENCE_S)[0]
        assert spent.process.returncode == 77, printed


def test_a_call_that_comes_before_the_daemon_is_answered_by_it(
    start: Callable[..., Service], tool: Any
) -> None:
    assert tool("systemd-socket-activate", "--version").returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    # It starts the daemon when somebody calls, in its own place.
    start("systemd-socket-activate", "-l", f"{host}:{port}", "--fdname=tools", CONDUCTOR, *LOOPBACK)

    until = time.monotonic() + PATIENCE_S
    while True:
        caller = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        try:
            caller.request("GET", "/tools")
            answer = caller.getresponse()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
        finally:
            caller.close()

    assert 401 == answer.status
    assert os.environ.get("LISTEN_FDS") is None
