"""KernelEvent v2 and its ids.

Promise: the same subject, kind and idempotency key give the same `event_id` on every machine.
Refusal: a malformed event never becomes a KernelEvent. Bytes and fields in, values out: no clock
and no randomness, so the cores may import it; `event_builder` has both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec

from conductor_sdk.errors import EventMalformed
from conductor_sdk.trace_context import given_context

EVENT_ID_MAX = 128
KIND_MAX = 160
KERNEL_KINDS = frozenset({
    "task_created", "task_claimed", "task_blocked", "task_unblocked", "task_waiting",
    "task_resumed", "task_completed", "task_released", "task_delegated", "run_started",
    "run_paused", "run_failed", "run_succeeded", "workspace_updated", "workspace_warning",
    "spec_tampered", "checkpoint",
})  # fmt: skip
"""The closed set of bare kinds of the kernel; every other kind is `<slug>:<snake_case>`."""
RESERVED_SLUGS = frozenset({"conductor", "agent-runtime"})
"""Slugs that the daemon owns; no pack may claim them."""
SLUG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_KIND = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*:[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z")
GOOD_MAX = 4096
"""Kinds and subjects that are remembered as well-formed."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENVELOPE = ("schema_version", "kind", "event_id", "timestamp", "from", "payload")
"""In this order they are looked at, so that a refusal names the same field everywhere."""
_BESIDE = frozenset({*_ENVELOPE, "traceparent", "tracestate"})
"""Fields that are not folded into `payload`."""


class KernelEvent(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}, gc=False,
    omit_defaults=True,
):  # fmt: skip
    """One fact, as the wire carries it. Compare by value; never mutate `payload`."""

    schema_version: int
    kind: str
    event_id: str
    timestamp: str
    """UTC, ISO 8601, ends in `Z`."""
    from_: str
    """The subject of the credential of whoever emitted it."""
    payload: Any
    """A JSON object; a typed value where the subscription names a payload type."""
    traceparent: str | None = None
    """W3C trace context, where the emitter gave a well-formed one; says nothing about the fact."""
    tracestate: str | None = None
    """Beside `traceparent`: what tracing systems want carried along."""

    @property
    def time(self) -> datetime:
        """`timestamp` as an aware datetime."""
        return datetime.fromisoformat(self.timestamp)

    def to_json(self) -> bytes:
        """Encode as compact JSON; v1 events come out flat, as they came in."""
        return encode_event(self)


_fast = msgspec.json.Decoder(KernelEvent)
_slow = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_good_kinds: set[str] = set()
_good_subjects: set[str] = set()


def is_kind(kind: str) -> bool:
    """Tell whether `kind` is a kernel kind or `<slug>:<snake_case>`, at most 160 characters."""
    return kind in KERNEL_KINDS or (len(kind) <= KIND_MAX and _KIND.match(kind) is not None)


def is_event_id(event_id: str) -> bool:
    """Tell whether an id from outside is acceptable: 1 to 128 characters, no control character."""
    return 0 < len(event_id) <= EVENT_ID_MAX and (
        event_id.isprintable() or _CONTROL.search(event_id) is None
    )


def keyed_event_id(subject: str, kind: str, key: str) -> str:
    """Derive the id of an event that has an idempotency key; vectors in `docs/protocol.md`."""
    return "evt-" + _digest("conductor.event.v2", subject, kind, key)


