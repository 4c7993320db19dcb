"""What a restored past means to the conductor: what comes again, what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import delivery_pack
from backup_world import PATIENCE_S, Served, backed_up
from conductor_protocol.messages import Head
from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Outgoing
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_server.activity import Feed
from conductor_server.inbox import read_signals
from conductor_server.workspace import Workspace as Remote
from conductor_sidecar.app import open_history, open_stores
from conductor_sidecar.backup.restore import restore_backup
from conductor_sidecar.settings import Settings
from delivery_pack import ASKED, QUEUED
from installed import install

SUBJECT = "ws"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    installed = install(tmp_path / "in", packs={"delivery_pack": "delivery_pack:pack"})
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(delivery_pack, "desk", delivery_pack.Desk())
    (tmp_path / SUBJECT).mkdir()
    return resolve_workspace(tmp_path / SUBJECT)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110  any condition, of any object
            await asyncio.sleep(0.01)


async def send(sidecar: Served, number: int) -> None:
    body = {"kind": ASKED, "payload": {"n": number}, "idempotency_key": str(number)}
    await sidecar.ask("POST", "/v1/loopback/send", body)
    await until(lambda: delivery_pack.desk.handled[-1:] == [number])


async def back(workspace: Workspace, file: Path) -> None:
    await asyncio.to_thread(restore_backup, workspace, file, SystemClock(), dry_run=False)


async def settled(sidecar: Served) -> Any:
    """Return the status once everything has been settled and confirmed."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = await sidecar.ask("GET", "/v1/status")
            if not status["backlog"] and not status["outbox"]["events"]:
                return status
            await asyncio.sleep(0.01)


async def test_events_after_the_backup_come_again_and_run_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    async with Served(workspace) as sidecar:
        await send(sidecar, 1)
        await settled(sidecar)
    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    async with Served(workspace) as sidecar:
        await send(sidecar, 2)
    await back(workspace, tmp_path / "b.tar")
    async with Served(workspace) as sidecar:
        await until(lambda: delivery_pack.desk.handled == [1, 2, 2])
        status = await settled(sidecar)

    assert (2, True) == (status["cursor"]["sequence"], status["balanced"])


async def test_what_was_confirmed_since_is_sent_again_and_is_a_duplicate_there(
    workspace: Workspace, tmp_path: Path
) -> None:
    event = (
        b'{"schema_version":2,"kind":"delivery-pack:thing_queued","event_id":"evt-once",'
        b'"timestamp":"2026-01-01T00:00:00.000Z","from":"ws","payload":{"n":1}}'
    )
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        await stores.outbox.put([Outgoing("evt-once", QUEUED, event)])
    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    async with Served(workspace) as sidecar:
        first = await settled(sidecar)
    await back(workspace, tmp_path / "b.tar")
    async with Served(workspace) as sidecar:
        again = await settled(sidecar)

    assert [SUBJECT] == [each.sender for each in read_signals(workspace.root)]
    assert [1, 1] == [each["outbound"][QUEUED]["delivered"] for each in (first, again)]


async def test_a_conductor_that_has_seen_more_of_the_journal_flags_it(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    workspace = resolve_workspace(tmp_path / "ws")
    history = await open_history(tmp_path / "history.db")
    remote = Remote(SUBJECT, 0)
    clock = SystemClock()

    async def anchored(entries: int) -> None:
        async with open_stores(workspace, Settings(), clock=clock) as stores:
            for number in range(entries):
                await stores.journal.append("NOTED", "operator", {"n": number})
            await remote.anchor(Head(*await stores.journal.head()), history, clock, Feed(clock, 8))

    await anchored(2)
    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    await anchored(4)
    before = remote.journal_problem
    await back(workspace, tmp_path / "b.tar")
    await anchored(0)
    await history.close()

    assert (None, "the journal shrank from 6 to 3 entries") == (before, remote.journal_problem)
