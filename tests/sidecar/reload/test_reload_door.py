"""The address of tools under pressure: requests that run, failures in the middle, a stop."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.client import SidecarAnswered
from conductor_sdk.clock import SystemClock
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.http.listener import whereabouts
from conductor_sidecar.serve import Service
from conductor_sidecar.surfaces import Served
from conductor_sidecar.systemd.herald import Herald
from conductor_sidecar.systemd.notify import Notifier
from delivery_world import SUBJECT
from own_port import own_port
from reload_pack import GUEST, STEADY
from reload_world import ReloadWorld

OPEN = {"allow_tools": ["*"]}
TOOLS = [f"{GUEST}:say", f"{STEADY}:say"]


@pytest.fixture
async def world(tmp_path: Path, packs: Path) -> AsyncIterator[ReloadWorld]:
    """A world over the adapter that needs no port."""
    (tmp_path / SUBJECT).mkdir()
    made = ReloadWorld(tmp_path, "inprocess")
    yield made
    await made.end()


@pytest.fixture
def ports() -> list[int]:
    """Ports that are free now."""
    return sorted(own_port() for _ in range(4))


def _at(port: int, **more: Any) -> dict[str, Any]:
    return {"http": {**OPEN, "listen": f"127.0.0.1:{port}"}, **more}


def _call(world: ReloadWorld, port: int, tool: str, given: dict[str, Any]) -> asyncio.Task[Any]:
    """Call a tool over TCP; the status and the answer, or how the connection ended."""
    token = world.workspace.http_token.read_text().strip()

    def asked() -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            body = json.dumps({"input": given})
            connection.request("POST", f"/tools/{tool}", body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    return asyncio.create_task(asyncio.to_thread(asked))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return False
    return True


def _files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_call_that_runs_ends_as_it_began_when_its_address_is_left(
    world: ReloadWorld, ports: list[int]
) -> None:
    world.write(_at(ports[0]))
    await world.run()
    call = _call(world, ports[0], f"{STEADY}:say", {"wait": True})
    await world.until("it runs", lambda: bool(world.pack().said))
    world.write(_at(ports[1]))
    reload = asyncio.create_task(world.reload())
    await world.until("the old one is left", lambda: not _listens(ports[0]))
    assert not call.done()
    world.open_gates()
    assert 200 == (await call)[0]
    assert "applied" == (await reload)["outcome"]
    assert TOOLS == await world.tcp_tools()


async def test_a_call_ends_with_the_tools_it_began_with(
    world: ReloadWorld, ports: list[int]
) -> None:
    world.write(_at(ports[0]))
    await world.run()
    name = f"{GUEST}:say"
    call = _call(world, ports[0], name, {"wait": True})
    await world.until("it runs", lambda: bool(world.pack(GUEST).said))
    world.manifest(GUEST, tool=f"{GUEST}:shout")
    assert "applied" == (await world.reload())["outcome"]
    assert [f"{GUEST}:shout", f"{STEADY}:say"] == await world.tcp_tools()
    assert 404 == (await _call(world, ports[0], name, {}))[0]
    world.open_gates()
    assert 200 == (await call)[0]


async def _prepared(
    world: ReloadWorld, old: int, new: int, timeout_s: float
) -> tuple[asyncio.Task[dict[str, Any]], asyncio.Task[Any]]:
    """A reload that waits for a handler, and a call at the address that it has prepared."""
    world.write(_at(old, reload={"timeout_s": timeout_s}))
    await world.run()
    await world.send(1, do="wait")
    await world.until("it runs", lambda: bool(world.pack().calls))
    world.write(_at(new, reload={"timeout_s": timeout_s}))
    reload = asyncio.create_task(world.reload() if timeout_s > 1 else world.refused())
    await world.until("it is prepared", lambda: _listens(new))
    return reload, _call(world, new, f"{STEADY}:say", {})


async def test_a_call_at_an_address_that_is_given_up_reaches_no_tool(
    world: ReloadWorld, ports: list[int]
) -> None:
    reload, call = await _prepared(world, *ports[:2], timeout_s=1.0)
    assert "RELOAD_TIMEOUT" == (await reload)["code"]
    assert (503, "NOT_SERVED_HERE") == ((await call)[0], (await call)[1]["error"]["code"])
    assert ([], False, TOOLS) == (
        world.pack().said, _listens(ports[1]), await world.tcp_tools()
    )  # fmt: skip
    world.open_gates()


async def test_a_call_at_an_address_waits_until_it_is_in_force(
    world: ReloadWorld, ports: list[int]
) -> None:
    reload, call = await _prepared(world, *ports[:2], timeout_s=20.0)
    done, _ = await asyncio.wait({reload, call}, timeout=0.2)
    assert (set(), []) == (done, world.pack().said)
    world.open_gates()
    assert ("applied", 200) == ((await reload)["outcome"], (await call)[0])


async def test_a_call_over_a_socket_that_was_handed_over_outlives_two_reloads(
    world: ReloadWorld,
) -> None:
    handed = socket.socket()
    handed.bind(("127.0.0.1", 0))
    handed.listen()
    port = int(handed.getsockname()[1])
    world.service = Service(Herald(Notifier(None), SystemClock()), handed)
    world.write({"http": OPEN})
    await world.run()
    name = f"{STEADY}:say"
    call = _call(world, port, name, {"wait": True})
    await world.until("it runs", lambda: bool(world.pack().said))
    later: list[int] = []
    for allowed in ([], ["*"]):
        world.write({"http": {"listen": f"127.0.0.1:{port}", "allow_tools": allowed}})
        await world.reload()
        later.append((await _call(world, port, name, {}))[0])
    world.open_gates()
    assert ([403, 200], 200) == (later, (await call)[0])


async def test_to_and_fro_leaves_nothing_behind(world: ReloadWorld, ports: list[int]) -> None:
    world.write(_at(ports[0]))
    await world.run()
    held: list[int] = []
    for turn in range(6):
        port = ports[1 - turn % 2]
        world.write(_at(port))
        await world.reload()
        assert TOOLS == await world.tcp_tools()
        assert (True, False) == (_listens(port), _listens(ports[turn % 2]))
        # Ends of the probes are closed a moment later.
        await world.until("nothing is left", lambda: not held or _files() <= held[0])
        held.append(_files())
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert 1 == names.count("http.denials")


async def test_another_spelling_of_the_same_address_keeps_it(world: ReloadWorld) -> None:
    port = own_port("::1")
    world.write({"http": {**OPEN, "listen": f"[::1]:{port}"}})
    await world.run()
    before = (await world.status())["http"]
    for listen in (f"[0:0:0:0:0:0:0:1]:{port}", f"[::0001]:{port}"):
        world.write({"http": {**OPEN, "listen": listen}})
        assert "applied" == (await world.reload())["outcome"]
    assert f"http://[::1]:{port}" == before == (await world.status())["http"]
    assert TOOLS == await world.tcp_tools()


async def test_a_port_that_the_sidecar_holds_itself_is_named(
    world: ReloadWorld, ports: list[int]
) -> None:
    world.write(_at(ports[0]))
    await world.run()
    world.write({"http": {**OPEN, "listen": f"0.0.0.0:{ports[0]}", "allow_remote": True}})
    with pytest.raises(SidecarAnswered, match="Address already in use") as refused:
        await world.reload()
    assert "the sidecar itself holds that port" in (refused.value.hint or "")
    assert TOOLS == await world.tcp_tools()


async def test_a_path_is_no_address(world: ReloadWorld, ports: list[int]) -> None:
    world.write(_at(ports[0]))
    await world.run()
    for listen in ("unix:/run/tools.sock", "/run/tools.sock", "127.0.0.1:65536", "nowhere:80"):
        world.write({"http": {**OPEN, "listen": listen}})
        assert (await world.refused())["code"] in {
            "CONFIG_INVALID", "HTTP_LISTEN_FAILED", "HTTP_LISTEN_REFUSED"
        }  # fmt: skip
    assert TOOLS == await world.tcp_tools()


async def test_an_exchange_that_breaks_puts_back_what_was_served(
    world: ReloadWorld, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(_at(ports[0]))
    await world.run()
    renew, broken = Served.renew, [True]

    def breaks(served: Served, settings: Any) -> None:
        renew(served, settings)
        if broken.pop() if broken else False:
            raise RuntimeError("at the last step")

    monkeypatch.setattr(Served, "renew", breaks)
    held = _files()
    world.write(_at(ports[1]))
    assert "RELOAD_FAILED" == (await world.refused())["code"]
    assert (True, False) == (_listens(ports[0]), _listens(ports[1]))
    assert TOOLS == await world.tcp_tools()
    await world.until("nothing is left", lambda: _files() <= held)
    assert "applied" == (await world.reload())["outcome"]
    assert TOOLS == await world.tcp_tools()
    assert (False, True) == (_listens(ports[0]), _listens(ports[1]))


async def test_a_step_that_fails_afterwards_does_not_keep_the_old_address(
    world: ReloadWorld, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(_at(ports[0]))
    await world.run()

    async def broken(_: Downlink) -> None:
        raise RuntimeError("nobody there")

    with monkeypatch.context() as patch:
        patch.setattr(Downlink, "regrant", broken)
        world.write(_at(ports[1]))
        assert "applied" == (await world.reload())["outcome"]
    assert (False, True) == (_listens(ports[0]), _listens(ports[1]))
    errors = (await world.status())["errors"]
    assert [True] == ["it is in force, but" in one["message"] for one in errors[-1:]]


async def test_a_stop_in_the_middle_leaves_no_address_open(
    world: ReloadWorld, ports: list[int]
) -> None:
    world.write(_at(ports[0], reload={"timeout_s": 30.0}))
    await world.run()
    await world.send(1, do="wait")
    await world.until("it runs", lambda: bool(world.pack().calls))
    world.write(_at(ports[1], reload={"timeout_s": 30.0}))
    world.reloading.asked.set()
    await world.until("it is prepared", lambda: _listens(ports[1]))
    await world.stop()
    assert [False, False] == [_listens(port) for port in ports[:2]]
    ours = ("http.", "mcp.", "daemon.")
    assert [] == [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith(ours)]


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        (None, None),
        ("localhost:80", ("127.0.0.1", "80")),
        ("127.0.0.1:0080", ("127.0.0.1", "80")),
        ("[::0001]:0", ("::1", "0")),
        ("nowhere.example:80", ("nowhere.example", "80")),
    ],
)
def test_whereabouts_are_the_same_for_the_same_address(
    listen: str | None, where: tuple[str, str] | None
) -> None:
    assert where == whereabouts(listen)
