"""What journal entries say of items: which they name, and what each item is after them.

Promise: an item's fields follow from the payloads alone, in the order of the entries, whoever
wrote them. Refusal: nothing here knows a pack's tables; an entry that names no item changes none,
and a refused change (a conflict) is counted and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from conductor_sdk.chain.canonical import PayloadRefused, parse_payload
from conductor_sdk.chain.entry import Entry

_SUBJECTS = ("item_id", "link_id", "wo_id", "plan_id", "event_id", "request_id", "call_id")
"""The first of these keys that a payload has names the item that it is about."""
_ATTEMPT = "attempted_"
_REFUSED = "_REFUSED"
"""How the types of refusals end that name no attempt."""
_NOT_FIELDS = frozenset({
    "changes", "from_state", "to_state", "expected_version", "new_version", "current_version",
    "action", "actor", "change", "idempotency_key", "request_hash", *_SUBJECTS,
})  # fmt: skip
_SUBJECTS_OF_PLANS = frozenset({"item_id", "link_id"})


class Item(msgspec.Struct, frozen=True):
    """An item as the journal tells of it."""

    item_id: str
    fields: dict[str, Any]
    last: int
    """The sequence of the last entry that changed it."""
    conflicts: int = 0
    """Changes of it that were refused."""


class Change(msgspec.Struct, frozen=True):
    """How one field of one item differs between two places in the log."""

    item_id: str
    field: str
    before: Any
    """None where the item had no such field."""
    after: Any


def payload_of(entry: Entry) -> dict[str, Any]:
    """Return an entry's payload; empty where it is damaged, which `verify` finds."""
    try:
        return parse_payload(entry.payload)
    except PayloadRefused:
        return {}


def names(entry: Entry, item: str) -> bool:
    """Tell whether any text in an entry's payload is exactly this id."""
    return _holds(payload_of(entry), item)


def fold(entries: Iterable[Entry], items: dict[str, Item] | None = None) -> dict[str, Item]:
    """Apply entries, in order, to items by id; returns the same dict, or a new one."""
    found = {} if items is None else items
    for entry in entries:
        payload = payload_of(entry)
        item_id = next((payload[key] for key in _SUBJECTS if isinstance(payload.get(key), str)), "")
        if not item_id:
            continue
        item = found.get(item_id) or Item(item_id, {}, 0)
        if entry.event_type.endswith(_REFUSED) or any(map(_refused, payload)):
            found[item_id] = msgspec.structs.replace(item, conflicts=item.conflicts + 1)
            continue
        fields = {**item.fields, **_changed(payload)}
        found[item_id] = Item(item_id, fields, entry.sequence, item.conflicts)
    return found


def differences(before: dict[str, Item], after: dict[str, Item]) -> list[Change]:
    """Return what changed per item and field, by their names."""
    changes: list[Change] = []
    for item_id in sorted(before.keys() | after.keys()):
        old = before[item_id].fields if item_id in before else {}
        new = after[item_id].fields if item_id in after else {}
        changes += [
            Change(item_id, field, old.get(field), new.get(field))
            for field in sorted(old.keys() | new.keys())
            if old.get(field) != new.get(field)
        ]
    return changes


def _changed(payload: dict[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in payload.items() if key not in _NOT_FIELDS}
    if not _SUBJECTS_OF_PLANS.isdisjoint(payload) and isinstance(payload.get("plan_id"), str):
        fields["plan_id"] = payload["plan_id"]
    changes = payload.get("changes")
    if isinstance(changes, dict):
        for field, change in cast("dict[str, Any]", changes).items():
            if isinstance(change, dict) and "to" in change:
                fields[field] = cast("dict[str, Any]", change)["to"]
    if "to_state" in payload:
        fields["state"] = payload["to_state"]
    if "new_version" in payload:
        fields["version"] = payload["new_version"]
    change = payload.get("change")
    if isinstance(change, dict):  # says what became of a field that the payload names as it was
        fields.update(cast("dict[str, Any]", change))
    return fields


def _refused(key: str) -> bool:
    return key == "current_version" or key.startswith(_ATTEMPT)


def _holds(value: Any, item: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, item) for each in cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return any(_holds(each, item) for each in cast("Iterable[Any]", value))
    return isinstance(value, str) and value == item
