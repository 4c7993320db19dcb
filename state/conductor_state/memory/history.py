"""The conductor's history without a disk, for tests and the loopback.

Promise: it passes the history's contract suite. Refusal: nothing survives the process; each one
has an epoch of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from conductor_sdk.clock import Clock, SystemClock, epoch_ms
from conductor_sdk.records import Outgoing
from conductor_state.history_records import AnchorT, EventT, HistoryRecords, TokenT


@dataclass(slots=True)
class _Line:
    first: int = 1
    last: int = 0
    events: dict[int, tuple[Outgoing, int]] = field(default_factory=dict[int, tuple[Outgoing, int]])
    sequences: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


class MemoryHistory(Generic[EventT, AnchorT, TokenT]):
    """A history in dictionaries."""

    def __init__(
        self,
        records: HistoryRecords[EventT, AnchorT, TokenT],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._records = records
        self._clock = clock or SystemClock()
        self._epoch = secrets.token_hex(16)
        self._down: dict[str, _Line] = {}
        self._up: list[tuple[str, Outgoing, int]] = []
        self._pushed: set[tuple[str, str]] = set()
        self._anchors: list[AnchorT] = []
        self._tokens: dict[str, TokenT] = {}

    @property
    def epoch(self) -> str:
        """Random id of this history."""
        return self._epoch

    async def append(
        self, workspace: str, events: Sequence[Outgoing], *, again: bool = False
    ) -> list[int]:
        """Append downward events; an id already there keeps its first sequence, but `again`."""
        if not events:
            return []
        line = self._down.setdefault(workspace, _Line())
        at_ms = self._now()
        places: list[int] = []
        for event in events:
            known = line.sequences.setdefault(event.event_id, [])
            if again or not known:
                line.last += 1
                known.append(line.last)
                line.events[line.last] = (event, at_ms)
            places.append(known[-1 if again else 0])
        return places

    async def read(self, workspace: str, after: int, limit: int, max_bytes: int) -> list[EventT]:
        """Read downward events after a sequence, in order; at least one if there is one."""
        line = self._down.get(workspace, _Line())
        found: list[EventT] = []
        size = 0
        for sequence in range(max(after + 1, line.first), line.last + 1):
            event, at_ms = line.events[sequence]
            size += len(event.body)
            if len(found) >= limit or (found and size > max_bytes):
                break
            found.append(self._event(sequence, event, at_ms))
        return found

    async def bounds(self, workspace: str) -> tuple[int, int]:
        """Return (first kept sequence, last sequence); (1, 0) when there is nothing."""
        line = self._down.get(workspace, _Line())
        return line.first, line.last

    async def forget(self, workspace: str, through: int) -> int:
        """Drop downward events up to a sequence: how a gap is made. Returns how many."""
        line = self._down.get(workspace, _Line())
        old = [sequence for sequence in line.events if sequence <= through]
        for sequence in old:
            line.sequences[line.events.pop(sequence)[0].event_id].remove(sequence)
            line.first = sequence + 1
        return len(old)

    async def record_push(self, workspace: str, events: Sequence[Outgoing]) -> list[bool]:
        """Store pushed events in order; False for an id that the workspace pushed already."""
        at_ms = self._now()
        fresh: list[bool] = []
        for event in events:
            name = (workspace, event.event_id)
            fresh.append(name not in self._pushed)
            if fresh[-1]:
                self._pushed.add(name)
                self._up.append((workspace, event, at_ms))
        return fresh

    async def pushed(self, workspace: str | None, after: int, limit: int) -> list[EventT]:
        """Read pushed events after a sequence, in the order in which they were stored."""
        found = [
            self._event(sequence, event, at_ms)
            for sequence, (name, event, at_ms) in enumerate(self._up, start=1)
            if sequence > after and workspace in {None, name}
        ]
        return found[:limit]

    async def workspaces(self) -> list[str]:
        """Every workspace that has events, tokens or anchors, sorted."""
        names = {*self._down, *(name for name, _, _ in self._up)}
        names |= {anchor.workspace for anchor in self._anchors}
        names |= {token.workspace for token in self._tokens.values()}
        return sorted(names)

    async def put_anchor(self, anchor: AnchorT) -> None:
        """Keep a journal head."""
        self._anchors.append(anchor)

    async def anchors(self, workspace: str) -> list[AnchorT]:
        """Return a workspace's anchors, oldest first."""
        return [anchor for anchor in self._anchors if anchor.workspace == workspace]

    async def put_token(self, token: TokenT) -> None:
        """Insert or replace a token by its id."""
        self._tokens[token.token_id] = token

    async def token_by_digest(self, digest: str) -> TokenT | None:
        """Find a token by the SHA-256 hex digest of its text."""
        return next((t for t in self._tokens.values() if t.digest == digest), None)

    async def tokens(self) -> list[TokenT]:
        """Return all tokens, oldest first."""
        return sorted(self._tokens.values(), key=lambda token: token.issued_ms)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _event(self, sequence: int, event: Outgoing, at_ms: int) -> EventT:
        return self._records.event(sequence, event.event_id, event.kind, event.body, at_ms)

    def _now(self) -> int:
        return epoch_ms(self._clock.now())
