"""The order of what comes down: where the next event must begin, and how far it may go.

Promise: sequences leave here gapless and once per session, and an acknowledgement never passes
what was delivered. Refusal: nothing is delivered beyond the credit that was granted.
"""

from __future__ import annotations

from conductor_protocol.codec import check_events
from conductor_protocol.effects import Arrived, Deliver, Refused
from conductor_protocol.errors import CreditExceeded
from conductor_protocol.messages import Ack, Events, Limits


class Inflow:
    """One session's downward stream."""

    __slots__ = ("_acked", "_arrived", "_delivered", "_epoch", "_granted", "_limit", "_refused")

    def __init__(self) -> None:
        self._epoch = ""
        self._delivered = self._acked = 0
        self._limit = self._granted = 0
        self._arrived: list[Arrived] = []
        self._refused: list[Refused] = []

    @property
    def last(self) -> int:
        """The last sequence that was delivered to the shell, or is about to be."""
        return self._delivered

    @property
    def open_credit(self) -> int:
        """Events that the conductor may still send, as far as it was told."""
        return max(0, self._limit - self._delivered)

    @property
    def waiting(self) -> int:
        """Events taken and not yet handed out by `flush`."""
        return len(self._arrived) + len(self._refused)

    def begin(self, epoch: str, start: int, delivered: int, credit: int) -> None:
        """Begin after `start`; up to `delivered` is stored here already."""
        self._epoch = epoch
        self._delivered = self._acked = delivered
        self._limit = self._granted = start + credit

    def leaves_hole(self, message: Events) -> bool:
        """Tell whether a batch begins after events that never came."""
        return message.first > self._delivered + 1

    def take(self, message: Events, limits: Limits) -> int:
        """Take a batch that leaves no hole; returns how many events were repeated, and skipped.

        Raises:
            CreditExceeded: It ends beyond the credit; nothing of it was taken.
        """
        expected = self._delivered + 1
        end = message.first + len(message.events)
        if end - 1 > self._granted:
            raise CreditExceeded(f"{end - 1} came, granted up to {self._granted}")
        repeated = min(expected - message.first, len(message.events))
        raws = message.events[repeated:] if repeated else message.events
        if raws:
            arrived, refused = check_events(raws, expected, limits)
            self._arrived += arrived
            self._refused += refused
            self._delivered = end - 1
        return repeated

    def flush(self) -> Deliver | None:
        """Hand out what was taken, as one batch; None when there is nothing."""
        if not self.waiting:
            return None
        batch = Deliver(self._epoch, self._delivered, self._arrived, self._refused)
        self._arrived, self._refused = [], []
        return batch

    def stored(self, last: int, credit: int) -> Ack | None:
        """Acknowledge up to `last` and grant `credit` beyond it; None when that says nothing new.

        A limit may be taken back; what was sent under the old one is still accepted.
        """
        if last > self._delivered or credit < 0:
            raise ValueError(f"stored({last}, {credit}): {self._delivered} were delivered")
        sequence = max(last, self._acked)
        limit = sequence + credit
        if (sequence, limit) == (self._acked, self._limit):
            return None
        self._acked, self._limit = sequence, limit
        self._granted = max(self._granted, limit)
        return Ack(sequence=sequence, credit=credit)

    def grant(self, credit: int) -> Ack | None:
        """Grant `credit` beyond what is acknowledged."""
        return self.stored(self._acked, credit)
