"""Where TCP is listened on, and where not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import SystemClock
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.http.errors import ListenFailed, ListenRefused
from conductor_sidecar.http.listener import TcpSurface
from conductor_sidecar.settings import HttpSettings
from conductor_state.memory.journal import MemoryJournal
from tool_server import ScriptedTools


def speaks_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ADDRESSES = ["127.0.0.1:0", "localhost:0", "127.0.0.2:0", *(["[::1]:0"] if speaks_ipv6() else [])]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = resolve_workspace(tmp_path)
    made.create()
    return made


def surface(workspace: Workspace, **settings: Any) -> TcpSurface:
    return TcpSurface(
        ScriptedTools(), workspace, HttpSettings(**settings), MemoryJournal(), SystemClock()
    )


async def test_nothing_listens_unless_it_is_configured(workspace: Workspace) -> None:
    async with surface(workspace).listening() as listening:
        assert listening is None
    assert not workspace.http_token.exists()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_addresses_of_this_machine_are_listened_on(
    workspace: Workspace, address: str
) -> None:
    async with surface(workspace, listen=address).listening() as listening:
        assert listening is not None
        with socket.create_connection((listening.host.strip("[]"), listening.port), 5):
            pass
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((listening.host.strip("[]"), listening.port), 5)


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:127.0.0.1]:0", "[2001:db8::1]:0"]
)
async def test_other_addresses_are_refused_before_anything_is_bound(
    workspace: Workspace, address: str
) -> None:
    with pytest.raises(ListenRefused) as refused:
        async with surface(workspace, listen=address).listening():
            pass
    assert (78, True) == (refused.value.exit_code, "allow_remote" in refused.value.hint)


async def test_another_address_is_listened_on_where_that_is_said(workspace: Workspace) -> None:
    remote = surface(workspace, listen="0.0.0.0:0", allow_remote=True)
    async with remote.listening() as listening:
        assert listening is not None
        assert "0.0.0.0" == listening.host


async def test_a_port_that_cannot_be_had_is_told(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], 99999]
        for port in ports:
            with pytest.raises(ListenFailed, match=str(port)):
                async with surface(workspace, listen=f"127.0.0.1:{port}").listening():
                    pass


async def test_a_name_is_not_looked_up(workspace: Workspace) -> None:
    with pytest.raises(ListenRefused, match="neither"):
        async with surface(workspace, listen="nobody.invalid:0", allow_remote=True).listening():
            pass


async def test_a_socket_that_is_handed_over_is_used_and_closed(workspace: Workspace) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with surface(workspace).listening(listener) as listening:
        assert listening is not None
        assert port == listening.port
    assert -1 == listener.fileno()


async def test_a_socket_that_is_handed_over_is_checked_as_an_address_is(
    workspace: Workspace, tmp_path: Path
) -> None:
    wide = socket.create_server(("0.0.0.0", 0))
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(tmp_path / "s"))
    for listener in (wide, local):
        with pytest.raises(ListenRefused):
            async with surface(workspace).listening(listener):
                pass
        assert -1 == listener.fileno()
