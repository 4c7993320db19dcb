"""What the pack's background task looks at, and what a look leaves alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.plan import watch
from conductor_packs.plan.feed import tick
from conductor_packs.plan.pack import pack
from conductor_packs.plan.watch import due
from conductor_sdk.testing.harness import PackHarness

LOOK = """
import asyncio, sys
from pathlib import Path
from conductor_packs.plan.watch import due
from conductor_sdk.clock import ManualClock
from conductor_sdk.testing.context import HarnessContext
from conductor_sdk.testing.journal import RecordingJournal

async def look(root):
    given = dict.fromkeys(HarnessContext.__dataclass_fields__)
    given |= {"workspace": root, "journal": RecordingJournal(), "clock": ManualClock()}
    assert not await due(HarnessContext(**given), root / "inbox")

asyncio.run(look(Path(sys.argv[1])))
print(sorted(name for name in sys.modules if name.startswith("conductor_packs.plan.")))
"""


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncGenerator[PackHarness]:
    (tmp_path / "ws").mkdir()
    async with PackHarness(
        pack, workspace=tmp_path / "ws", journal_path=tmp_path / "journal.db"
    ) as harness:
        harness.connect()
        yield harness


def inbox(harness: PackHarness) -> Path:
    return harness.context.workspace / ".lumenflow/gateway/inbox"


async def asked(harness: PackHarness) -> bool:
    return await due(harness.context, inbox(harness))


async def good(harness: PackHarness, tool: str, **fields: Any) -> None:
    output = await harness.call_tool(tool, fields)
    assert output.success, output


async def test_where_no_plan_was_made_nothing_is_due_and_nothing_is_made(
    harness: PackHarness, tmp_path: Path
) -> None:
    assert not await asked(harness)
    assert [tmp_path / "ws"] == list(tmp_path.iterdir())  # noqa: ASYNC240  a look


def test_while_there_are_no_plans_a_look_loads_none_of_their_code(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LOOK, str(tmp_path)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    expected = ["errors", "inbox_files", "routes", "settings", "sql", "watch"]
    assert f"{[f'conductor_packs.plan.{name}' for name in expected]}\n" == done.stdout


async def test_a_change_is_due_until_it_was_pushed(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    assert await asked(harness)
    assert 1 == await tick(harness.context)
    assert not await asked(harness)


async def test_a_lease_is_due_once_it_ran_out(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    await good(harness, "item:add", plan_id="P", item_id="A", title="A")
    await good(harness, "item:claim", item_id="A", ttl_s=60)
    await tick(harness.context)
    harness.clock.advance(59)
    assert not await asked(harness)
    harness.clock.advance(1)
    assert await asked(harness)


async def test_an_order_that_nobody_finishes_is_due_once_its_lease_ran_out(
    harness: PackHarness,
) -> None:
    await good(harness, "order:submit", order={"wo_id": "WO-1", "title": "An order"})
    await good(harness, "order:claim", target="main", ttl_s=60)
    await tick(harness.context)
    assert not await asked(harness)
    harness.clock.advance(60)
    assert await asked(harness)


async def test_a_file_in_the_inbox_is_due_and_others_are_not(harness: PackHarness) -> None:
    folder = inbox(harness)
    folder.mkdir(parents=True)
    for name in (".hidden.json", "notes.txt"):
        (folder / name).write_text("{}")
    assert not await asked(harness)
    (folder / "order.json").write_text(json.dumps({"wo_id": "WO-1", "title": "An order"}))
    assert await asked(harness)
    await tick(harness.context)
    assert not await asked(harness)


async def test_tables_of_a_time_before_changes_were_pushed_are_due(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    await harness.journal.transaction(
        lambda transaction: transaction.connection.execute("DROP TABLE plan_outbox").close()
    )
    assert await asked(harness)
    await tick(harness.context)
    assert not await asked(harness)


async def test_the_task_pushes_what_others_changed(
    harness: PackHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0)
    running = asyncio.create_task(watch.run_watch(harness.context))
    await good(harness, "plan:create", plan_id="P", title="Day")
    async with asyncio.timeout(10):
        while not harness.pushed:  # noqa: ASYNC110  a list, no event
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert ["plan:plan_created"] == [event.kind for event in harness.pushed]
