"""A whole sidecar in this process: what is opened is closed, whatever happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

import delivery_pack
from conductor_adapters.transport import CredentialRefused
from conductor_sdk.client import ask, connect
from conductor_sdk.errors import SidecarUnreachable
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_server.inbox import read_signals
from conductor_sidecar.app import open_history, workspace_lock
from conductor_sidecar.errors import AdapterNotFound
from conductor_sidecar.serve import serve
from conductor_sidecar.settings import LinkSettings, PacksSettings, ReconnectSettings, Settings
from conductor_state.enrollment import Enrollment, EnrollmentMissing
from conductor_state.identity import write_enrollment
from conductor_state.lock import WorkspaceBusy
from delivery_pack import ASKED, QUEUED
from delivery_world import PATIENCE_S, SUBJECT, World, install_delivery_pack

MEMORY = Settings(
    link=LinkSettings(adapter="memory"),
    reconnect=ReconnectSettings(first_spread_s=0.02, cap_s=0.1),
    packs=PacksSettings(disabled=["acme-demo"]),
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace beside the delivery pack, with a fresh desk."""
    return resolve_workspace(install_delivery_pack(tmp_path, monkeypatch))


class Served:
    """A sidecar as a task; `async with` waits until it handles events."""

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self._stop, self._ready = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(
            serve(workspace, settings, self._stop, ready=self._ready), name="sidecar"
        )

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(PATIENCE_S):
            await self._ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await self.task


async def post(workspace: Workspace, path: str, body: object) -> Any:
    encoded = msgspec.json.encode(body)
    answer = await asyncio.to_thread(ask, workspace, "POST", path, encoded, timeout_s=PATIENCE_S)
    return msgspec.json.decode(answer)


async def until(reached: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110  any condition, of any object
            await asyncio.sleep(0.01)


async def test_the_loopback_sends_down_and_keeps_what_is_pushed(workspace: Workspace) -> None:
    async with Served(workspace, MEMORY):
        body = {"kind": ASKED, "payload": {"n": 1, "do": "push"}, "idempotency_key": "k"}
        sent = await post(workspace, "/v1/loopback/send", body)
        await until(lambda: bool(read_signals(workspace.root)))
    assert ([1], 1) == (delivery_pack.desk.handled, sent["sequence"])
    assert [SUBJECT] == [signal.sender for signal in read_signals(workspace.root)]


async def test_the_loopback_goes_on_after_a_restart(workspace: Workspace) -> None:
    for number in (1, 2):
        async with Served(workspace, MEMORY):
            body = {"kind": ASKED, "payload": {"n": number}, "idempotency_key": str(number)}
            sent = await post(workspace, "/v1/loopback/send", body)
            await until(lambda: delivery_pack.desk.handled[-1:] == [number])  # noqa: B023
            assert number == sent["sequence"]
    assert [1, 2] == delivery_pack.desk.handled


async def test_after_a_stop_nothing_answers_and_the_workspace_is_free(workspace: Workspace) -> None:
    async with Served(workspace, MEMORY):
        assert (await connect(workspace.root).status())["running"]
        assert workspace.control_socket.exists()
    assert not workspace.control_socket.exists()
    with pytest.raises(SidecarUnreachable):
        await connect(workspace.root).status()
    lock = workspace_lock(workspace, "test")
    await lock.acquire(0.0)
    lock.release()


async def test_a_workspace_has_one_sidecar(workspace: Workspace) -> None:
    async with Served(workspace, MEMORY) as first:
        with pytest.raises(WorkspaceBusy, match="conductor sidecar"):
            await serve(workspace, MEMORY, asyncio.Event())
        assert not first.task.done()
        assert (await connect(workspace.root).status())["running"]


async def test_a_workspace_that_is_not_enrolled_is_not_served(workspace: Workspace) -> None:
    with pytest.raises(EnrollmentMissing):
        await serve(workspace, Settings(), asyncio.Event())
    assert not workspace.sidecar_db.exists()


async def test_an_unknown_adapter_is_refused_and_everything_is_closed(
    workspace: Workspace,
) -> None:
    write_enrollment(workspace, Enrollment("nowhere://x", Secret("t"), SUBJECT, None))
    for _ in range(2):
        with pytest.raises(AdapterNotFound):
            await serve(workspace, Settings(link=LinkSettings(adapter="pigeon")), asyncio.Event())


async def test_a_refused_credential_closes_everything(workspace: Workspace, tmp_path: Path) -> None:
    world = World(tmp_path, "inprocess")
    try:
        await world.open()
        await world.revoke()
        for _ in range(2):
            with pytest.raises(CredentialRefused):
                await serve(workspace, world.settings, asyncio.Event())
            assert not workspace.control_socket.exists()
    finally:
        await world.end()


async def test_a_new_enrollment_is_used_without_a_restart(
    workspace: Workspace, tmp_path: Path
) -> None:
    world = World(tmp_path, "websocket")
    try:
        await world.run()
        await world.revoke()

        async def refused() -> bool:
            return "CREDENTIAL_REFUSED" in (await world.status())["link"]["reason"]

        await world.until("the refusal shows", refused)
        issued = await world.conductor.tokens.issue(SUBJECT)
        granted = await world.conductor.enroll(issued.text.reveal())
        url = (await world.status())["link"]["address"]
        token = Secret(granted.text.reveal())
        write_enrollment(workspace, Enrollment(url, token, SUBJECT, None))
        await world.linked()
    finally:
        await world.end()


async def test_a_stop_that_is_asked_for_at_once_ends_cleanly(workspace: Workspace) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(PATIENCE_S):
        await serve(workspace, MEMORY, stop)
    history = await open_history(workspace.state_dir / "loopback.db")
    assert (1, 0) == await history.bounds(SUBJECT)
    await history.close()


async def test_the_status_names_pack_and_kinds(workspace: Workspace) -> None:
    async with Served(workspace, MEMORY):
        status = await connect(workspace.root).status()
        loaded = {pack["slug"]: pack for pack in status["packs"] if pack["state"] == "loaded"}
        assert QUEUED in loaded["delivery-pack"]["emits"]
        assert "disabled" == next(
            pack["state"] for pack in status["packs"] if pack["slug"] in {"acme-demo", "acme_demo"}
        )
