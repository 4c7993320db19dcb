"""Plans and items: versions, moves, the handshake, and what the journal says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conductor_packs.plan.errors import (
    DependenciesOpen,
    HandshakeOrder,
    IdTaken,
    ItemNotFound,
    KeyReused,
    MoveIllegal,
    PlanArchived,
    PlanError,
    PlanInputInvalid,
    PlanNotFound,
    ResultMissing,
    VersionConflict,
)
from conductor_packs.plan.records import State, Unchanged
from conductor_packs.plan.requests import (
    AddItem,
    CreatePlan,
    MarkReady,
    Mutation,
    Patch,
    RecordRequest,
    RecordResult,
    Request,
    Transition,
    UpdateItem,
    UpdatePlan,
    parse,
)
from conductor_packs.plan.states import (
    HANDSHAKE,
    MOVES,
    STATES,
    diagram,
    handshake_diagram,
    may_move,
)
from plan_world import CODEX, LIAM, World, world


async def test_an_update_bumps_the_items_version_and_not_the_plans(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        patch = Patch(title="new", priority=4)
        changed = await made.do(UpdateItem(item_id="A", expected_version=1, patch=patch))
        assert {
            "plan_id": "P", "item_id": "A", "expected_version": 1, "new_version": 2,
            "changes": {"title": {"from": "A", "to": "new"}, "priority": {"from": 0, "to": 4}},
            "actor": "Liam", "action": "UPDATE_ITEM", "change": {"title": "new", "priority": 4},
            "updated_ts": "2026-01-01T00:00:00.000Z",
        } == changed.payload  # fmt: skip
        item = await made.item("A")
        assert ("new", 4, 2) == (item.title, item.priority, item.version)
        assert 1 == (await made.read("plan", "P")).version


async def test_an_update_without_a_change_writes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        before = await made.types()
        request = UpdateItem(item_id="A", expected_version=1, patch=Patch(title="A"))
        assert Unchanged("A", 1) == await made.plans.change(request, LIAM)
        assert before == await made.types()


async def test_a_receipt_is_the_entry_in_the_journal(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        changed = await made.do(AddItem(plan_id="P", item_id="A", title="a"))
        [entry] = await made.journal.journal.tail(changed.receipt.sequence - 1)
        assert (entry.sequence, entry.hash) == (changed.receipt.sequence, changed.receipt.hash)
        assert ("Liam", "session-1", "task-1") == (entry.actor, entry.session_id, entry.task_id)


async def test_a_stale_write_changes_nothing_and_is_journaled(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        await made.move("A", "IN_PROGRESS")
        request = Transition(item_id="A", to_state="DONE", expected_version=1)
        with pytest.raises(VersionConflict) as refused:
            await made.do(request, CODEX)
        sequence = len(await made.types())
        assert sequence == refused.value.data["receipt"]["sequence"]  # type: ignore[index]
        assert (
            "PLAN_CONFLICT_DETECTED", "Codex",
            {
                "plan_id": "P", "item_id": "A", "expected_version": 1, "current_version": 2,
                "attempted_state": "DONE", "actor": "Codex", "action": "STATE_CHANGE",
                "change": {"state": "DONE"},
            },
        ) == (await made.entries())[-1]  # fmt: skip
        assert "IN_PROGRESS" == (await made.item("A")).state


async def test_conflicts_survive_the_rollback_of_their_batch(tmp_path: Path) -> None:
    from conductor_packs.plan.batch import Batch
    from conductor_packs.plan.mutations.perform import perform

    async with world(tmp_path) as made:
        await made.add("A")

        def work(batch: Batch) -> None:
            perform(batch, AddItem(plan_id="P", item_id="B", title="b"))
            perform(batch, Transition(item_id="A", to_state="DONE", expected_version=9))

        with pytest.raises(VersionConflict):
            await made.plans.batch(work, LIAM)
        assert ["A"] == [item.item_id for item in await made.read("items", "P")]
        assert ["PLAN_CREATED", "PLAN_ITEM_ADDED", "PLAN_CONFLICT_DETECTED"] == await made.types()
        assert ["OK", None] == await made.sound()


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
async def test_a_move_is_legal_exactly_where_the_table_says(
    tmp_path: Path, before: State, after: State
) -> None:
    async with world(tmp_path) as made:
        await made.add("A", state=before)
        request = Transition(item_id="A", to_state=after, expected_version=1)
        if may_move(before, after):
            await made.do(request)
            assert after == (await made.item("A")).state
            return
        with pytest.raises(MoveIllegal):
            await made.do(request)
        kind, _, payload = (await made.entries())[-1]
        assert "PLAN_ITEM_MOVE_REFUSED" == kind
        assert (before, after) == (payload["from_state"], payload["attempted_state"])
        assert 1 == (await made.item("A")).version


def test_the_diagrams_have_every_move_of_the_tables() -> None:
    for before, moves in MOVES.items():
        for after in moves:
            assert f"    {before} --> {after}\n" in diagram()
    for leg, following in HANDSHAKE.items():
        assert f"    {leg} --> {following}\n" in handshake_diagram()


async def handshake(made: World, *legs: Mutation) -> None:
    for leg in legs:
        await made.do(leg)


async def test_the_handshake_goes_in_its_order_and_leaves_the_state_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        await handshake(
            made,
            MarkReady(item_id="A", expected_version=1),
            RecordRequest(item_id="A", expected_version=2, payload={"run": "it"}),
            RecordResult(item_id="A", expected_version=3, result={"ok": True}),
        )
        item = await made.item("A")
        assert ("TODO", 4, "EXEC_RESULT_RECORDED") == (item.state, item.version, item.exec_status)
        assert ('{"run":"it"}', '{"ok":true}') == (item.exec_request_json, item.exec_result_json)


@pytest.mark.parametrize(
    "leg",
    [
        RecordRequest(item_id="A", expected_version=1),
        RecordResult(item_id="A", expected_version=1),
    ],
)
async def test_a_leg_out_of_turn_is_refused_and_journaled(tmp_path: Path, leg: Mutation) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        with pytest.raises(HandshakeOrder):
            await made.do(leg)
        kind, _, payload = (await made.entries())[-1]
        assert ("PLAN_ITEM_MOVE_REFUSED", "PLAN_HANDSHAKE_ORDER") == (kind, payload["reason"])


async def test_an_item_in_the_handshake_is_done_only_with_a_good_result(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        await made.move("A", "IN_PROGRESS")
        await made.do(MarkReady(item_id="A", expected_version=2))
        with pytest.raises(ResultMissing):
            await made.move("A", "DONE")
        await handshake(
            made,
            RecordRequest(item_id="A", expected_version=3),
            RecordResult(item_id="A", expected_version=4, error="it broke"),
        )
        with pytest.raises(ResultMissing):
            await made.move("A", "DONE")
        await handshake(
            made,
            MarkReady(item_id="A", expected_version=5),
            RecordRequest(item_id="A", expected_version=6),
            RecordResult(item_id="A", expected_version=7, result={"ok": 1}),
        )
        await made.move("A", "DONE")
        assert "DONE" == (await made.item("A")).state
        assert ["OK", None] == await made.sound()


async def test_done_waits_for_dependencies_and_parts(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A", "B", "C")
        await made.link("A", "B")
        await made.link("C", "A", "PARENT")
        await made.move("A", "IN_PROGRESS")
        with pytest.raises(DependenciesOpen) as refused:
            await made.move("A", "DONE")
        assert ["B", "C"] == refused.value.data["open"]
        await made.finish("B")
        await made.move("C", "CANCELLED")
        await made.move("A", "DONE")
        with pytest.raises(MoveIllegal):
            await made.move("C", "TODO")


async def test_a_key_does_the_same_request_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        request = AddItem(plan_id="P", title="one")
        first = await made.do(request, key="k-1")
        again = await made.do(request, key="k-1")
        assert (first.receipt, True) == (again.receipt, again.replayed)
        assert first.payload["item_id"] == again.payload["item_id"]
        assert 1 == len(await made.read("items", "P"))
        with pytest.raises(KeyReused):
            await made.do(AddItem(plan_id="P", title="two"), key="k-1")
        assert ["OK", None] == await made.sound()


async def test_a_key_answers_a_retry_whose_version_is_stale_by_now(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        request = Transition(item_id="A", to_state="IN_PROGRESS", expected_version=1)
        first = await made.do(request, key="k")
        await made.move("A", "DONE")
        assert first.receipt == (await made.do(request, key="k")).receipt
        assert "DONE" == (await made.item("A")).state


async def test_a_dry_run_leaves_no_trace(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        before = await made.types()
        moved = await made.do(
            Transition(item_id="A", to_state="IN_PROGRESS", expected_version=1), dry_run=True
        )
        assert 2 == moved.payload["new_version"]
        with pytest.raises(VersionConflict):
            await made.do(
                Transition(item_id="A", to_state="DONE", expected_version=7), dry_run=True
            )
        assert before == await made.types()
        assert "TODO" == (await made.item("A")).state


async def test_a_plan_changes_with_its_own_version(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        await made.do(UpdatePlan(plan_id="P", expected_version=1, status="ARCHIVED"))
        with pytest.raises(PlanArchived):
            await made.move("A", "IN_PROGRESS")
        with pytest.raises(VersionConflict):
            await made.do(UpdatePlan(plan_id="P", expected_version=1, title="late"))
        await made.do(UpdatePlan(plan_id="P", expected_version=2, status="ACTIVE", title="back"))
        plan = await made.read("plan", "P")
        assert ("back", "ACTIVE", 3) == (plan.title, plan.status, plan.version)
        assert ["OK", None] == await made.sound()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (CreatePlan(plan_id="P", title="again"), IdTaken),
        (AddItem(plan_id="P", item_id="A", title="again"), IdTaken),
        (AddItem(plan_id="Q", title="nowhere"), PlanNotFound),
        (Transition(item_id="Z", to_state="DONE", expected_version=1), ItemNotFound),
    ],
)
async def test_what_is_not_there_or_there_already_is_named(
    tmp_path: Path, request_: Mutation, error: type[PlanError]
) -> None:
    async with world(tmp_path) as made:
        await made.add("A")
        before = await made.types()
        with pytest.raises(error):
            await made.do(request_)
        assert before == await made.types()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AddItem, {"plan_id": "P"}),
        (AddItem, {"plan_id": "P", "title": "x", "colour": "red"}),
        (AddItem, {"plan_id": "P", "title": "a\nb"}),
        (AddItem, {"plan_id": "P", "title": "x", "state": "BANANA"}),
        (AddItem, {"plan_id": "P", "title": "x", "priority": "1"}),
        (AddItem, {"plan_id": "P", "title": "x", "due_ts": "tomorrow"}),
        (AddItem, {"plan_id": "P", "title": "x", "due_ts": "2026-01-01T00:00:00"}),
        (UpdateItem, {"item_id": "A", "expected_version": 1, "patch": {"state": "DONE"}}),
        (RecordResult, {"item_id": "A", "expected_version": 1, "result": {"x": 0.5}}),
        (Transition, {"item_id": "A", "to_state": "DONE"}),
    ],
)
def test_a_wrong_field_is_named(kind: type[Request], fields: dict[str, Any]) -> None:
    with pytest.raises(PlanInputInvalid) as refused:
        parse(kind, fields)
    assert refused.value.detail


async def test_the_version_stands_in_the_condition_of_the_update(tmp_path: Path) -> None:
    """A row that changed behind the decision's back is not overwritten: the commit is refused."""
    from conductor_packs.plan.apply import Fact, apply
    from conductor_packs.plan.batch import Batch
    from conductor_packs.plan.errors import PlanDamaged

    async with world(tmp_path) as made:
        await made.add("A")
        moved = await made.do(Transition(item_id="A", to_state="BLOCKED", expected_version=1))
        fact = Fact(9, "", moved.event_type, moved.payload)
        with pytest.raises(PlanDamaged):
            await made.plans.batch(lambda batch: apply(_connection(batch), fact), LIAM)

        def _tamper(batch: Batch) -> None:
            batch.read.connection.execute("UPDATE plan_items SET title = 'other'")

        await made.plans.batch(_tamper, LIAM)
        [chain, drift] = await made.sound()
        assert ("OK", "plan_items") == (chain, drift.table)


def _connection(batch: Any) -> Any:
    return batch.read.connection
