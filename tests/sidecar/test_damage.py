"""A damaged store is set aside, counted and journaled, and the daemon goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Arrival, Outgoing
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_stores
from conductor_sidecar.settings import Settings
from conductor_state.errors import StoreCorrupt

EVENTS = 50


async def fill(workspace: Workspace) -> None:
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        arrivals = [Arrival(f"evt-{n}", "demo:thing", b'{"n":%d}' % n) for n in range(EVENTS)]
        await stores.log.receive("epoch", EVENTS, arrivals)
        await stores.outbox.put([Outgoing(f"out-{n}", "demo:up", b"{}") for n in range(EVENTS)])


async def facts(workspace: Workspace) -> tuple[int, int, bool, list[str]]:
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        found = await stores.desk.facts()
        entries = [entry.event_type for entry in await stores.journal.tail()]
    return found.backlog, found.outbox.events, found.balanced, entries


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return resolve_workspace(tmp_path)


async def test_a_file_that_is_no_database_is_set_aside_and_a_new_one_begun(
    workspace: Workspace,
) -> None:
    await fill(workspace)
    workspace.sidecar_db.write_bytes(os.urandom(40_000))
    backlog, queued, balanced, entries = await facts(workspace)

    assert (0, 0, True) == (backlog, queued, balanced)
    assert ["STORE_QUARANTINED"] == entries
    assert list(workspace.state_dir.glob("sidecar.db.corrupt-*"))


async def test_damage_that_a_run_met_is_salvaged_at_the_next_start(workspace: Workspace) -> None:
    await fill(workspace)
    with pytest.raises(StoreCorrupt):
        async with open_stores(workspace, Settings(), clock=SystemClock()):
            raise StoreCorrupt("page 7 met at run time")
    backlog, queued, balanced, entries = await facts(workspace)

    assert (EVENTS, EVENTS, True) == (backlog, queued, balanced)
    assert ["STORE_QUARANTINED"] == entries


async def test_a_mended_workspace_opens_without_another_salvage(workspace: Workspace) -> None:
    await test_damage_that_a_run_met_is_salvaged_at_the_next_start(workspace)

    assert ["STORE_QUARANTINED"] == (await facts(workspace))[3]


async def test_a_damaged_journal_is_set_aside_and_the_new_one_says_so(workspace: Workspace) -> None:
    await fill(workspace)
    workspace.journal_db.write_bytes(os.urandom(20_000))

    assert ["JOURNAL_SET_ASIDE"] == (await facts(workspace))[3]
