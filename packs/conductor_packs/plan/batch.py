"""One commit on the plan: entries and the tables that follow from them, together.

Promise: a change is an entry plus its `apply`, in this order and in one transaction; a refusal that
must be kept is an entry too, and is remembered for the case that the commit does not come.
Refusal: what is allowed is decided in `mutations`, not here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

import msgspec

from conductor_packs.plan.apply import Fact, apply
from conductor_packs.plan.errors import KeyReused, PlanError
from conductor_packs.plan.events import ACTIONS, ITEM_LEASE_EXPIRED, NOT_PUSHED
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.records import Changed, Claim, Item, Payload, Receipt, State
from conductor_packs.plan.requests import Request
from conductor_packs.plan.settings import Settings
from conductor_packs.plan.sql import load_sql
from conductor_sdk.chain.canonical import canonical_json
from conductor_sdk.clock import wire_time
from conductor_sdk.context import JournalTransaction

PACK_ACTOR: Final = "pack:plan"
"""Whose change it is when a lease runs out."""


class Caller(msgspec.Struct, frozen=True):
    """On whose behalf, and in what connection."""

    actor: str
    session_id: str = ""
    task_id: str = ""
    agent: str = ""
    """The part of `actor` by which one of several agents behind one credential is known."""

    @property
    def names(self) -> frozenset[str]:
        """The names to which an item may be assigned for this caller."""
        return frozenset({self.actor, self.agent} - {""})


class Note(msgspec.Struct, frozen=True):
    """The entry of a refusal."""

    event_type: str
    payload: Payload
    caller: Caller


class Batch:
    """What mutations use inside of one transaction."""

    def __init__(
        self, transaction: JournalTransaction, moment: datetime, settings: Settings, caller: Caller
    ) -> None:
        self.read = Reader(transaction.connection)
        self.settings = settings
        self.caller = caller
        """Whose turn it is; a scenario changes it from step to step."""
        self.now = wire_time(moment)
        self.notes: list[Note] = []
        """The refusals so far: to be written again if this commit is rolled back."""
        self.written = 0
        """Entries so far."""
        self._moment = moment
        self._transaction = transaction
        self._keyed: tuple[str, str] | None = None

    def later(self, seconds: int) -> str:
        """Return the time in so many seconds."""
        return wire_time(self._moment + timedelta(seconds=seconds))

    def record(
        self, event_type: str, about: Mapping[str, Any], change: Mapping[str, Any],
        *, actor: str | None = None,
    ) -> Changed:  # fmt: skip
        """Append the entry of a change and apply it.

        Args:
            event_type: One of `events.CHANGES`.
            about: The payload's own keys.
            change: The seed's `change`: fields to their new values.
            actor: Whose change it is, if it is not the caller's.
        """
        caller = self.caller if actor is None else Caller(actor)
        payload: Payload = {
            **about, "actor": caller.actor, "action": ACTIONS[event_type],
            "change": dict(change), "updated_ts": self.now,
        }  # fmt: skip
        if self._keyed is not None and actor is None:
            payload["idempotency_key"], payload["request_hash"] = self._keyed
            self._keyed = None
        receipt = self._append(event_type, payload, caller)
        apply(self.read.connection, Fact(receipt.sequence, receipt.hash, event_type, payload))
        return Changed(event_type, payload, receipt)

    def refuse(self, event_type: str, payload: Payload, error: PlanError) -> NoReturn:
        """Append the entry of a refusal, and raise the error with its receipt.

        Raises:
            PlanError: The one that was given.
        """
        note = Note(event_type, {**payload, "actor": self.caller.actor}, self.caller)
        self.notes.append(note)
        error.data["receipt"] = msgspec.to_builtins(self.keep(note))
        raise error

    def keep(self, note: Note) -> Receipt:
        """Append the entry of a refusal."""
        return self._append(note.event_type, note.payload, note.caller)

    def expire(self, claim: Claim, item: Item) -> Changed:
        """End a claim whose lease ran out: back to TODO, or BLOCKED after too many."""
        strikes = claim.strikes + 1
        to_state: State = "BLOCKED" if strikes >= self.settings.strike_limit else "TODO"
        about = {
            "plan_id": item.plan_id, "item_id": item.item_id, "holder": claim.actor,
            "token": claim.token, "lease_until": claim.lease_until, "strikes": strikes,
            "from_state": item.state, "to_state": to_state,
            "expected_version": item.version, "new_version": item.version + 1,
        }  # fmt: skip
        change = {"state": to_state, "holder": None}
        return self.record(ITEM_LEASE_EXPIRED, about, change, actor=PACK_ACTOR)

    def earlier(self, request: Request, key: str) -> Changed | None:
        """Return what a key's first use answered, or remember the key for this request's entry.

        Raises:
            KeyReused: The key stands for another request.
        """
        fields = {"request": type(request).__name__, "fields": msgspec.to_builtins(request)}
        digest = hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
        query = load_sql("statements")["key"]
        found = self.read.connection.execute(query, (key,)).fetchone()
        if found is None:
            self._keyed = (key, digest)
            return None
        known, sequence, entry_hash, event_type, payload = found
        if known != digest:
            raise KeyReused(repr(key), data={"sequence": sequence})
        return Changed(
            event_type, json.loads(payload), Receipt(sequence, entry_hash), replayed=True
        )

    def _append(self, event_type: str, payload: Payload, caller: Caller) -> Receipt:
        receipt = self._transaction.append(
            event_type, payload, actor=caller.actor,
            session_id=caller.session_id or None, task_id=caller.task_id or None,
        )  # fmt: skip
        self.written += 1
        if event_type not in NOT_PUSHED:
            text = canonical_json(payload)
            values = (receipt.sequence, receipt.hash, event_type, caller.actor, text)
            self.read.connection.execute(load_sql("statements")["put_outbox"], values)
        return Receipt(receipt.sequence, receipt.hash)
