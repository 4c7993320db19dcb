"""Dead letters in memory, beside a `MemoryReplayLog`.

Promise: passes the contract suite of `testing.dead_letters`. Refusal: nothing survives the
process.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection

from conductor_sdk.records import DeadLetter, Pending, Position
from conductor_state.memory.replay_log import MemoryReplayLog


class MemoryDeadLetters:
    """`DeadLetters` without a database."""

    def __init__(self, replay_log: MemoryReplayLog) -> None:
        self._inbound = replay_log.inbound

    async def list(
        self, *, kind: str | None = None, limit: int = 100, after: int = 0
    ) -> builtins.list[DeadLetter]:
        """Return dead letters, oldest first; `after` is a position."""
        letters = [
            self._letter(position) for position in sorted(self._inbound.dead) if position > after
        ]
        return [letter for letter in letters if kind in {None, letter.kind}][:limit]

    async def get(self, event_id: str) -> DeadLetter | None:
        """Return one dead letter."""
        position = self._find(event_id)
        return None if position is None else self._letter(position)

    async def redrive(self, event_ids: Collection[str]) -> builtins.list[Pending]:
        """Make events pending again with no attempts counted; unknown ids are skipped."""
        inbound = self._inbound
        old = [inbound.dead.pop(position)[0] for position in self._find_all(event_ids)]
        new = inbound.store([entry.event for entry in old], inbound.cursor, redriven=True)
        for before, entry in zip(old, new, strict=True):
            entry.redrives = before.redrives + 1
            stored_ms = inbound.batches[entry.position >> 12].received_ms
            entry.first_received_ms = before.first_received_ms
            inbound.ledger.add(entry.event.kind, dead_lettered=-1, buffered=1)
            detail = f"from position {before.position}"
            event_id = entry.event.event_id
            inbound.steps.append((event_id, before.position, stored_ms, "redriven", detail))
        return [inbound.pending(entry) for entry in new]

    async def drop(self, event_ids: Collection[str]) -> int:
        """Forget dead letters for good: dropped{operator}; returns how many."""
        inbound = self._inbound
        positions = self._find_all(event_ids)
        for position in positions:
            event = inbound.dead.pop(position)[0].event
            inbound.steps.append(
                (event.event_id, position, inbound.now_ms(), "dropped", "by the operator")
            )
            inbound.ledger.add(event.kind, dead_lettered=-1)
            inbound.ledger.drop(event.kind, "operator", 1)
        return len(positions)

    def _letter(self, position: Position) -> DeadLetter:
        entry, attempts, code, error, buried_ms = self._inbound.dead[position]
        event = entry.event
        return DeadLetter(
            event.event_id, event.kind, event.body, position, attempts, code, error,
            entry.first_received_ms, buried_ms, entry.redrives,
        )  # fmt: skip

    def _find(self, event_id: str) -> Position | None:
        return next(
            (p for p, letter in self._inbound.dead.items() if letter[0].event.event_id == event_id),
            None,
        )

    def _find_all(self, event_ids: Collection[str]) -> builtins.list[Position]:
        found = [self._find(event_id) for event_id in dict.fromkeys(event_ids)]
        return [position for position in found if position is not None]