def parse_event(raw: bytes | msgspec.Raw) -> KernelEvent:
    """Decode one event from JSON bytes.

    A v2 event whose fields stand beside the envelope is folded into `payload`; a flat v1 event
    gets an id derived from its canonical content. A trace context that is not well-formed is left
    out: it never costs the event.

    Raises:
        EventMalformed: With what is wrong and where; nothing of the event is kept.
    """
    try:
        event = _fast.decode(raw)
    except msgspec.ValidationError:
        return event_from_fields(_decode_object(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EventMalformed(str(error)) from None
    if event.schema_version != 2:  # noqa: PLR2004  the version of the envelope that this is
        return event_from_fields(_decode_object(raw))
    _check(event)
    if event.traceparent is not None or event.tracestate is not None:
        return with_context(event, *given_context(event.traceparent, event.tracestate))
    return event


def with_context(
    event: KernelEvent, traceparent: str | None, tracestate: str | None
) -> KernelEvent:
    """Return the event with this trace context in place of its own."""
    if event.traceparent == traceparent and event.tracestate == tracestate:
        return event
    return msgspec.structs.replace(event, traceparent=traceparent, tracestate=tracestate)


def event_from_fields(fields: Mapping[str, Any]) -> KernelEvent:
    """Build an event from a decoded object, v2 nested, v2 flat or v1.

    Raises:
        EventMalformed: With what is wrong and where.
    """
    version = fields.get("schema_version")
    if type(version) is int and version == 1:
        return _from_v1(fields)
    beside = {name: value for name, value in fields.items() if name not in _BESIDE}
    given = fields.get("payload", {})
    if not isinstance(given, Mapping):
        raise EventMalformed("payload is not an object")
    payload = cast("Mapping[str, Any]", given)
    clash = sorted(beside.keys() & payload.keys())
    if clash:
        raise EventMalformed(f"{clash[0]!r} stands both beside and inside payload")
    envelope = {name: fields.get(name) for name in _ENVELOPE}
    envelope["payload"] = {**payload, **beside} if beside else dict(payload)
    try:
        event = msgspec.convert(envelope, KernelEvent)
    except msgspec.ValidationError as error:
        raise EventMalformed(str(error)) from None
    if event.schema_version != 2:  # noqa: PLR2004  the version of the envelope that this is
        raise EventMalformed(f"schema_version {event.schema_version} is not 1 or 2")
    _check(event)
    return with_context(event, *given_context(fields.get("traceparent"), fields.get("tracestate")))


def encode_event(event: KernelEvent) -> bytes:
    """Encode an event as compact JSON bytes, v1 flat and without its derived id.

    Raises:
        EventMalformed: It holds something that JSON cannot.
    """
    try:
        if event.schema_version == 1:
            flat = {"schema_version": 1, "timestamp": event.timestamp, "kind": event.kind}
            return _encoder.encode({**flat, **event.payload})
        return _encoder.encode(event)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise EventMalformed(f"it cannot be written as JSON: {error}") from None


def _check(event: KernelEvent) -> None:
    # The hot path: a kind and a subject that were good once are good; the rest is looked at.
    if event.kind not in _good_kinds:
        if not is_kind(event.kind):
            raise EventMalformed(f"kind {event.kind[:KIND_MAX]!r} is not <slug>:<snake_case>")
        _remember(_good_kinds, event.kind)
    if event.from_ not in _good_subjects:
        if not is_event_id(event.from_):
            raise EventMalformed("from is not 1 to 128 characters without control characters")
        _remember(_good_subjects, event.from_)
    event_id = event.event_id
    usual = 0 < len(event_id) <= EVENT_ID_MAX and event_id.isprintable()
    if not usual and not is_event_id(event_id):
        raise EventMalformed("event_id is not 1 to 128 characters without control characters")
    if type(event.payload) is not dict:
        raise EventMalformed("payload is not an object")
    _check_time(event.timestamp)


def _remember(good: set[str], text: str) -> None:
    if len(good) < GOOD_MAX:  # a hostile peer must not grow it for ever
        good.add(text)


def _check_time(timestamp: str) -> None:
    try:
        datetime.fromisoformat(timestamp)
    except ValueError:
        raise EventMalformed(f"timestamp {timestamp[:40]!r} is not ISO 8601") from None
    if timestamp[-1] != "Z" or timestamp[10:11] != "T":
        raise EventMalformed(f"timestamp {timestamp[:40]!r} is not UTC with a final Z")


def _from_v1(fields: Mapping[str, Any]) -> KernelEvent:
    kind, timestamp = fields.get("kind"), fields.get("timestamp")
    if kind not in KERNEL_KINDS:
        raise EventMalformed("a version 1 event needs one of the 17 kernel kinds")
    if not isinstance(timestamp, str):
        raise EventMalformed("timestamp is required")
    _check_time(timestamp)
    event_id = "evt-" + _digest("conductor.event.v1", _sorted_encoder.encode(fields).decode())
    flat = {k: v for k, v in fields.items() if k not in {"schema_version", "kind", "timestamp"}}
    # Here a context is content like all else, so that the event passes unchanged; it is read all
    # the same.
    context = given_context(flat.get("traceparent"), flat.get("tracestate"))
    return KernelEvent(1, kind, event_id, timestamp, "", flat, *context)


def _decode_object(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    try:
        fields = _slow.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EventMalformed(str(error)) from None
    if not isinstance(fields, dict):
        raise EventMalformed("an event is a JSON object")
    return fields  # pyright: ignore[reportUnknownVariableType]  # JSON object keys are strings


def _digest(*parts: str) -> str:
    hasher = hashlib.sha256()
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(4, "big") + data)
    return hasher.hexdigest()[:32]
