"""What is kept of events that left the outbox: enough for `explain`, in about 20 bytes each.

Promise: packing and reading back give the same kinds, times and fates, in order. Refusal: no
bodies and no ids, only digests.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise

import msgspec

from conductor_sdk.records import Trace
from conductor_state.id_digest import DIGEST_BYTES, id_digest
from conductor_state.outbox_counts import Row
from conductor_state.trace_ids import find_trace, pack_traces


class Gone(msgspec.Struct, frozen=True):
    """One event that left the outbox."""

    kind: str
    put_ms: int
    taken_ms: int | None
    """When it was last read for pushing, where this process did that."""
    gone_ms: int
    dropped: str | None
    """The reason under which it was dropped; None when the conductor has it."""
    detail: str = ""
    trace_id: str | None = None
    """The trace that it was pushed in; None where it had no context."""

    @property
    def state(self) -> str:
        """The event's state as `explain` names it."""
        return "confirmed" if self.dropped is None else "dropped"

    def steps(self) -> list[Trace]:
        """Return what happened, oldest first."""
        steps = [Trace(self.put_ms, "queued")]
        if self.taken_ms is not None:
            steps.append(Trace(self.taken_ms, "pushed"))
        why = f"{self.dropped}: {self.detail}" if self.detail else (self.dropped or "")
        return [*steps, Trace(self.gone_ms, self.state, why)]


class Departure(msgspec.Struct, frozen=True):
    """Events that leave in one commit and for one reason."""

    rows: Sequence[Row]
    dropped: str | None = None
    details: Sequence[str] = ()
    """For rejected events: the conductor's reason for each."""


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    kinds: list[str]
    kind_of: list[int]
    """Index into kinds for each event; empty when there is one kind."""
    put_ms: list[int]
    """The first time, then differences."""
    taken: list[tuple[int, int]]
    """(number of events, time or 0) runs."""
    dropped: str | None
    details: list[str]
    traces: bytes = b""
    """As `trace_ids.pack_traces` gives."""


class Takes:
    """When which positions were last read for pushing: bounded, in memory, newest kept."""

    def __init__(self, bound: int = 256) -> None:
        self._bound = bound
        self._runs: tuple[tuple[int, int, int], ...] = ()

    def note(self, first: int, last: int, at_ms: int) -> None:
        """Record that a page was read; what it covers again replaces what was known."""
        kept = [run for run in self._runs if run[0] < first]
        if kept and kept[-1][1] >= first:
            kept[-1] = (kept[-1][0], first - 1, kept[-1][2])
        self._runs = (*kept[1 - self._bound :], (first, last, at_ms))

    def lookup(self) -> Callable[[int], int]:
        """Return a position's time or 0, as of now, for another thread."""
        runs = self._runs
        firsts = [first for first, _, _ in runs]

        def taken_at(position: int) -> int:
            number = bisect_right(firsts, position) - 1
            return runs[number][2] if number >= 0 and position <= runs[number][1] else 0

        return taken_at


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def pack(departure: Departure, taken_at: Callable[[int], int]) -> tuple[bytes, bytes]:
    """Return digests and details of a departure; `taken_at` gives a position's time or 0."""
    rows = departure.rows
    digests = b"".join([id_digest(row.event_id) for row in rows])
    times = [row.put_ms for row in rows]
    kinds = list(dict.fromkeys([row.kind for row in rows]))
    index = {kind: number for number, kind in enumerate(kinds)}
    taken: list[tuple[int, int]] = []
    for row in rows:
        at_ms = taken_at(row.position)
        if taken and taken[-1][1] == at_ms:
            taken[-1] = (taken[-1][0] + 1, at_ms)
        else:
            taken.append((1, at_ms))
    packed = _Packed(
        kinds=kinds,
        kind_of=[index[row.kind] for row in rows] if len(kinds) > 1 else [],
        put_ms=[times[0], *(later - earlier for earlier, later in pairwise(times))],
        taken=taken,
        dropped=departure.dropped,
        details=list(departure.details),
        traces=pack_traces([row.trace for row in rows]),
    )
    return digests, _encoder.encode(packed)


def find(event_id: str, gone_ms: int, digests: bytes, detail: bytes) -> Iterator[Gone]:
    """Give the times that an id is in one departure, in order."""
    digest = id_digest(event_id)
    at = digests.find(digest)
    while at >= 0:
        if at % DIGEST_BYTES == 0:
            yield _unpack(_decoder.decode(detail), at // DIGEST_BYTES, gone_ms)
        at = digests.find(digest, at + 1)


def _unpack(packed: _Packed, number: int, gone_ms: int) -> Gone:
    taken = chain.from_iterable([at_ms] * count for count, at_ms in packed.taken)
    return Gone(
        kind=packed.kinds[packed.kind_of[number] if packed.kind_of else 0],
        put_ms=list(accumulate(packed.put_ms))[number],
        taken_ms=list(taken)[number] or None,
        gone_ms=gone_ms,
        dropped=packed.dropped,
        detail=packed.details[number] if packed.details else "",
        trace_id=find_trace(packed.traces, number),
    )
