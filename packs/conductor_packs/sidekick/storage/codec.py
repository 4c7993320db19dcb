"""Records as text: a JSON array per store, one JSON object per audit line.

Promise: two spaces of indentation, sorted keys, one line feed at the end, so that a change of one
record is a change of its lines; keys that this version does not know come back as they were.
Refusal: no shape is guessed: what is not an array of such records is an error that says where.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from conductor_packs.sidekick.records import (
    EXTRA,
    AuditEvent,
    R,
    Record,
    Routine,
    RoutineRun,
    RoutineStep,
    RunStep,
    as_json,
)

_encoder = msgspec.json.Encoder(order="sorted")
_STEPS: Mapping[type[msgspec.Struct], type[msgspec.Struct]] = {
    Routine: RoutineStep, RoutineRun: RunStep,
}  # fmt: skip
"""Records that hold other objects, which may have keys of their own that nobody knows."""


class WrongShape(ValueError):
    """The text is not what the store holds."""


def encode_record(record: Record) -> bytes:
    """Return a record's lines as they stand in the array."""
    text = msgspec.json.format(_encoder.encode(as_json(record)), indent=2)
    return b"  " + text.replace(b"\n", b"\n  ")


def encode_table(records: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts of a store's file from its records' lines."""
    body = b",\n".join(records)
    if not body:
        yield b"[]\n"
        return
    yield b"[\n"
    yield body
    yield b"\n]\n"


def decode_table(content: bytes, record: type[R]) -> dict[str, R]:
    """Read a store's file.

    Raises:
        WrongShape: It is no JSON, no array, holds something else, or an id twice.
    """
    try:
        items = msgspec.json.decode(content, type=list[dict[str, Any]])
        records = _records(items, record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WrongShape(str(error)) from None
    table = {item.id: item for item in records}
    if len(table) != len(records):
        raise WrongShape("an id stands twice")
    return table


def decode_record(content: bytes, record: type[R]) -> R:
    """Read one record.

    Raises:
        WrongShape: It is none.
    """
    try:
        return _records([msgspec.json.decode(content, type=dict[str, Any])], record)[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WrongShape(str(error)) from None


def encode_line(record: Record) -> bytes:
    """Return a record on one line, with its line feed."""
    return _encoder.encode(as_json(record)) + b"\n"


def decode_lines(content: bytes) -> list[AuditEvent]:
    """Read audit lines; a line that is no audit event is left out."""
    events: list[AuditEvent] = []
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            events.append(decode_record(line, AuditEvent))
        except WrongShape:
            continue
    return events


def _records(items: list[dict[str, Any]], record: type[R]) -> list[R]:
    known = _fields(record)
    if record not in _STEPS and all(item.keys() <= known for item in items):
        return [msgspec.convert(item, record) for item in items]
    return [msgspec.convert(_sorted_out(item, record), record) for item in items]


def _sorted_out(item: Mapping[str, Any], record: type[msgspec.Struct]) -> dict[str, Any]:
    """Put the keys that nobody knows aside, those of steps too."""
    known = _fields(record)
    extra = {key: value for key, value in item.items() if key not in known}
    own = {key: value for key, value in item.items() if key in known}
    step = _STEPS.get(record)
    if step is not None and "steps" in item:
        parts = msgspec.convert(item["steps"], list[dict[str, Any]])
        own["steps"] = [_sorted_out(part, step) for part in parts]
    return {**own, EXTRA: extra}


@functools.cache
def _fields(record: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(record)) - {EXTRA}
