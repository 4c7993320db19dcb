"""What the conductor of the crash suite sends: a pure function of the sequence.

So a conductor that was killed goes on where its history ends, and whoever checks knows what was
sent from nothing but the last sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from conductor_sdk.event import keyed_event_id
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.records import Outgoing

SUBJECT = "crash-ws"
ONCE = "conductor:once_requested"
KEYED = "conductor:keyed_requested"
POISON = "conductor:poison_requested"
FLAKY = "conductor:flaky_requested"
UNKNOWN = "conductor:nobody_cares"
HANDLED = (ONCE, KEYED, FLAKY)
"""The kinds that have an effect."""
DONE = "crash-pack:done"
SEEN = "crash-pack:seen"
LANES = 4
BACK = 6
"""How far a resend reaches back."""


class Item(NamedTuple):
    """What stands at one sequence."""

    number: int
    """Names the event: two items of one number are one event."""
    kind: str
    """"" for something that is not an event."""
    again: bool

    @property
    def lane(self) -> str:
        return f"lane-{self.number % LANES}"

    @property
    def event_id(self) -> str:
        return keyed_event_id(SUBJECT, self.kind, str(self.number))

    @property
    def done_id(self) -> str:
        """The id of the event that the pack pushes for this one."""
        return keyed_event_id(SUBJECT, DONE, self.event_id)


def item(sequence: int, *, resends: bool) -> Item:
    if resends and sequence % 17 == 0 and sequence > BACK:
        older = item(sequence - BACK, resends=False)
        if older.kind:
            return older._replace(again=True)
    return Item(sequence, _kind(sequence), again=False)


def _kind(sequence: int) -> str:
    if sequence % 29 == 0:
        return ""
    if sequence % 13 == 0:
        return POISON
    if sequence % 31 == 0:
        return UNKNOWN
    if sequence % 37 == 0:
        return FLAKY
    return ONCE if sequence % 2 else KEYED


def body_of(thing: Item) -> Outgoing:
    if not thing.kind:
        return Outgoing(f"bad-{thing.number}", "bad", b'{"schema_version":2,"kind":"NOT A KIND"}')
    event = build_kernel_event_v2(
        {
            "kind": thing.kind,
            "from": SUBJECT,
            "payload": {"n": thing.number, "lane": thing.lane, "pad": "x" * 120},
        },
        idempotency_key=str(thing.number),
    )
    assert event.event_id == thing.event_id
    return Outgoing(event.event_id, event.kind, event.to_json())


def sent(last: int, *, resends: bool) -> Iterator[Item]:
    """Everything up to a sequence, in order, resends included."""
    return (item(sequence, resends=resends) for sequence in range(1, last + 1))
