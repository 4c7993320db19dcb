"""Moving a store from one adapter to another, with everything that is in it.

Promise: all of it arrives in one commit, or nothing; the source stays as it was; the answer counts
what arrived. Refusal: a target that holds anything is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conductor_packs.sidekick.records import STORES, AuditEvent, Record
from conductor_packs.sidekick.storage.errors import StoreNotEmpty
from conductor_packs.sidekick.storage.port import Change, StoragePort, View


@dataclass(frozen=True, slots=True)
class Migrated:
    """What arrived."""

    records: Mapping[str, int]
    """By the store's name."""
    audit_events: int


async def migrate(source: StoragePort, target: StoragePort) -> Migrated:
    """Copy all records and the audit trail of `source` into the empty `target`.

    Ids, order, times and unknown keys stay. Stop writing to the source first: what is written to
    it afterwards stays behind.

    Raises:
        StoreNotEmpty: The target holds records or audit events.
        StorageError: One of them cannot be read or written; nothing arrived.
    """
    content = await source.read(_everything)
    return await target.change(lambda change: _fill(change, *content))


def _everything(view: View) -> tuple[dict[str, list[Record]], list[AuditEvent]]:
    return {store.name: view.records(store) for store in STORES}, view.audit_events()


def _fill(
    change: Change, records: Mapping[str, list[Record]], events: list[AuditEvent]
) -> Migrated:
    for store in STORES:
        if change.records(store):
            raise StoreNotEmpty(f"there are {store.name} in it")
    if change.audit_count():
        raise StoreNotEmpty("there are audit events in it")
    for store in STORES:
        for record in records[store.name]:
            change.put(store, record)
    for event in events:
        change.append(event)
    return Migrated({name: len(found) for name, found in records.items()}, len(events))
