"""The contract suite of the storage: every adapter passes every check here.

Promise: subclass `StorageContract` where pytest finds two fixtures: `storage_root`, a directory
that does not exist, and `storage`, an open adapter on it; the checks are all that the tools rely
on. Refusal: nothing here looks into an adapter.
"""

# ruff: noqa: S101, PLR2004, SIM300, D102  a suite asserts expected == actual, literally; names are sentences
from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from operator import methodcaller
from pathlib import Path

from conductor_packs.sidekick.records import MESSAGES, STORES, TASKS, AuditEvent, Task
from conductor_packs.sidekick.storage.errors import StoreClosed, StoreMisused
from conductor_packs.sidekick.storage.port import Change, StoragePort, View
from conductor_packs.sidekick.storage.testing_recall import RecallContract
from conductor_packs.sidekick.storage.testing_samples import (
    AT,
    full_records,
    memory,
    message,
    task,
)


class Refused(Exception):
    """A work gave up."""


def create(change: Change) -> str:
    """Create a task as a tool does: an id, a record, an audit event."""
    task_id = change.new_id(TASKS)
    change.put(TASKS, Task(id=task_id, title="t", created_at=AT, updated_at=AT))
    change.audit("create", "task:create", actor="someone", ids=[task_id])
    return task_id


async def refused(expected: type[Exception], call: Awaitable[object]) -> None:
    """Expect an error of a call."""
    try:
        answer = await call
    except expected:
        return
    raise AssertionError(f"{expected.__name__} was expected, not {answer!r}")


def task_ids(view: View) -> list[str]:
    """Return the ids of all tasks, in order."""
    return [found.id for found in view.records(TASKS)]


