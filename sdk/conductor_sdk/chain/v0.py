"""Chain version 0: the verifier of logs that were written by the original planning tool.

Promise: the hash is the original's, byte for byte, and the verdict says what that hash leaves
open. Refusal: nothing is ever written in this version; it leaves four columns uncovered.

The hash is SHA-256 over four texts joined by `|`: previous hash (empty at first), time, event
type, payload as stored. `id`, `session_id`, `task_id` and `actor` can be changed unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from conductor_sdk.chain.entry import Head
from conductor_sdk.chain.verdict import Chain, Completeness, Reason, Verdict

LOG_ID = "original"
UNCOVERED = ("id", "session_id", "task_id", "actor")
"""Columns that the hash does not cover."""
_TEXTS = ("event_type", "payload_json", "created_ts", "prev_hash", "curr_hash")


class OriginalRow(msgspec.Struct, frozen=True):
    """A row of the table `events`; any field may hold anything."""

    id: Any
    session_id: Any
    task_id: Any
    actor: Any
    event_type: Any
    payload_json: Any
    created_ts: Any
    prev_hash: Any
    curr_hash: Any


class _Fault(msgspec.Struct, frozen=True):
    chain: Chain
    sequence: int
    reason: Reason
    detail: str


def original_hash(previous: str, created_ts: str, event_type: str, payload_json: str) -> str:
    """Return the hash of an original event.

    Raises:
        ValueError: A text holds a lone surrogate.
    """
    text = f"{previous}|{created_ts}|{event_type}|{payload_json}"
    return hashlib.sha256(text.encode()).hexdigest()


def verify_original(
    rows: Iterable[OriginalRow],
    *,
    anchors: Sequence[Head] = (),
    recorded_head: str | None = None,
    last_id: int | None = None,
) -> Verdict:
    """Walk an original log in the order of its ids.

    Args:
        rows: All events.
        anchors: Heads that were kept elsewhere: number of events and hash of the last.
        recorded_head: What `chain_state` holds as `latest_hash`; None where it holds nothing.
        last_id: The highest id that the table ever gave out; None where that is not known.
    """
    walk = _Walk({anchor.size for anchor in anchors})
    for row in rows:
        walk.add(row)
    short = _short(walk, anchors, last_id)
    fault = walk.fault or _contradicted(walk, anchors, recorded_head) or short
    completeness: Completeness = "OK" if anchors else "UNANCHORED"
    return Verdict(
        source="OK" if walk.size else "EMPTY",
        chain="OK" if fault is None or fault is short else fault.chain,
        completeness=completeness if short is None else "TRUNCATED",
        size=walk.size,
        head=walk.head,
        log_id=LOG_ID,
        first_bad=None if fault is None else fault.sequence,
        reason="" if fault is None else fault.reason,
        detail="" if fault is None else fault.detail,
    )


class _Walk:
    def __init__(self, wanted: set[int]) -> None:
        self._wanted = wanted
        self._seen: set[str] = {""}
        self.stored: dict[int, str] = {0: ""}
        self.size = 0
        self.last = 0
        self.head = ""
        self.fault: _Fault | None = None

    def add(self, row: OriginalRow) -> None:
        if self.fault is None:
            self.fault = self._check(row)
        self.size += 1
        self.last = row.id if type(row.id) is int else self.last
        self.head = row.curr_hash if isinstance(row.curr_hash, str) else ""
        self._seen.add(self.head)
        if self.size in self._wanted:
            self.stored[self.size] = self.head

    def _check(self, row: OriginalRow) -> _Fault | None:
        at = self.size + 1
        if type(row.id) is int:
            at = row.id
        for name in _TEXTS:
            if type(getattr(row, name)) is not str:
                return _Fault("CORRUPTED", at, "ENTRY_MALFORMED", f"{name} is not text")
        if "|" in row.event_type:
            detail = "its event type holds the separator: two events could share its hash"
            return _Fault("CORRUPTED", at, "ENTRY_MALFORMED", detail)
        if not _fits(row):
            return _Fault("CORRUPTED", at, "ENTRY_ALTERED", "its content has another hash")
        if row.prev_hash == self.head:
            return None
        if row.prev_hash in self._seen:
            return _Fault("FORKED", at, "FORKED", "the event before it has two successors")
        return _Fault("CORRUPTED", at, "LINK_BROKEN", "it follows an event that is not here")


def _fits(row: OriginalRow) -> bool:
    try:
        digest = original_hash(row.prev_hash, row.created_ts, row.event_type, row.payload_json)
    except ValueError:
        return False
    return bool(digest == row.curr_hash)


def _short(walk: _Walk, anchors: Sequence[Head], last_id: int | None) -> _Fault | None:
    reach = max((anchor.size for anchor in anchors), default=0)
    if reach > walk.size:
        detail = f"an anchor knows {reach} events, the log has {walk.size}"
        return _Fault("OK", walk.size + 1, "TAIL_MISSING", detail)
    if last_id is not None and last_id > walk.last:
        detail = f"the table gave out id {last_id}, its last event is {walk.last}"
        return _Fault("OK", walk.last + 1, "TAIL_MISSING", detail)
    return None


def _contradicted(walk: _Walk, anchors: Sequence[Head], recorded_head: str | None) -> _Fault | None:
    for anchor in anchors:
        if anchor.size <= walk.size and walk.stored.get(anchor.size) != anchor.hash:
            detail = f"event {anchor.size} is not the anchored one: history was rewritten"
            return _Fault("CORRUPTED", max(anchor.size, 1), "ANCHOR_MISMATCH", detail)
    if recorded_head is None or recorded_head == walk.head:
        return None
    detail = "the log records another last hash: its tail was cut, or it was written by two"
    return _Fault("CORRUPTED", max(walk.last, 1), "HEAD_MISMATCH", detail)
