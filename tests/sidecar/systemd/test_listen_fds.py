"""Sockets that the service manager opened, in a real child process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from conductor_sidecar.systemd.listen_fds import take_listener
from own_port import own_port

CHILD = """
import json, os, socket, subprocess, sys
from conductor_sidecar.systemd.errors import ActivationRefused
from conductor_sidecar.systemd.listen_fds import take_listener
if sys.argv[1] == "ours":
    os.environ["LISTEN_PID"] = str(os.getpid())
said = {}
try:
    found = take_listener(os.environ)
except ActivationRefused as error:
    found, said["refused"] = None, error.message
if found is not None:
    said["name"] = list(found.getsockname()[:2])
    said["inheritable"] = found.get_inheritable()
    mine = os.readlink(f"/proc/self/fd/{found.fileno()}")
    look = "import glob, os; print(*(os.path.realpath(fd) for fd in glob.glob('/proc/self/fd/*')))"
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True,
                          close_fds=False)
    said["leaked"] = mine in seen.stdout
    found.setblocking(True)
    found.settimeout(10)
    caller, _ = found.accept()
    caller.sendall(b"served")
    caller.close()
said["environ"] = sorted(name for name in os.environ if name.startswith("LISTEN_"))
def is_open(fd):
    try:
        return os.fstat(fd) is not None
    except OSError:
        return False
said["open"] = [fd for fd in range(3, 8) if is_open(fd)]
print(json.dumps(said))
"""


def listening() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(8)
    return bound


def handed(
    sockets: Sequence[socket.socket], names: str | None = None, *, whose: str = "ours"
) -> subprocess.Popen[str]:
    """Start a child with these sockets from descriptor 3 on, as a service manager does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")} | {
        "LISTEN_FDS": str(len(sockets)),
        "LISTEN_PID": "1",
    }
    if names is not None:
        env["LISTEN_FDNAMES"] = names
    # A shell puts each descriptor in its place: fork and exec in one, without a hook of Python's.
    moves = " ".join(f"{3 + place}<&{held.fileno()}" for place, held in enumerate(sockets))
    closes = " ".join(f"{held.fileno()}<&-" for held in sockets if held.fileno() > 9)
    line = f'exec "$0" "$@" {moves} {closes}'
    return subprocess.Popen(
        ["bash", "-c", line, sys.executable, "-c", CHILD, whose], env=env, text=True,
        pass_fds=[held.fileno() for held in sockets], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def said_by(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


@pytest.fixture
def port() -> Any:
    with listening() as held:
        yield held


def test_a_socket_that_was_handed_over_serves_and_is_inherited_by_nobody(port: Any) -> None:
    # A caller that came before the daemon: it waits in the queue of the socket.
    with socket.create_connection(port.getsockname(), timeout=10) as caller:
        child = handed([port], "tools")
        assert b"served" == caller.recv(16)
    said = said_by(child)

    assert {
        "name": list(port.getsockname()), "inheritable": False, "leaked": False, "environ": [],
        "open": [3],
    } == said  # fmt: skip


def test_of_several_sockets_the_one_with_the_name_is_used_and_the_others_are_closed(
    port: Any,
) -> None:
    with (
        listening() as other, listening() as another,
        socket.create_connection(port.getsockname(), timeout=10),
    ):  # fmt: skip
        said = said_by(handed([other, port, another], "metrics:tools:extra"))

    assert list(port.getsockname()) == said["name"]
    assert [4] == said["open"]


def test_a_single_socket_needs_no_name(port: Any) -> None:
    with socket.create_connection(port.getsockname(), timeout=10):
        assert list(port.getsockname()) == said_by(handed([port]))["name"]


def test_sockets_for_another_process_are_left_alone(port: Any) -> None:
    said = said_by(handed([port], "tools", whose="theirs"))

    assert {"environ": [], "open": [3]} == said


@pytest.mark.parametrize(
    ("names", "complaint"),
    [("tools:tools", "2 sockets are called tools"), ("a:b", "none is called tools, but: a, b")],
)
def test_sockets_of_which_none_can_be_chosen_are_refused_and_closed(
    port: Any, names: str, complaint: str
) -> None:
    with listening() as other:
        said = said_by(handed([port, other], names))

    assert complaint in said["refused"]
    assert [] == said["open"]


def test_a_socket_that_does_not_listen_is_refused_and_closed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        said = said_by(handed([datagrams], "tools"))

    assert "does not listen for streams" in said["refused"]
    assert [] == said["open"]


def test_a_number_of_descriptors_that_are_not_there_is_refused() -> None:
    child = handed([], "tools")
    assert {"environ": [], "open": []} == said_by(child)

    environ = {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())}
    assert take_listener(environ) is None
    assert {} == environ


def test_systemds_own_activation_is_understood(tool: Any) -> None:
    address = f"127.0.0.1:{own_port()}"
    assert tool("systemd-socket-activate", "--version").returncode == 0
    child = subprocess.Popen(
        ["systemd-socket-activate", "-l", address, "--fdname=tools", "-E", "PYTHONPATH",
         sys.executable, "-c", CHILD, "theirs"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    host, port = address.split(":")
    while True:
        try:
            caller = socket.create_connection((host, int(port)), timeout=10)
            break
        except ConnectionRefusedError:
            assert child.poll() is None
    with caller:
        assert b"served" == caller.recv(16)
    said = said_by(child)

    assert ([host, int(port)], False) == (said["name"], said["leaked"])
