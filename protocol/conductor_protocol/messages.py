"""Every message of the link `conductor.v1+json`, one frozen record each.

Promise: this module is the protocol; `docs/protocol.md`, the AsyncAPI document and the JSON
Schemas are generated from it. Refusal: no I/O, no clock, no default that hides a missing field
which the peer must decide.

One JSON text frame carries one message, an object tagged by `type`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

PROTOCOL = "conductor.v1+json"
"""The WebSocket subprotocol, and the name of the protocol on any other link."""
VERSION = 1
INT_MAX = 9_007_199_254_740_991
"""The largest integer of the wire, 2^53 - 1: what every JSON implementation keeps exact."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=INT_MAX)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=256)]
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=2048)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What either end accepts; checked before anything is stored."""

    max_frame_bytes: Annotated[int, msgspec.Meta(ge=4096, le=INT_MAX)] = 1_048_576
    """One frame, as it arrives."""
    max_batch_events: Size = 1024
    """Events, or results, in one message."""
    max_event_bytes: Size = 262_144
    """One event, as it arrives."""
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=256)] = 32
    """Nesting of one event; the event itself is level 1."""
    max_keys: Size = 2048
    """Object keys in one event, all levels together."""
    max_push_in_flight: Size = 2048
    """Events that a sidecar may have pushed and unconfirmed."""


def smaller(ours: Limits, theirs: Limits) -> Limits:
    """Return the limits that hold for what we send: the smaller of each field."""
    return Limits(
        **{
            name: min(getattr(ours, name), getattr(theirs, name))
            for name in Limits.__struct_fields__
        }
    )


class PackNotice(msgspec.Struct, frozen=True):
    """A loaded pack, as the conductor is told of it."""

    slug: Name
    version: Name
    emits: list[Name]
    """Kinds that the pack may push."""
    subscribes: list[Name]
    """Kinds that the pack handles."""


class Head(msgspec.Struct, frozen=True):
    """The journal's size and head hash: the conductor holds it as an anchor."""

    size: Count
    """Entries."""
    hash: Name
    """Hash of the last entry, or the genesis hash."""


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type", kw_only=True):
    """First message of a sidecar: who it is and from where it wants to go on."""

    versions: list[int]
    """Every version of the protocol that the sidecar speaks."""
    software: Name
    """Name and version, for the log."""
    packs: list[PackNotice]
    """What is loaded."""
    session: Name | None = None
    """The session to resume; null at first."""
    epoch: Name = ""
    """The history that `cursor` counts in; empty before the first welcome."""
    cursor: Count = 0
    """The last sequence of `epoch` that is durably stored here; 0: from the beginning."""
    credit: Count
    """Events that may be sent beyond `cursor`, or beyond `start` where it differs."""
    limits: Limits = Limits()
    """What the sidecar accepts; the smaller of both ends' limits holds, field by field."""


class Ack(msgspec.Struct, frozen=True, tag="ack", tag_field="type", kw_only=True):
    """Everything up to `sequence` is durable; up to `sequence + credit` may be sent."""

    sequence: Count
    """The highest sequence of which everything up to it is durable."""
    credit: Count
    """Events that may be sent beyond `sequence`; 0 stops the stream."""


class Push(msgspec.Struct, frozen=True, tag="push", tag_field="type", kw_only=True):
    """Events going up, in order; answered by `pushed` for each id."""

    events: list[msgspec.Raw]
    """At most `max_batch_events`."""


class Beat(msgspec.Struct, frozen=True, tag="beat", tag_field="type", kw_only=True):
    """Proof of life on the event stream itself, from either end.

    From a sidecar: the last sequence seen and the journal's head. From a conductor: the last
    sequence that it has for the workspace.
    """

    sequence: Count
    """The last sequence: seen by a sidecar, or held by a conductor."""
    journal: Head | None = None
    """Only from a sidecar."""


class Bye(msgspec.Struct, frozen=True, tag="bye", tag_field="type", kw_only=True):
    """The sidecar ends the session on purpose; not an error."""

    reason: Text


class Welcome(msgspec.Struct, frozen=True, tag="welcome", tag_field="type", kw_only=True):
    """The conductor's answer to `hello`."""

    version: int
    """One of `hello.versions`."""
    session: Name
    """Names the session; presented again in the next `hello`."""
    subject: Name
    """The subject of the presented credential."""
    epoch: Name
    """The id of the history that the sequences count in."""
    resumed: bool
    """True: events go on right after the cursor."""
    gap_from: Count | None = None
    """When not resumed: the first sequence that cannot be sent any more, if known."""
    gap_to: Count | None = None
    """The last such sequence."""
    start: Count
    """Events of this session begin at sequence `start + 1`."""
    limits: Limits
    """What the conductor accepts."""
    beat_s: Annotated[float, msgspec.Meta(gt=0, le=3600)]
    """Seconds between beats; three missed beats end a link."""


class Events(msgspec.Struct, frozen=True, tag="events", tag_field="type", kw_only=True):
    """A batch going down: the first event has sequence `first`, the next `first + 1`, …."""

    first: Size
    """The sequence of the first member."""
    events: list[msgspec.Raw]
    """At most `max_batch_events`."""


class PushResult(msgspec.Struct, frozen=True):
    """What the conductor did with one pushed event."""

    event_id: Name
    status: Literal["accepted", "duplicate", "rejected"]
    """`duplicate` counts as delivered; `rejected` is final."""
    reason: Text | None = None
    """Why it was rejected."""


class Pushed(msgspec.Struct, frozen=True, tag="pushed", tag_field="type", kw_only=True):
    """One result for each pushed id; durable at the conductor when sent."""

    results: list[PushResult]
    """In any order; at most `max_batch_events`."""


class Rotate(msgspec.Struct, frozen=True, tag="rotate", tag_field="type", kw_only=True):
    """A new credential is waiting; the sidecar fetches it over the enrollment endpoint."""

    version: Count
    """Grows with every credential."""
    url: Text
    """Where to fetch it."""


class Drain(msgspec.Struct, frozen=True, tag="drain", tag_field="type", kw_only=True):
    """The conductor will close this link; come back after `retry_after_s`, maybe elsewhere."""

    retry_after_s: Seconds
    address: Text | None = None


class Error(msgspec.Struct, frozen=True, tag="error", tag_field="type", kw_only=True):
    """A coded complaint, from either end. Fatal: the link is closed right after."""

    code: Name
    """Upper snake case; the lists are in `docs/protocol.md`."""
    message: Text
    """For people."""
    fatal: bool = False
    sequence: Count | None = None
    """The event it is about, where it is about one."""


class UnknownMessage(msgspec.Struct, frozen=True):
    """A well-formed message whose `type` this version does not know; never sent."""

    type: str


SidecarMessage: TypeAlias = Hello | Ack | Push | Beat | Bye | Error
ConductorMessage: TypeAlias = Welcome | Events | Pushed | Beat | Rotate | Drain | Error
