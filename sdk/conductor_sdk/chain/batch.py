"""Checking stored rows by the thousand: the quick half of the verify walk.

Promise: a row is passed only if the slow check would pass it; what is unusual in any way is left
to the slow check, which alone names faults. Refusal: no row is judged bad here.

A row is what the store holds of an entry, without the log's id: (chain_version, sequence, time,
event_type, actor, session_id, task_id, payload, previous, hash), each of any type.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Annotated, Any, Optional, TypeAlias

import msgspec

from conductor_sdk.chain.canonical import INTEGER_MAX
from conductor_sdk.chain.entry import CHAIN_VERSION, Entry, encode_text, entry_prefix

Row: TypeAlias = tuple[Any, ...]
Sink: TypeAlias = Callable[[bytes], object]

_QUICK_MAX = 262_144
_QUICK_DEPTH = 6
_NAMES_MAX = 4096
_ASTRAL = "\ud800"
"""From here on, UTF-16 code units sort otherwise than characters do."""
_ENCODER = msgspec.json.Encoder(order="sorted")


class Checker:
    """Checks rows of one log. Remembers encoded names, at most a few thousand."""

    def __init__(self, log_id: str) -> None:
        self._log_id = encode_text(log_id)
        self._prefix = entry_prefix(CHAIN_VERSION)
        self._names: dict[str, bytes] = {}

    def sound(self, rows: Sequence[Row], expected: int, head: str, sink: Sink | None = None) -> int:
        """Return how many rows, from the first, are certainly sound.

        Args:
            rows: In the order of the log.
            expected: The sequence that the first must have.
            head: The hash that the first must follow.
            sink: Is given the bytes of each sound row's entry, the ones that are hashed.
        """
        names, prefix, log_id = self._names, self._prefix, self._log_id
        sha256, text = hashlib.sha256, encode_text
        for at, row in enumerate(rows):
            version, sequence, time, kind, actor, session, task, payload, previous, digest = row
            if not (
                sequence == expected + at and previous == head and version == CHAIN_VERSION
                and type(sequence) is type(version) is int and type(payload) is type(time) is str
                and type(kind) is type(actor) is type(session) is type(task) is str
            ):  # fmt: skip
                return at
            try:
                entry = b"".join((
                    prefix, text(previous), log_id, sequence.to_bytes(8, "big"), text(time),
                    names.get(kind) or self._named(kind), names.get(actor) or self._named(actor),
                    names.get(session) or self._named(session),
                    names.get(task) or self._named(task), text(payload),
                ))  # fmt: skip
            except (ValueError, OverflowError):
                return at
            head = sha256(entry).hexdigest()
            if head != digest or not is_canonical(payload):
                return at
            if sink is not None:
                sink(entry)
        return len(rows)

    def _named(self, name: str) -> bytes:
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()
        found = self._names[name] = encode_text(name)
        return found


def is_canonical(payload: str) -> bool:
    """Tell whether a payload is certainly canonical; False says only that it must be looked at."""
    if (
        len(payload) > _QUICK_MAX
        or "\\u" in payload
        or not (payload.isascii() or max(payload) < _ASTRAL)
    ):
        return False
    try:
        return _ENCODER.encode(_DECODER.decode(payload)) == payload.encode()
    except (ValueError, msgspec.ValidationError):
        return False


def as_entry(row: Row, log_id: str) -> Entry:
    """Return a row as an entry; its fields may hold anything."""
    return Entry(row[0], log_id, *row[1:])


def _shallow(depth: int) -> Any:
    """Return the type of the usual payload: a few levels, no floats, no large integers."""
    scalar: Any = Optional[  # noqa: UP045  a value here, not an annotation
        bool | str | Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]  # pyright: ignore[reportOperatorIssue]  # true of types, not of this value
    ]
    value: Any = scalar
    for _ in range(depth - 1):
        value = scalar | GenericAlias(list, (value,)) | GenericAlias(dict, (str, value))
    return GenericAlias(dict, (str, value))


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_shallow(_QUICK_DEPTH))
