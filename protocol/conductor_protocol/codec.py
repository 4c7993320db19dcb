"""Bytes to messages and back, with every limit of the link.

Promise: any bytes whatever give a message, a record of an unknown one, or a coded
`ProtocolError`; an event's body is kept exactly as it was received. Refusal: nothing here
remembers anything between two calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count, repeat
from typing import TypeVar, get_args

import msgspec

from conductor_protocol.effects import Arrived, Refused
from conductor_protocol.errors import (
    BatchTooLarge,
    EventTooDeep,
    EventTooLarge,
    EventTooManyKeys,
    EventWithheld,
    FrameTooLarge,
    MalformedFrame,
    MalformedMessage,
)
from conductor_protocol.messages import (
    ConductorMessage,
    Events,
    Limits,
    Push,
    SidecarMessage,
    UnknownMessage,
)
from conductor_sdk.errors import EventMalformed, EventRefused
from conductor_sdk.event import is_event_id, parse_event

WITHHELD = b"null"
"""Stands in a batch for an event that the conductor cannot carry within the session's limits."""
DETAIL_MAX = 300
_BYTES_PER_KEY = 5
"""The shortest member of an object is `"":0,`: a body of n bytes has at most n / 5 keys."""
_DEEP = 256
"""Nesting that the decoder's own stack surely survives; `max_depth` never passes it."""

_M = TypeVar("_M")


class _Typed(msgspec.Struct):
    type: str


class _Named(msgspec.Struct):
    event_id: str


_sidecar_decoder: msgspec.json.Decoder[SidecarMessage] = msgspec.json.Decoder(SidecarMessage)
_conductor_decoder: msgspec.json.Decoder[ConductorMessage] = msgspec.json.Decoder(ConductorMessage)
_typed_decoder = msgspec.json.Decoder(_Typed)
_any_decoder = msgspec.json.Decoder(msgspec.Raw)
_named_decoder = msgspec.json.Decoder(_Named)
_encoder = msgspec.json.Encoder()