class StorageContract(RecallContract):
    """What every adapter promises; recall comes with it."""

    async def test_s1_it_has_the_methods_of_the_port(self, storage: StoragePort) -> None:
        names = ("root_dir", "read", "change", "append_audit", "audit_events", "close")
        assert all(hasattr(storage, name) for name in names)

    async def test_s2_it_tells_its_root(self, storage: StoragePort, storage_root: Path) -> None:
        assert storage_root == storage.root_dir

    async def test_s3_a_store_that_is_not_there_is_empty(self, storage: StoragePort) -> None:
        for store in STORES:
            assert [] == await storage.read(methodcaller("records", store))

    async def test_s4_every_record_comes_back_as_it_was(self, storage: StoragePort) -> None:
        for store, record in full_records():
            await storage.change(methodcaller("put", store, record))
        for store, record in full_records():
            assert [record] == await storage.read(methodcaller("records", store))
            assert record == await storage.read(methodcaller("get", store, record.id))

    async def test_s5_two_reads_are_equal_and_not_the_same_list(self, storage: StoragePort) -> None:
        await storage.change(create)
        first = await storage.read(lambda view: view.records(TASKS))
        first.append(task(99))
        assert 1 == len(await storage.read(lambda view: view.records(TASKS)))

    async def test_s7_a_change_answers_what_its_work_answers(self, storage: StoragePort) -> None:
        assert 7 == await storage.change(lambda _change: 7)
        assert {"a": 1} == await storage.read(lambda _view: {"a": 1})

    async def test_s8_changes_do_not_overlap(self, storage: StoragePort) -> None:
        order: list[int] = []

        def steps(change: Change, first: int) -> None:
            order.append(first)
            change.put(TASKS, task(first))
            order.append(first + 1)

        await asyncio.gather(
            storage.change(lambda change: steps(change, 1)),
            storage.change(lambda change: steps(change, 3)),
        )
        assert [1, 2, 3, 4] == order

    async def test_s9_a_work_that_raises_changes_nothing_and_blocks_nobody(
        self, storage: StoragePort
    ) -> None:
        def give_up(change: Change) -> None:
            create(change)
            raise Refused

        kept = await storage.change(create)
        results = await asyncio.gather(
            storage.change(create), storage.change(give_up), storage.change(create),
            return_exceptions=True,
        )  # fmt: skip
        assert isinstance(results[1], Refused)
        assert [kept, results[0], results[2]] == await storage.read(task_ids)
        assert 3 == await storage.read(lambda view: view.audit_count())

    async def test_s10_an_appended_event_comes_back_as_it_was(self, storage: StoragePort) -> None:
        event = AuditEvent(id="evt-1", ts=AT, tool="sidekick:export", op="export", actor="a",
                           ids=("x",), details={"n": 1}, extra={"later": True})  # fmt: skip
        await storage.append_audit(event)
        assert [event] == await storage.audit_events()

    async def test_s11_events_keep_their_order(self, storage: StoragePort) -> None:
        for number in range(5):
            await storage.append_audit(AuditEvent(id=f"evt-{number}", ts=AT, tool="t", op="read"))
        found = await storage.audit_events()
        assert [f"evt-{number}" for number in range(5)] == [event.id for event in found]
        assert ["evt-3", "evt-4"] == [event.id for event in await storage.audit_events(limit=2)]
        assert [] == await storage.audit_events(limit=0)
        assert 5 == len(await storage.audit_events(limit=50))

    async def test_s12_without_a_trail_there_are_no_events(self, storage: StoragePort) -> None:
        assert [] == await storage.audit_events()
        assert 0 == await storage.read(lambda view: view.audit_count())

    async def test_s14_ten_changes_at_once_are_ten_records(self, storage: StoragePort) -> None:
        made = await asyncio.gather(*(storage.change(create) for _ in range(10)))
        assert sorted(made) == sorted(await storage.read(task_ids))

    async def test_s15_twenty_appends_at_once_are_twenty_events(self, storage: StoragePort) -> None:
        await asyncio.gather(
            *(storage.change(lambda change: change.audit("read", "t")) for _ in range(20))
        )
        assert 20 == len({event.id for event in await storage.audit_events()})

    async def test_x10_of_three_removals_at_once_one_finds_it(self, storage: StoragePort) -> None:
        def forget(change: Change) -> bool:
            found = change.remove(TASKS, task(1).id)
            if found:
                change.audit("delete", "task:forget", ids=[task(1).id])
            return found

        await storage.change(lambda change: change.put(TASKS, task(1)))
        found = await asyncio.gather(*(storage.change(forget) for _ in range(3)))
        assert [False, False, True] == sorted(found)
        assert 1 == len(await storage.audit_events())

    async def test_x11_reads_on_an_empty_root_create_nothing(
        self, storage: StoragePort, storage_root: Path
    ) -> None:
        await storage.read(lambda view: [view.records(store) for store in STORES])
        await storage.read(lambda view: (view.audit_count(), view.audit_events()))
        assert not await asyncio.to_thread(storage_root.exists)

    async def test_work_that_writes_nothing_leaves_the_trail_alone(
        self, storage: StoragePort
    ) -> None:
        await storage.change(lambda change: change.records(TASKS))
        assert not await storage.change(lambda change: change.remove(TASKS, "task-0"))
        assert [] == await storage.audit_events()

    async def test_x16_each_channel_keeps_its_own_newest_messages(
        self, storage: StoragePort
    ) -> None:
        def fill(change: Change) -> tuple[str, ...]:
            change.put(MESSAGES, message(0, "b"))
            for number in reversed(range(101)):
                change.put(MESSAGES, message(number, "a"))
            return change.trim("a", 100)

        assert ("msg-a-0000",) == await storage.change(fill)
        messages = await storage.read(lambda view: view.records(MESSAGES))
        assert 101 == len(messages)
        assert "msg-b-0000" in {found.id for found in messages}

    async def test_a_change_reads_what_it_wrote(self, storage: StoragePort) -> None:
        def work(change: Change) -> list[object]:
            change.put(TASKS, task(2, "new"))
            change.put(TASKS, task(1, "again"))
            seen: list[object] = [change.records(TASKS), change.get(TASKS, task(2).id)]
            removed = change.remove(TASKS, task(1).id), change.remove(TASKS, task(1).id)
            change.audit("create", "t")
            return [*seen, removed, change.get(TASKS, task(1).id), change.audit_count(),
                    len(change.audit_events(limit=1))]  # fmt: skip

        await storage.change(lambda change: change.put(TASKS, task(1)))
        assert [
            [task(1, "again"), task(2, "new")], task(2, "new"), (True, False), None, 1, 1,
        ] == await storage.change(work)  # fmt: skip
        assert [task(2, "new")] == await storage.read(lambda view: view.records(TASKS))

    async def test_a_replaced_record_keeps_its_place(self, storage: StoragePort) -> None:
        for number in (1, 2, 3):
            await storage.change(methodcaller("put", TASKS, task(number)))
        await storage.change(lambda change: change.put(TASKS, task(1, "again")))
        assert [task(n).id for n in (1, 2, 3)] == await storage.read(task_ids)
        await storage.change(lambda change: change.remove(TASKS, task(1).id))
        await storage.change(lambda change: change.put(TASKS, task(1)))
        assert [task(n).id for n in (2, 3, 1)] == await storage.read(task_ids)

    async def test_ids_have_the_shape_of_their_store(self, storage: StoragePort) -> None:
        made = await storage.read(lambda view: [view.new_id(store) for store in STORES])
        for store, new in zip(STORES, made, strict=True):
            prefix, _, digits = new.rpartition("-")
            assert (store.prefix, 8) == (prefix, len(bytes.fromhex(digits)) * 2)

    async def test_an_audit_event_says_who_did_what_when(self, storage: StoragePort) -> None:
        made = await storage.change(
            lambda change: change.audit(
                "update", "task:complete", actor="me", ids=["task-1"], details={"status": "done"}
            )
        )
        assert [made] == await storage.audit_events()
        assert ("update", "task:complete", "me", ("task-1",), {"status": "done"}) == (
            made.op, made.tool, made.actor, made.ids, made.details)  # fmt: skip
        assert made.id.startswith("evt-")
        assert made.ts.endswith("Z")

    async def test_work_that_is_a_coroutine_is_refused(self, storage: StoragePort) -> None:
        async def wrong(change: Change) -> None:
            create(change)

        await refused(StoreMisused, storage.change(wrong))
        assert [] == await storage.read(task_ids)

    async def test_a_change_cannot_be_kept_for_later(self, storage: StoragePort) -> None:
        kept = await storage.change(lambda change: change)
        await refused(StoreMisused, storage.read(lambda _view: kept.put(TASKS, task(1))))
        wrong = methodcaller("put", TASKS, memory("1", "no task"))
        await refused(StoreMisused, storage.change(wrong))

    async def test_a_closed_storage_refuses(self, storage: StoragePort) -> None:
        await storage.change(create)
        await storage.close()
        await storage.close()
        await refused(StoreClosed, storage.read(task_ids))
        await refused(StoreClosed, storage.change(create))
