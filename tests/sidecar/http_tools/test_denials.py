"""Denials in the journal: each accounted for, few entries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from conductor_sdk.clock import ManualClock
from conductor_sidecar.http.denials import KINDS_MAX, Denials, Kind
from conductor_state.errors import StoreClosed
from conductor_state.memory.journal import MemoryJournal

REFUSED = Kind("UNAUTHORIZED", 401)
FOREIGN = Kind("HOST_REFUSED", 421)


async def payloads(journal: MemoryJournal) -> list[dict[str, Any]]:
    return [json.loads(entry.payload) for entry in await journal.latest(1000)]


async def until(journal: MemoryJournal, entries: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        while len(found := await payloads(journal)) < entries:  # noqa: ASYNC110  a journal tells nobody
            await asyncio.sleep(0)
    return found


async def test_the_first_of_a_kind_is_written_at_once_and_the_rest_as_one_entry() -> None:
    journal, clock = MemoryJournal(), ManualClock()
    denials = Denials(journal, clock)
    denials.start()
    denials.count(REFUSED)
    await until(journal, 1)
    for _ in range(1000):
        denials.count(REFUSED)
    denials.count(FOREIGN)
    await until(journal, 2)
    clock.advance(7)
    denials.count(REFUSED)
    await denials.stop()

    first, foreign, rest = await payloads(journal)
    assert [1, 1, 1001] == [first["count"], foreign["count"], rest["count"]]
    assert ("UNAUTHORIZED", 401, "http") == (rest["reason"], rest["status"], rest["surface"])
    assert ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:07.000Z") == (
        rest["first_at"], rest["last_at"],
    )  # fmt: skip


async def test_what_was_counted_in_a_window_is_written_when_it_ends() -> None:
    journal = MemoryJournal()
    denials = Denials(journal, ManualClock(), window_s=0.05)
    denials.start()
    denials.count(REFUSED)
    await until(journal, 1)
    denials.count(REFUSED)
    denials.count(REFUSED)

    assert [1, 2] == [one["count"] for one in await until(journal, 2)]
    await denials.stop()


async def test_a_stop_waits_for_a_write_that_is_under_way() -> None:
    class Slow(MemoryJournal):
        async def append(
            self, event_type: str, actor: str, payload: Mapping[str, Any], **_: str
        ) -> int:
            await asyncio.sleep(0.01)
            return await super().append(event_type, actor, payload)

    journal = Slow()
    denials = Denials(journal, ManualClock())
    denials.start()
    denials.count(REFUSED)
    await asyncio.sleep(0)
    denials.count(REFUSED)
    await denials.stop()

    assert 2 == sum(one["count"] for one in await payloads(journal))


async def test_a_journal_that_refuses_loses_no_count() -> None:
    class Broken(MemoryJournal):
        broken = True

        async def append(
            self, event_type: str, actor: str, payload: Mapping[str, Any], **_: str
        ) -> int:
            if self.broken:
                raise StoreClosed
            return await super().append(event_type, actor, payload)

    journal = Broken()
    denials = Denials(journal, ManualClock(), window_s=0.001)
    denials.start()
    for _ in range(5):
        denials.count(REFUSED)
        await asyncio.sleep(0.002)
    journal.broken = False
    await denials.stop()

    assert 5 == sum(one["count"] for one in await payloads(journal))


async def test_kinds_without_end_become_one() -> None:
    journal = MemoryJournal()
    denials = Denials(journal, ManualClock())
    for number in range(KINDS_MAX + 50):
        denials.count(Kind(f"R{number}", 400))
    await denials.flush()

    found = await payloads(journal)
    assert (KINDS_MAX + 1, KINDS_MAX + 50) == (len(found), sum(one["count"] for one in found))
    assert ("OTHER", 50) == (found[-1]["reason"], found[-1]["count"])
