"""The plans of a workspace: changing and reading them through its journal.

Promise: a change is durable, with its entry, when its call returns; what was refused and must be
known is in the journal even if everything else of the call was rolled back. Refusal: nothing is
kept between calls, so any number of processes may work on the same plans.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

import msgspec

from conductor_packs.plan.batch import PACK_ACTOR, Batch, Caller, Note
from conductor_packs.plan.errors import PlanDamaged, PlanError
from conductor_packs.plan.gateway.queue import expire_orders
from conductor_packs.plan.gateway.requests import OrderMutation
from conductor_packs.plan.mutations.claims import expire_overdue
from conductor_packs.plan.mutations.perform import perform
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.records import Changed, Result
from conductor_packs.plan.requests import Mutation
from conductor_packs.plan.settings import Settings
from conductor_packs.plan.sql import load_sql
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.context import JournalPort, JournalTransaction

T = TypeVar("T")


class Unsent(msgspec.Struct, frozen=True):
    """A change that was not pushed yet."""

    sequence: int
    entry_hash: str
    event_type: str
    actor: str
    payload: str
    """Canonical JSON."""


class _Undo(Exception):
    """Carries an answer out of a commit that must not come."""

    def __init__(self, answer: Result | PlanError) -> None:
        super().__init__()
        self.answer = answer


class Plans:
    """The plans in one journal. Safe to share within an event loop."""

    def __init__(
        self, journal: JournalPort, clock: Clock, settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings()
        self._journal = journal
        self._clock = clock

    async def create_tables(self) -> None:
        """Make the tables where they are missing; writes no entry. Idempotent."""
        await self._journal.transaction(lambda transaction: _create(transaction.connection))

    async def change(
        self,
        request: Mutation | OrderMutation,
        caller: Caller,
        *,
        key: str | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Make one change.

        Args:
            request: What to change.
            caller: On whose behalf.
            key: With it, the same request again gives the first one's answer and has no effect.
            dry_run: Undo it again and leave no trace; the answer is what it would have been.

        Raises:
            PlanError: It was refused; a conflict and an illegal move are in the journal.
        """

        def work(batch: Batch) -> Result | PlanError:
            answer = _attempt(batch, request, key)
            if dry_run:
                batch.notes.clear()
                raise _Undo(answer)
            return answer

        try:
            answer = await self.batch(work, caller)
        except _Undo as undone:
            answer = undone.answer
        if isinstance(answer, PlanError):
            raise answer
        return answer

    async def batch(self, work: Callable[[Batch], T], caller: Caller) -> T:
        """Make changes in one commit: all of them, or, where `work` raises, none.

        Refusals that were journaled in it are journaled again if it is rolled back.
        """
        notes: list[Note] = []

        def run(transaction: JournalTransaction) -> T:
            _create(transaction.connection)
            batch = self._begin(transaction, caller)
            batch.notes = notes
            return work(batch)

        try:
            return await self._journal.transaction(run)
        except BaseException as error:
            await self._keep(notes, caller, error)
            raise

    async def read(self, work: Callable[[Reader, str], T]) -> T:
        """Read one state of the plans; `work` is given the time too.

        It may run again. Without tables there are no plans, and none are made; no writer is
        waited for.
        """

        def run(connection: sqlite3.Connection) -> T:
            now = wire_time(self._clock.now())
            reader = Reader(connection)
            if reader.present():
                return work(reader, now)
            with closing(sqlite3.connect(":memory:")) as empty:
                _create(empty)
                return work(Reader(empty), now)

        return await self._journal.read(run)

    async def present(self) -> bool:
        """Tell whether the tables were made."""
        return await self._journal.read(lambda connection: Reader(connection).present())

    async def expire(self) -> list[Changed]:
        """End the claims, of items and of orders, whose lease ran out, each with its entry."""

        def run(transaction: JournalTransaction) -> list[Changed]:
            if not Reader(transaction.connection).present():
                return []
            _create(transaction.connection)
            batch = self._begin(transaction, Caller(PACK_ACTOR))
            return [*expire_overdue(batch), *expire_orders(batch)]

        return await self._journal.transaction(run)

    async def unsent(self, limit: int) -> list[Unsent]:
        """Return the oldest changes that were not pushed yet."""

        def run(connection: sqlite3.Connection) -> list[Unsent]:
            sql = load_sql("statements")
            if connection.execute(sql["outbox_present"]).fetchone() is None:
                return []
            return [Unsent(*row) for row in connection.execute(sql["outbox"], (limit,))]

        return await self._journal.read(run)

    async def sent(self, changes: Sequence[Unsent]) -> None:
        """Forget changes that were pushed: the ones that `unsent` gave, all of them."""
        last = changes[-1].sequence
        query = load_sql("statements")["clear_outbox"]
        await self._journal.transaction(
            lambda transaction: transaction.connection.execute(query, (last,)).close()
        )

    def _begin(self, transaction: JournalTransaction, caller: Caller) -> Batch:
        return Batch(transaction, self._clock.now(), self.settings, caller)

    async def _keep(self, notes: Sequence[Note], caller: Caller, error: BaseException) -> None:
        if not notes:
            return

        def run(transaction: JournalTransaction) -> None:
            _create(transaction.connection)
            batch = self._begin(transaction, caller)
            for note in notes:
                batch.keep(note)

        try:
            await self._journal.transaction(run)
        except Exception as second:  # noqa: BLE001  the first error is what the caller must see
            error.add_note(f"{len(notes)} refusals could not be journaled: {second}")


def _attempt(
    batch: Batch, request: Mutation | OrderMutation, key: str | None
) -> Result | PlanError:
    """Make one change; an error is returned where the commit must come all the same."""
    try:
        return perform(batch, request, key)
    except PlanError as error:
        # A request fails before its own entry; what is written by then must stay: its refusal, or
        # a lease that it found to have run out.
        if not batch.written or isinstance(error, PlanDamaged):
            raise
        return error


def _create(connection: sqlite3.Connection) -> None:
    sql = load_sql("statements")
    if all(connection.execute(sql[name]).fetchone() for name in ("present", "outbox_present")):
        return
    for name in ("schema", "outbox"):
        for statement in load_sql(name).values():
            connection.execute(statement)