_SIDECAR_TYPES = frozenset(str(t.__struct_config__.tag) for t in get_args(SidecarMessage))
_CONDUCTOR_TYPES = frozenset(str(t.__struct_config__.tag) for t in get_args(ConductorMessage))
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Gives nothing back and matches also what has no end, so that no frame takes quadratic time."""
_TO_BRACES = bytes.maketrans(b"[]", b"{}")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_BRACKET = re.compile(rb"[\[\]{}]")


def encode(message: SidecarMessage | ConductorMessage) -> bytes:
    """Encode a message as one frame of compact JSON."""
    return _encoder.encode(message)


def decode_sidecar(frame: bytes, limits: Limits) -> SidecarMessage | UnknownMessage:
    """Decode what a sidecar sent.

    Raises:
        ProtocolError: FRAME_TOO_LARGE, MALFORMED_FRAME, MALFORMED_MESSAGE or BATCH_TOO_LARGE.
    """
    message = _decode(_sidecar_decoder, _SIDECAR_TYPES, frame, limits)
    if isinstance(message, Push):
        _check_batch(message.events, limits)
    return message


def decode_conductor(frame: bytes, limits: Limits) -> ConductorMessage | UnknownMessage:
    """Decode what a conductor sent.

    Raises:
        ProtocolError: FRAME_TOO_LARGE, MALFORMED_FRAME, MALFORMED_MESSAGE or BATCH_TOO_LARGE.
    """
    message = _decode(_conductor_decoder, _CONDUCTOR_TYPES, frame, limits)
    if isinstance(message, Events):
        _check_batch(message.events, limits)
    return message


def check_events(
    raws: Sequence[msgspec.Raw], first: int, limits: Limits
) -> tuple[list[Arrived], list[Refused]]:
    """Check the events of a batch and number them from `first`; both lists keep their order.

    Every event is in exactly one of the lists. Bounds that cost next to nothing clear a whole
    batch of ordinary events; only where one fails is each event looked at by itself.
    """
    bodies = list(map(bytes, raws))
    if not bodies:
        return [], []
    longest = max(map(len, bodies))
    if longest <= limits.max_event_bytes and longest <= limits.max_keys * _BYTES_PER_KEY:
        braces = max(map(bytes.count, bodies, repeat(b"{")))
        if braces + max(map(bytes.count, bodies, repeat(b"["))) <= limits.max_depth:
            try:
                return list(map(Arrived, count(first), map(parse_event, bodies), bodies)), []
            except EventMalformed:
                pass  # at least one is refused: find out which, one by one
    return _check_each(bodies, first, limits)


def _check_each(
    bodies: list[bytes], first: int, limits: Limits
) -> tuple[list[Arrived], list[Refused]]:
    arrived: list[Arrived] = []
    refused: list[Refused] = []
    for sequence, body in enumerate(bodies, first):
        try:
            check_shape(body, limits)
            arrived.append(Arrived(sequence, parse_event(body), body))
        except EventRefused as error:
            detail = error.detail[:DETAIL_MAX]
            refused.append(Refused(sequence, error.code, detail, event_id_of(body)))
    return arrived, refused


def event_id_of(body: bytes) -> str | None:
    """Find the id of an event that was refused, so that its sender can be answered."""
    try:
        event_id = _named_decoder.decode(body).event_id
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return event_id if is_event_id(event_id) else None


def check_shape(body: bytes, limits: Limits) -> None:
    """Refuse an event over a limit of the link; the cheap bounds come first.

    Raises:
        EventRefused: EVENT_WITHHELD, EVENT_TOO_LARGE, EVENT_TOO_DEEP or EVENT_TOO_MANY_KEYS.
    """
    if body == WITHHELD:
        raise EventWithheld
    size = len(body)
    if size > limits.max_event_bytes:
        raise EventTooLarge(f"{size} bytes, at most {limits.max_event_bytes}")
    few_keys = size <= limits.max_keys * _BYTES_PER_KEY or body.count(b":") <= limits.max_keys
    shallow = body.count(b"{") + body.count(b"[") <= limits.max_depth
    if few_keys and shallow:
        return
    bare = _STRING.sub(b"", body)
    if not few_keys and bare.count(b":") > limits.max_keys:
        raise EventTooManyKeys(f"{bare.count(b':')} keys, at most {limits.max_keys}")
    if not shallow and _deeper_than(limits.max_depth, bare):
        raise EventTooDeep(f"more than {limits.max_depth} levels")


def _deeper_than(depth: int, bare: bytes) -> bool:
    """Peel the innermost pairs off, one level in each pass."""
    braces = bare.translate(None, _NOT_BRACKETS).translate(_TO_BRACES)
    for _ in range(depth):
        if not braces:
            return False
        braces = braces.replace(b"{}", b"")
    return bool(braces)


def _decode(
    decoder: msgspec.json.Decoder[_M], known: frozenset[str], frame: bytes, limits: Limits
) -> _M | UnknownMessage:
    if len(frame) > limits.max_frame_bytes:
        raise FrameTooLarge(f"{len(frame)} bytes, at most {limits.max_frame_bytes}")
    try:
        if not frame.isascii():
            # Raw members are skipped, not decoded: their UTF-8 is checked nowhere else.
            frame.decode()
        return _decode_json(decoder, known, frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame(str(error)[:DETAIL_MAX]) from None


def _decode_json(
    decoder: msgspec.json.Decoder[_M], known: frozenset[str], frame: bytes
) -> _M | UnknownMessage:
    try:
        return decoder.decode(frame)
    except msgspec.ValidationError as error:
        return _unknown(known, frame, error)
    except RecursionError:
        return decoder.decode(_prune(frame))


def _unknown(known: frozenset[str], frame: bytes, error: msgspec.ValidationError) -> UnknownMessage:
    # The decoder stops at the first wrong type: what follows may not even be JSON.
    _any_decoder.decode(frame)
    try:
        kind = _typed_decoder.decode(frame).type
    except msgspec.ValidationError:
        raise MalformedMessage(str(error)[:DETAIL_MAX]) from None
    if kind in known:
        raise MalformedMessage(f"{kind}: {error}"[:DETAIL_MAX]) from None
    return UnknownMessage(kind[:DETAIL_MAX])


def _check_batch(events: list[msgspec.Raw], limits: Limits) -> None:
    if len(events) > limits.max_batch_events:
        raise BatchTooLarge(f"{len(events)} events, at most {limits.max_batch_events}")


def _prune(frame: bytes) -> bytes:
    """Cut what is nested too deep for the decoder down to a nest that is merely too deep.

    Without this, one such event in a conductor's history would end every link that carries it;
    with it, the event is refused by `check_events` and the stream goes on.
    """
    blank = _STRING.sub(lambda found: b" " * len(found[0]), frame)
    kept: list[bytes] = []
    depth = end = 0
    deepest = _DEEP + 4  # the message, its list, the event at level 1, and one level too many
    for found in _BRACKET.finditer(blank):
        if found[0] in b"{[":
            depth += 1
            if depth == deepest:
                kept.append(frame[end : found.start()])
        else:
            if depth == deepest:
                kept.append(b"0")
                end = found.end()
            depth -= 1
    return b"".join([*kept, frame[end:]])
