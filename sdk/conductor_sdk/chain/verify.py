"""The verify walk: read a log from its first entry to its last and say what is wrong with it.

Promise: any change of any field, any entry taken out of the middle, any second history is found,
and the first bad place is named. A cut tail is found when an anchor, or the head that the log
records itself, reaches further. Refusal: a walk that was not given an anchor never claims that
the log is complete; whoever can rewrite the file can rewrite all of it.

Five answers are kept apart, because each has its own remedy:

    source        OK | EMPTY | MISSING            is there anything to read
    chain         OK | CORRUPTED | FORKED         does every entry link to the one before
    completeness  OK | TRUNCATED | UNANCHORED     does it reach as far as the anchors say
    state         OK | DRIFT | ABSENT             do tables that are derived equal a replay
    first bad sequence and reason                 where it goes wrong first
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from conductor_sdk.chain.batch import Checker, Row, Sink, as_entry
from conductor_sdk.chain.canonical import PayloadRefused, parse_payload
from conductor_sdk.chain.entry import (
    CHAIN_VERSION,
    Entry,
    Head,
    encode_entry,
    genesis,
    link_hash,
)
from conductor_sdk.chain.verdict import Chain, Completeness, Reason, Verdict, missing

__all__ = ["Verdict", "Walk", "missing", "verify"]

_SHORT = 8
"""Bytes kept of each hash, only to tell a fork from a broken link."""


class _Fault(msgspec.Struct, frozen=True):
    chain: Chain
    sequence: int
    reason: Reason
    detail: str


def verify(
    entries: Iterable[Entry],
    log_id: str,
    *,
    anchors: Sequence[Head] = (),
    recorded: Head | None = None,
) -> Verdict:
    """Walk a whole log that fits the caller's patience; see `Walk` for one that comes in pages.

    Args:
        entries: All entries in the order of their sequence.
        log_id: The log's name.
        anchors: Heads that were kept outside of the log.
        recorded: The head that the log keeps of itself; it proves nothing when it agrees.
    """
    walk = Walk(log_id, anchors)
    for entry in entries:
        walk.add(entry)
    return walk.verdict(recorded)


class Walk:
    """A verify walk that is fed in order; the first fault is final."""

    def __init__(
        self,
        log_id: str,
        anchors: Sequence[Head] = (),
        *,
        locate: Callable[[str, int], int | None] | None = None,
        sink: Sink | None = None,
    ) -> None:
        """Begin before the first entry.

        Args:
            log_id: The log's name.
            anchors: Heads that were kept outside of the log.
            locate: Asked once at most: the sequence below a given one whose stored hash is this
                text. Without it the walk keeps 8 bytes per entry, else nothing.
            sink: Is given the bytes of each entry of `add_rows` that is sound, until the first
                fault.
        """
        self._log_id = log_id
        self._locate = locate
        self._sink = sink
        self._checker = Checker(log_id)
        self._genesis = genesis(log_id)
        self._anchors = sorted(anchors, key=lambda anchor: anchor.size)
        self._wanted = {anchor.size for anchor in anchors}
        self._stored: dict[int, str] = {0: self._genesis}
        self._seen = bytearray(_SHORT)  # in the place of the genesis hash
        self._size = 0
        self._reach = 0
        self._expected = 1
        self._head = self._genesis
        self._fault: _Fault | None = None

    def add(self, entry: Entry) -> None:
        """Check the next entry. Fields may hold anything that a damaged store returns."""
        if self._fault is None:
            self._fault = self._check(entry)
        self._size += 1
        self._expected += 1
        self._head = entry.hash
        if type(entry.sequence) is int:
            self._reach = max(self._reach, entry.sequence)
            if entry.sequence in self._wanted:
                self._stored[entry.sequence] = entry.hash

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Check the next entries as they are stored; several times faster than one by one."""
        start = 0
        while self._fault is None and start < len(rows):
            part = rows[start:] if start else rows
            sound = self._checker.sound(part, self._expected, self._head, self._sink)
            self._pass(part[:sound])
            start += sound
            if start < len(rows):  # unusual: the slow check tells whether it is a fault
                self._add_one(as_entry(rows[start], self._log_id))
                start += 1
        for row in rows[start:]:
            self.add(as_entry(row, self._log_id))

    @property
    def sound(self) -> bool:
        """Whether no fault was found so far."""
        return self._fault is None

    def broken(self, detail: str) -> None:
        """Say that the log cannot be read any further."""
        if self._fault is None:
            self._fault = _Fault("CORRUPTED", self._expected, "LOG_UNREADABLE", detail)

    def verdict(self, recorded: Head | None = None) -> Verdict:
        """End the walk; `recorded` is the head that the log keeps of itself."""
        short = self._short(recorded)
        fault = self._fault or self._contradicted(recorded) or short
        completeness: Completeness = "OK" if self._anchors else "UNANCHORED"
        return Verdict(
            source="OK" if self._size else "EMPTY",
            chain="OK" if fault is None or fault is short else fault.chain,
            completeness="TRUNCATED" if short is not None else completeness,
            size=self._size,
            head=self._head,
            log_id=self._log_id,
            first_bad=None if fault is None else fault.sequence,
            reason="" if fault is None else fault.reason,
            detail="" if fault is None else fault.detail,
        )

    def _add_one(self, entry: Entry) -> None:
        self.add(entry)
        if self._fault is None and self._sink is not None:
            self._sink(encode_entry(entry))

    def _pass(self, rows: Sequence[Row]) -> None:
        """Take rows that are known to be sound and in sequence."""
        if not rows:
            return
        first = self._expected
        self._size += len(rows)
        self._expected += len(rows)
        self._reach = self._expected - 1
        self._head = rows[-1][-1]
        if self._locate is None:
            self._seen += b"".join([bytes.fromhex(row[-1])[:_SHORT] for row in rows])
        for size in self._wanted:
            if first <= size < self._expected:
                self._stored[size] = rows[size - first][-1]

    def _check(self, entry: Entry) -> _Fault | None:
        at = self._expected
        malformed = _malformed(entry, self._log_id)
        if malformed is not None:
            return _Fault("CORRUPTED", at, "ENTRY_MALFORMED", malformed)
        if not _fits_its_hash(entry):
            return _Fault("CORRUPTED", at, "ENTRY_ALTERED", "its content has another hash")
        if entry.previous != self._head:
            return self._unlinked(entry)
        if entry.sequence != at:
            return _Fault("CORRUPTED", at, "ENTRY_MISSING", f"followed by {entry.sequence}")
        try:
            parse_payload(entry.payload)
        except PayloadRefused as error:
            return _Fault("CORRUPTED", at, "PAYLOAD_NOT_CANONICAL", error.detail)
        if self._locate is None:
            self._seen += bytes.fromhex(entry.hash)[:_SHORT]
        return None

    def _unlinked(self, entry: Entry) -> _Fault:
        """Classify an entry that is sound in itself but does not follow the one before."""
        at = self._expected
        parent = self._position(entry.previous)
        if parent is not None:
            detail = f"entry {parent} has two successors"
            return _Fault("FORKED", min(at, entry.sequence), "FORKED", detail)
        if entry.sequence != at:
            return _Fault("CORRUPTED", at, "ENTRY_MISSING", f"followed by {entry.sequence}")
        return _Fault("CORRUPTED", at, "LINK_BROKEN", "it follows an entry that is not here")

    def _position(self, digest: str) -> int | None:
        if digest == self._genesis:
            return 0
        if self._locate is not None:
            return self._locate(digest, self._expected)
        try:
            wanted = bytes.fromhex(digest)[:_SHORT]
        except ValueError:
            return None
        found = self._seen.find(wanted) if len(wanted) == _SHORT else -1
        while found >= 0 and found % _SHORT:
            found = self._seen.find(wanted, found + 1)
        return None if found < 0 else found // _SHORT

    def _contradicted(self, recorded: Head | None) -> _Fault | None:
        for anchor in self._anchors:
            if anchor.size <= self._reach and self._stored.get(anchor.size) != anchor.hash:
                detail = f"entry {anchor.size} is not the anchored one: history was rewritten"
                return _Fault("CORRUPTED", max(anchor.size, 1), "ANCHOR_MISMATCH", detail)
        if recorded is None or recorded.size > self._reach:
            return None
        if recorded == Head(self._size, self._head):
            return None
        where = min(recorded.size + 1, max(self._size, 1))
        detail = f"the log records {recorded.size} entries and another last hash"
        return _Fault("CORRUPTED", where, "HEAD_MISMATCH", detail)

    def _short(self, recorded: Head | None) -> _Fault | None:
        reach = max((anchor.size for anchor in self._anchors), default=0)
        by = "an anchor"
        if recorded is not None and recorded.size > reach:
            reach, by = recorded.size, "the log's own record"
        if reach <= self._reach:
            return None
        detail = f"{by} knows {reach} entries, the log ends with {self._reach}"
        return _Fault("OK", self._reach + 1, "TAIL_MISSING", detail)


def _malformed(entry: Entry, log_id: str) -> str | None:
    """Name what no writer makes; a damaged store may return any type in any field."""
    fields = msgspec.structs.asdict(entry)
    for name in ("chain_version", "sequence"):
        if type(fields[name]) is not int:
            return f"{name} is not an integer"
    for name, value in fields.items():
        if name not in {"chain_version", "sequence"} and type(value) is not str:
            return f"{name} is not text"
    if entry.chain_version != CHAIN_VERSION:
        return f"chain version {entry.chain_version} is not known here"
    if entry.log_id != log_id:
        return "it belongs to another log"
    return None


def _fits_its_hash(entry: Entry) -> bool:
    try:
        return link_hash(entry) == entry.hash
    except ValueError:
        return False
