"""Any sequence of requests against a plain dict model; the tables are always the replay's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conductor_packs.plan.batch import Caller, Settings
from conductor_packs.plan.errors import PlanError
from conductor_packs.plan.projection import projection
from conductor_packs.plan.records import Changed, Result
from conductor_packs.plan.requests import (
    AddItem,
    AddLink,
    ClaimItem,
    CreatePlan,
    Heartbeat,
    MarkReady,
    Mutation,
    Patch,
    RecordRequest,
    RecordResult,
    Release,
    Transition,
    UpdateItem,
)
from conductor_packs.plan.states import HANDSHAKE, MOVES, STATES
from conductor_packs.plan.store import Plans
from conductor_sdk.clock import ManualClock
from conductor_state.journal_replay import Replay
from conductor_state.memory.journal import MemoryJournal
from plan_journal import Transaction
from plan_world import CODEX, LIAM

LEASE_S, STRIKES = 60, 2
REFUSALS = {"PLAN_CONFLICT_DETECTED", "PLAN_ITEM_MOVE_REFUSED"}
ITEMS = st.sampled_from(["A", "B", "C", "D"])
CALLERS = st.sampled_from([LIAM, CODEX])


class MemoryPort:
    """A `JournalPort` over the journal in memory."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal

    async def append(self, event_type: str, payload: Any) -> int:
        return await self.journal.append(event_type, "pack:plan", payload)

    async def transaction(self, work: Any) -> Any:
        return await self.journal.transaction(lambda inner: work(Transaction(inner, "pack:plan")))  # type: ignore[arg-type]

    async def read(self, work: Any) -> Any:
        return await self.journal.view(lambda view: work(view.connection))


@dataclass
class ModelItem:
    state: str = "TODO"
    version: int = 1
    priority: int = 0
    leg: str = "NONE"
    error: bool = False
    holder: str | None = None
    token: int = 0
    until: float = 0
    strikes: int = 0
    needs: set[str] = field(default_factory=set[str])


class PlanMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.journal = MemoryJournal(clock=self.clock)
        self.plans = Plans(MemoryPort(self.journal), self.clock, Settings(LEASE_S, STRIKES))
        self.items: dict[str, ModelItem] = {}
        self.changes = 0

    def teardown(self) -> None:
        self.runner.close()

    def ask(self, request: Mutation, caller: Caller = LIAM) -> Result | PlanError:
        try:
            result = self.runner.run(self.plans.change(request, caller))
        except PlanError as error:
            return error
        if isinstance(result, Changed) and not result.replayed:
            self.changes += 1
        return result

    @initialize()
    def begin(self) -> None:
        self.ask(CreatePlan(plan_id="P", title="P"))

    @rule(item_id=ITEMS)
    def add(self, item_id: str) -> None:
        answer = self.ask(AddItem(plan_id="P", item_id=item_id, title=item_id))
        assert isinstance(answer, Changed) == (item_id not in self.items)
        self.items.setdefault(item_id, ModelItem())

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        expired = self.runner.run(self.plans.expire())
        assert len(expired) == self.expire()

    @precondition(lambda self: self.items)
    @rule(data=st.data(), stale=st.booleans())
    def update(self, data: st.DataObject, *, stale: bool) -> None:
        item_id, item = self.pick(data)
        expected = item.version + 1 if stale else item.version
        patch = Patch(priority=item.priority + 1)
        answer = self.ask(UpdateItem(item_id=item_id, expected_version=expected, patch=patch))
        assert isinstance(answer, Changed) == (not stale)
        if not stale:
            item.version, item.priority = item.version + 1, item.priority + 1

    @precondition(lambda self: self.items)
    @rule(data=st.data(), to_state=st.sampled_from(STATES), with_token=st.booleans())
    def move(self, data: st.DataObject, to_state: Any, *, with_token: bool) -> None:
        item_id, item = self.pick(data)
        token = item.token if with_token else None
        version = item.version
        answer = self.ask(
            Transition(item_id=item_id, to_state=to_state, expected_version=version, token=token)
        )
        if not self.fenced(item, token):
            return self.refused(answer)
        legal = to_state in MOVES[item.state]  # type: ignore[index]
        if to_state == "DONE":
            good = item.leg == "NONE" or (item.leg == "EXEC_RESULT_RECORDED" and not item.error)
            legal = legal and good and all(self.items[e].state == "DONE" for e in item.needs)
        if not legal or item.version != version:
            return self.refused(answer)
        assert isinstance(answer, Changed)
        item.state, item.version = to_state, version + 1
        if to_state != "IN_PROGRESS":
            item.holder, item.strikes = None, 0
        return None

    @precondition(lambda self: self.items)
    @rule(data=st.data(), caller=CALLERS)
    def claim(self, data: st.DataObject, caller: Caller) -> None:
        item_id, item = self.pick(data)
        answer = self.ask(ClaimItem(item_id=item_id), caller)
        failed = not isinstance(answer, Changed)
        self.expire()
        if item.holder is not None:
            assert failed == (item.holder != caller.actor)
            return
        assert failed != self.claimable(item)
        if not failed:
            item.holder, item.token = caller.actor, item.token + 1
            item.until = self.now() + LEASE_S
            item.state, item.version = "IN_PROGRESS", item.version + 1

    @precondition(lambda self: self.items)
    @rule(data=st.data(), back=st.integers(0, 1), give_up=st.booleans())
    def hold_on(self, data: st.DataObject, back: int, *, give_up: bool) -> None:
        item_id, item = self.pick(data)
        token = item.token - back
        request = Release if give_up else Heartbeat
        answer = self.ask(request(item_id=item_id, token=token))
        if not self.fenced(item, token):
            return self.refused(answer)
        assert isinstance(answer, Changed)
        if give_up:
            item.holder, item.state, item.version = None, "TODO", item.version + 1
        else:
            item.until = self.now() + LEASE_S
        return None

    @precondition(lambda self: self.items)
    @rule(data=st.data(), leg=st.sampled_from([MarkReady, RecordRequest, RecordResult]))
    def take_leg(self, data: st.DataObject, leg: Any) -> None:
        item_id, item = self.pick(data)
        token = item.token if item.holder else None
        more = {"error": "broken"} if leg is RecordResult and data.draw(st.booleans()) else {}
        version = item.version
        answer = self.ask(leg(item_id=item_id, expected_version=version, token=token, **more))
        if (token is not None or leg is RecordResult) and not self.fenced(item, token):
            return self.refused(answer)
        wanted = {
            MarkReady: "READY_FOR_EXEC", RecordRequest: "EXEC_REQUESTED",
            RecordResult: "EXEC_RESULT_RECORDED",
        }[leg]  # fmt: skip
        if item.state in {"DONE", "CANCELLED"} or HANDSHAKE[item.leg] != wanted:  # type: ignore[index]
            return self.refused(answer)
        assert isinstance(answer, Changed)
        item.leg, item.version, item.error = wanted, version + 1, bool(more)
        return None

    @precondition(lambda self: len(self.items) > 1)
    @rule(data=st.data())
    def link(self, data: st.DataObject) -> None:
        (late, waiting), (early, needed) = self.pick(data), self.pick(data)
        answer = self.ask(AddLink(from_item_id=late, to_item_id=early))
        circle = late == early or late in self.behind(early)
        known = early in waiting.needs
        done = waiting.state == "DONE" and needed.state != "DONE"
        assert isinstance(answer, Changed) == (not circle and not known and not done)
        if isinstance(answer, Changed):
            waiting.needs.add(early)

    @invariant()
    def tables_are_the_models(self) -> None:
        if not self.items:
            return
        board = self.runner.run(self.plans.read(lambda reader, now: reader.board("P", now)))
        assert {
            item_id: (item.state, item.version, item.priority, item.leg)
            for item_id, item in self.items.items()
        } == {
            item.item_id: (item.state, item.version, item.priority, item.exec_status)
            for item in board.items
        }
        assert {
            item_id: (item.holder, item.token, item.strikes)
            for item_id, item in self.items.items() if item.token
        } == {
            claim.item_id: (claim.actor, claim.token, claim.strikes)
            for claim in board.claims.values()
        }  # fmt: skip

    @invariant()
    def tables_are_the_replays(self) -> None:
        entries = self.runner.run(self.journal.tail(0, 10_000))
        changes = [entry for entry in entries if entry.event_type not in REFUSALS]
        assert self.changes == len(changes)
        replay = Replay([projection])
        try:
            replay.apply(entries)
            port = MemoryPort(self.journal)
            found = self.runner.run(port.transaction(lambda tx: replay.drift(tx.connection)))
            assert None is found
        finally:
            replay.close()

    def pick(self, data: st.DataObject) -> tuple[str, ModelItem]:
        item_id = data.draw(st.sampled_from(sorted(self.items)))
        return item_id, self.items[item_id]

    def refused(self, answer: Result | PlanError) -> None:
        assert isinstance(answer, PlanError)

    def now(self) -> float:
        return self.clock.now().timestamp()

    def behind(self, item_id: str) -> set[str]:
        found, new = set[str](), {item_id}
        while new:
            found |= new
            new = {each for one in new for each in self.items[one].needs} - found
        return found

    def claimable(self, item: ModelItem) -> bool:
        open_needs = any(self.items[each].state != "DONE" for each in item.needs)
        return item.state in {"TODO", "IN_PROGRESS"} and not open_needs

    def fenced(self, item: ModelItem, token: int | None) -> bool:
        """Whether a write with this token may go on; a lease that ran out ends here."""
        if item.holder is not None and self.now() >= item.until:
            self.end(item)
        return token == item.token if item.holder is not None else token is None

    def expire(self) -> int:
        late = [i for i in self.items.values() if i.holder and self.now() >= i.until]
        for item in late:
            self.end(item)
        return len(late)

    def end(self, item: ModelItem) -> None:
        item.holder, item.version, item.strikes = None, item.version + 1, item.strikes + 1
        item.state = "BLOCKED" if item.strikes >= STRIKES else "TODO"
        self.changes += 1


TestPlan = PlanMachine.TestCase
TestPlan.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True
)
