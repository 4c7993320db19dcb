"""Lives that end at a named step of a rotation."""

from __future__ import annotations

import asyncio

SIDECAR = [
    "rotation.asked", "rotation.fetched",
    "candidate.drafted", "candidate.synced", "candidate.replaced", "candidate.durable",
    "rotation.probing", "rotation.proven",
    "enrollment.drafted", "enrollment.synced", "enrollment.replaced", "enrollment.durable",
    "rotation.committed", "rotation.journaled", "candidate.forgotten", "rotation.forgotten",
    "rotation.confirmed",
]  # fmt: skip
"""Every step of a sidecar, in order."""
CONDUCTOR = [
    "conductor.ordered", "conductor.limited", "conductor.issued", "conductor.superseding",
    "conductor.superseded",
]  # fmt: skip
"""Every step of a conductor, in order."""


class Death(Exception):
    """This life is over."""


class Life:
    """Ends at the n-th hit of a point; from then on it reaches no step any more."""

    def __init__(self, point: str = "", hit: int = 1) -> None:
        self.seen: list[str] = []
        self.over = asyncio.Event()
        self._point, self._left = point, hit

    def __call__(self, point: str) -> None:
        if not point.startswith(("rotation.", "candidate.", "enrollment.", "conductor.")):
            return
        self.seen.append(point)
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                self.over.set()
        if self.over.is_set():
            raise Death(point)
