"""Does this process still move? Decided from its own parts, never from the conductor.

Promise: a part is stuck when it has owed progress for longer than its patience, and the verdict
says which and for how long; being idle owes nothing. Refusal: no clock is read here, nothing is
probed or sent, and no link, beat or conductor is asked.

The event loop has no entry: who feeds the watchdog runs in it, so a loop that does not turn feeds
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DISPATCHER = "dispatcher"


@dataclass(frozen=True, slots=True)
class Stuck:
    """A part that owes progress."""

    part: str
    """`dispatcher`, or the name of a store."""
    for_s: float
    """Seconds since it last moved while it had to."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look at the parts says."""

    stuck: tuple[Stuck, ...] = ()
    lag_s: float = 0.0
    """How much later than planned this look was: how long something held the event loop."""

    @property
    def moves(self) -> bool:
        """Whether the watchdog is fed."""
        return not self.stuck


@dataclass(frozen=True, slots=True)
class Work:
    """What the dispatcher shows at one look."""

    ready: int
    """Lanes that could run now. Waiting for a retry is not ready."""
    mark: object
    """Anything that differs whenever an event was settled or a store refused to settle it."""


class Debt:
    """Since when one part owes progress."""

    __slots__ = ("_patience_s", "_since")

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: float | None = None

    def patient(self, patience_s: float) -> None:
        """Give it another patience; a debt that stands keeps its beginning."""
        self._patience_s = patience_s

    def owes(self, now: float) -> None:
        """Note that the part has something to do; a debt that stands keeps its beginning."""
        if self._since is None:
            self._since = now

    def moved(self) -> None:
        """Note that the part moved, or has nothing to do."""
        self._since = None

    def forgive(self, seconds: float) -> None:
        """Do not count time in which nobody could move, as when the whole process was stopped."""
        if self._since is not None:
            self._since += seconds

    def overdue_s(self, now: float) -> float | None:
        """Return for how long it has owed progress; None within its patience."""
        if self._since is None or now - self._since < self._patience_s:
            return None
        return now - self._since


class LocalProgress:
    """The parts of one process. Times are seconds of one monotonic clock."""

    def __init__(self, stores: Mapping[str, float], *, dispatcher_s: float) -> None:
        """Begin with nothing owed.

        Args:
            stores: Seconds of patience, by the name of a store.
            dispatcher_s: Seconds in which some event is settled while lanes are ready: more than
                the longest deadline of a handler, since all workers may be in one.
        """
        self._stores = {name: Debt(patience_s) for name, patience_s in stores.items()}
        self._dispatcher = Debt(dispatcher_s)
        self._mark: object = None

    def patient(self, dispatcher_s: float) -> None:
        """Give the dispatcher another patience: handlers may take longer, or less."""
        self._dispatcher.patient(dispatcher_s)

    def asked(self, store: str, now: float) -> None:
        """Note that a store was asked something."""
        self._stores[store].owes(now)

    def answered(self, store: str) -> None:
        """Note that a store answered, be it with an error: a full disk is not a stuck thread."""
        self._stores[store].moved()

    def worked(self, work: Work, now: float) -> None:
        """Note what the dispatcher shows."""
        if work.ready == 0 or work.mark != self._mark:
            self._dispatcher.moved()
        if work.ready:
            self._dispatcher.owes(now)
        self._mark = work.mark

    def verdict(self, now: float, *, lag_s: float = 0.0) -> Verdict:
        """Say who is stuck, at a look that came `lag_s` later than planned."""
        debts = {DISPATCHER: self._dispatcher, **self._stores}
        for debt in debts.values():
            debt.forgive(lag_s)
        overdue = {part: debt.overdue_s(now) for part, debt in debts.items()}
        stuck = tuple(Stuck(part, for_s) for part, for_s in overdue.items() if for_s is not None)
        return Verdict(stuck, lag_s)
