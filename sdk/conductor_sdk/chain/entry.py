"""Entries of chain version 1: what one is, its bytes, and the hash that links it.

Promise: two different entries never have the same bytes, and no field of an entry stands outside
its hash. Refusal: no I/O and no clock; the writer hands in the time and the last head.

The preimage of a link is a row of fields. A string is its UTF-8 bytes after their count as four
big-endian bytes; an integer is eight big-endian bytes. In order:

    "conductor.journal.entry"  chain_version  previous  log_id  sequence  time
    event_type  actor  session_id  task_id  payload

The hash is SHA-256 in lower-case hex. What stands before the first entry is not an entry but the
genesis hash: SHA-256 of "conductor.journal.genesis", chain_version, log_id, encoded the same way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from conductor_sdk.chain.canonical import canonical_json
from conductor_sdk.errors import ConductorError, Exit

CHAIN_VERSION = 1
NAME_MAX = 256
"""Characters of an actor, session id or task id."""
_ENTRY_DOMAIN = "conductor.journal.entry"
_GENESIS_DOMAIN = "conductor.journal.genesis"
_EVENT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,127}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class EntryRefused(ConductorError):
    """The journal does not take this entry."""

    code = "JOURNAL_ENTRY_REFUSED"
    default_hint = "see: docs/reference/journal.md"
    exit_code = Exit.USAGE


class Draft(msgspec.Struct, frozen=True):
    """What a caller wants to have journaled."""

    event_type: str
    """A letter, then letters, digits and `_.:-`, 128 characters in all."""
    actor: str
    """Who did it: 1 to 256 characters without control characters."""
    payload: Mapping[str, Any]
    session_id: str = ""
    """"" where there is none."""
    task_id: str = ""


class Prepared(msgspec.Struct, frozen=True):
    """A draft that was checked, with its payload as canonical text."""

    event_type: str
    actor: str
    session_id: str
    task_id: str
    payload: str


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the journal, as it is stored."""

    chain_version: int
    log_id: str
    """Names the log, so that entries of two logs never fit each other."""
    sequence: int
    """1, 2, 3, … without a gap."""
    time: str
    """UTC, ISO 8601 with milliseconds, ends in `Z`; the writer's clock, so it may go back."""
    event_type: str
    actor: str
    session_id: str
    task_id: str
    payload: str
    """Canonical JSON text of an object; hashed as it is stored."""
    previous: str
    """Hash of the entry before, or the genesis hash."""
    hash: str


class Head(msgspec.Struct, frozen=True):
    """How long a log is and the hash of its last entry; the genesis hash when it is empty.

    Kept outside of the log it is an anchor: proof of what the log was when it was taken.
    """

    size: int
    hash: str


def genesis(log_id: str) -> str:
    """Return what the first entry of a log links to."""
    return hashlib.sha256(
        encode_text(_GENESIS_DOMAIN) + _integer(CHAIN_VERSION) + encode_text(log_id)
    ).hexdigest()


def encode_entry(entry: Entry) -> bytes:
    """Return the preimage of an entry's hash.

    Raises:
        ValueError: A string holds a lone surrogate, or an integer is out of range: no writer of
            ours made the entry.
    """
    try:
        return b"".join(
            (
                entry_prefix(entry.chain_version),
                encode_text(entry.previous),
                encode_text(entry.log_id),
                _integer(entry.sequence),
                encode_text(entry.time),
                encode_text(entry.event_type),
                encode_text(entry.actor),
                encode_text(entry.session_id),
                encode_text(entry.task_id),
                encode_text(entry.payload),
            )
        )
    except OverflowError:
        raise ValueError("an integer does not fit into eight bytes") from None


def entry_prefix(chain_version: int) -> bytes:
    """Return what stands before all fields that differ: the domain and the version."""
    return encode_text(_ENTRY_DOMAIN) + _integer(chain_version)


def link_hash(entry: Entry) -> str:
    """Return the hash that an entry must carry.

    Raises:
        ValueError: As `encode_entry`.
    """
    return hashlib.sha256(encode_entry(entry)).hexdigest()


def prepare(draft: Draft) -> Prepared:
    """Check a draft and write its payload down, before any lock is taken.

    Raises:
        EntryRefused: A name has the wrong shape.
        PayloadRefused: The payload is not JSON of the allowed kind.
    """
    if _EVENT_TYPE.match(draft.event_type) is None:
        raise EntryRefused(f"event type {draft.event_type[:140]!a} is not a plain name")
    if not draft.actor:
        raise EntryRefused("an actor is required")
    for what, name in (("actor", draft.actor), ("session", draft.session_id),
                       ("task", draft.task_id)):  # fmt: skip
        if len(name) > NAME_MAX or _CONTROL.search(name) is not None:
            raise EntryRefused(f"{what} is not {NAME_MAX} characters without control characters")
    return Prepared(
        draft.event_type, draft.actor, draft.session_id, draft.task_id,
        canonical_json(draft.payload),
    )  # fmt: skip


def extend(log_id: str, head: Head, drafts: Sequence[Prepared], time: str) -> list[Entry]:
    """Link drafts to a log's head, in order; the caller holds the write lock of the log.

    Args:
        log_id: The log's name.
        head: Its last entry as stored, read under that lock.
        drafts: What to append.
        time: Now, UTC with milliseconds and a final `Z`.
    """
    entries: list[Entry] = []
    size, previous = head.size, head.hash
    for draft in drafts:
        size += 1
        bare = Entry(
            CHAIN_VERSION, log_id, size, time, draft.event_type, draft.actor, draft.session_id,
            draft.task_id, draft.payload, previous, "",
        )  # fmt: skip
        previous = link_hash(bare)
        entries.append(msgspec.structs.replace(bare, hash=previous))
    return entries


def encode_text(value: str) -> bytes:
    """Return a string's UTF-8 bytes after their count.

    Raises:
        ValueError: It holds a lone surrogate.
    """
    data = value.encode()
    return len(data).to_bytes(4, "big") + data


def _integer(value: int) -> bytes:
    return value.to_bytes(8, "big")
