"""Which events are being handled: one row for each call of `claim`.

Promise: what a crash leaves here is found by the next start. Refusal: a settled event's place in a
row that holds others still is not erased; reaping looks at what is settled instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from conductor_sdk.records import Position
from conductor_state.batches import pack_positions, unpack_positions
from conductor_state.queries import load_queries


class Claims:
    """The claims table and its image in memory. Writer thread only."""

    def __init__(self) -> None:
        self.owners: dict[Position, int] = {}
        """The claim that holds a position."""
        self._held: dict[int, set[Position]] = {}
        self._times: dict[int, int] = {}
        self._next = 1

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the table again."""
        self.owners.clear()
        self._held.clear()
        self._times.clear()
        for claim, claimed_ms, blob in connection.execute(load_queries("replay_log")["claims"]):
            self._remember(claim, claimed_ms, unpack_positions(blob))

    def time_of(self, claim: int) -> int:
        """Return when a claim was made; 0 for none."""
        return self._times.get(claim, 0)

    def claim(
        self, connection: sqlite3.Connection, positions: Sequence[Position], now_ms: int
    ) -> None:
        """Hold positions; one that was held already moves to the new claim."""
        again = self.owners.keys() & positions if self.owners else ()
        if again:
            self.let_go(connection, again, again)
        claim = self._next
        connection.execute(
            load_queries("replay_log")["put_claim"], (claim, now_ms, pack_positions(positions))
        )
        self._remember(claim, now_ms, positions)

    def let_go(
        self,
        connection: sqlite3.Connection,
        positions: Collection[Position],
        unsettled: Collection[Position] = (),
    ) -> None:
        """Stop holding positions; `unsettled` are those among them that are not settled now.

        Statements first, memory last: the last thing that a work does with claims.
        """
        sql = load_queries("replay_log")
        owners = self.owners
        touched = {owners[position] for position in positions if position in owners}
        rests = {claim: self._held[claim].difference(positions) for claim in touched}
        to_shrink = {owners[position] for position in unsettled if position in owners}
        for claim, rest in rests.items():
            if not rest:
                connection.execute(sql["delete_claim"], (claim,))
            elif claim in to_shrink:
                connection.execute(sql["shrink_claim"], (claim, pack_positions(rest)))
        for claim, rest in rests.items():
            if rest:
                self._held[claim] = rest
            else:
                del self._held[claim], self._times[claim]
        for position in positions:
            owners.pop(position, None)

    def clear(self, connection: sqlite3.Connection) -> list[Position]:
        """End all claims; returns the positions that they held, ascending."""
        held = sorted(self.owners)
        connection.execute(load_queries("replay_log")["delete_claims"])
        self.owners.clear()
        self._held.clear()
        self._times.clear()
        return held

    def _remember(self, claim: int, claimed_ms: int, positions: Collection[Position]) -> None:
        self.owners.update(dict.fromkeys(positions, claim))
        self._held[claim] = set(positions)
        self._times[claim] = claimed_ms
        self._next = claim + 1
