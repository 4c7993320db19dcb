"""Runs that were left in the middle: whoever worked on them is gone.

Promise: a run is found once for each time that it was left, some moments after its lease has run
out; few are read at a time, and all of them in turn. Refusal: a run that failed, or was cancelled,
is not among them: it gave its lease up, and somebody was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from conductor_flows.capabilities.rows import Rows
from conductor_flows.durable.services import Durability
from conductor_flows.durable.stores import LEASES
from conductor_sdk.clock import epoch_ms

GRACE_MS: Final = 2000
"""After a lease has run out: whoever has it may only be late."""
READ_MAX: Final = 500
"""Leases that are read at a time."""


class _Held(msgspec.Struct, frozen=True):
    holder: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Left:
    """A run that was left."""

    checkpoint_id: str
    holder: str
    """Of the lease."""


class LeftRuns:
    """Those of one place; it must stand on rows, else none is found."""

    def __init__(self, durability: Durability) -> None:
        self._rows = durability.rows
        self._clock = durability.clock
        self._after = ""
        self._passed: set[str] = set()
        """Holders of leases that nothing can be done about."""
        self._met: set[str] = set()

    async def found(self) -> list[Left]:
        """Return those among the next leases."""
        if self._rows is None:
            return []
        after = self._after
        keys, held = await self._rows.run(lambda rows: _read(rows, after))
        before_ms = epoch_ms(self._clock.now()) - GRACE_MS
        self._met.update(each.holder for each in held.values())
        self._after = keys[-1] if len(keys) == READ_MAX else ""
        if not self._after:  # all were met: what is gone need not be remembered
            self._passed &= self._met
            self._met = set()
        return [
            Left(checkpoint_id, each.holder)
            for checkpoint_id, each in held.items()
            if each.until_ms <= before_ms and each.holder not in self._passed
        ]

    def pass_over(self, left: Left) -> None:
        """Do not give this one again, until somebody has taken it up and left it again."""
        self._passed.add(left.holder)


def _read(rows: Rows, after: str) -> tuple[list[str], dict[str, _Held]]:
    keys = rows.keys(LEASES, after=after, limit=READ_MAX)
    held: dict[str, _Held] = {}
    for key in keys:
        data = rows.get(LEASES, key)
        try:
            if data is not None:
                held[key] = msgspec.json.decode(data, type=_Held)
        except msgspec.MsgspecError:
            continue  # the store says so to whoever asks for this one
    return keys, held
