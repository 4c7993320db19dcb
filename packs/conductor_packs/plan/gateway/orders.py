"""What a work order is, however its sender spells it.

Promise: the same order in other spellings is the same order, and an order with anything that is not
understood is refused with the field. Refusal: nothing is routed or stored here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from conductor_packs.plan.errors import OrderRefused
from conductor_packs.plan.requests import Id, Name, Title
from conductor_sdk.chain.canonical import PayloadRefused, canonical_json
from conductor_sdk.clock import wire_time

Priority = Literal["P0", "P1", "P2", "P3"]
_WORDS: Final[Mapping[str, Priority]] = {
    "p0": "P0", "0": "P0", "critical": "P0", "urgent": "P0", "highest": "P0",
    "p1": "P1", "1": "P1", "high": "P1",
    "p2": "P2", "2": "P2", "normal": "P2", "medium": "P2", "default": "P2",
    "p3": "P3", "3": "P3", "low": "P3", "lowest": "P3",
}  # fmt: skip


class Order(msgspec.Struct, frozen=True):
    """A work order as it is stored."""

    wo_id: str
    title: str
    priority: Priority
    not_before: str
    """"" where it may be handed out at once; else UTC with milliseconds and `Z`."""
    strict_target: str
    routing_hint: str
    source: str
    body: dict[str, Any]
    """Everything else that the sender said."""


class _Known(msgspec.Struct, frozen=True):
    """The fields that mean something here."""

    wo_id: Id
    title: Title
    strict_target: Name | None = None
    routing_hint: Name | None = None
    priority: str | int | None = None
    not_before: Annotated[str, Meta(max_length=40)] | None = None


def normalise(fields: Mapping[str, Any], source: str) -> Order:
    """Return an order.

    Args:
        fields: As the sender wrote them.
        source: Where it came from, for people.

    Raises:
        OrderRefused: A field is missing or not understood.
    """
    try:
        known = msgspec.convert(dict(fields), _Known)
    except msgspec.ValidationError as error:
        raise OrderRefused(str(error)) from None
    body = {name: value for name, value in fields.items() if name not in _Known.__struct_fields__}
    try:
        canonical_json(body)
    except PayloadRefused as error:
        raise OrderRefused(error.detail) from None
    return Order(
        wo_id=known.wo_id, title=known.title, priority=_priority(known.priority),
        not_before=_moment(known.not_before), strict_target=known.strict_target or "",
        routing_hint=known.routing_hint or "", source=source, body=body,
    )  # fmt: skip


def _priority(given: str | int | None) -> Priority:
    if given is None:
        return "P2"
    found = _WORDS.get(str(given).strip().lower())
    if found is None:
        raise OrderRefused(f"priority {given!r} is none of P0 to P3, 0 to 3, low, normal, high")
    return found


def _moment(given: str | None) -> str:
    if not given:
        return ""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise OrderRefused(f"not_before {given!r} is not a time") from None
    if moment.tzinfo is None:
        raise OrderRefused(f"not_before {given!r} has no time zone")
    return wire_time(moment.astimezone(UTC))
