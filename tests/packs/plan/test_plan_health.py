"""The healthcheck finds what it is there to find."""

from __future__ import annotations

from pathlib import Path

from conductor_packs.plan.batch import Settings
from conductor_packs.plan.health import look, report, try_out
from conductor_sdk.clock import ManualClock, SystemClock
from plan_journal import opened
from plan_world import world


async def test_a_table_that_is_not_what_the_entries_say_is_red(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal.db", SystemClock()) as journal:
        await journal.transaction(lambda inner: inner.connection.execute(_SABOTAGE).close())
        checks = {check.name: check.status for check in await try_out(journal)}
        assert "RED" == checks["replay"]


_SABOTAGE = """
CREATE TABLE IF NOT EXISTS plans (
  plan_id TEXT PRIMARY KEY, title TEXT DEFAULT 'x', owner_agent TEXT, status TEXT, version INTEGER,
  created_ts TEXT, updated_ts TEXT, extra TEXT DEFAULT 'not from an entry'
)
"""


async def test_leases_that_ran_out_are_yellow(tmp_path: Path) -> None:
    async with world(tmp_path, Settings(lease_s=60)) as made:
        await made.add("A")
        await made.claim("A")
        assert "GREEN" == report(await look(made.plans), "now", [])["status"]
        made.clock.advance(61)
        found = report(await look(made.plans), "now", [])
        assert "YELLOW" == found["status"]
        assert {"leases": 1} == {
            each["name"]: each["sample"] for each in found["checks"] if each["status"] == "YELLOW"
        }


async def test_no_plans_is_unknown(tmp_path: Path) -> None:
    from conductor_packs.plan.store import Plans

    async with opened(tmp_path / "journal.db", ManualClock()) as journal:
        checks = await look(Plans(journal, ManualClock()))
        assert "UNKNOWN" == report(checks, "now", [])["status"]
