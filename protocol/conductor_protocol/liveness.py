"""When to beat, when to give a silent peer up, and when a talking one is deaf.

Promise: time comes in as an argument and deadlines go out as absolute values of the same clock.
Refusal: a link that we ourselves paused reading is never called silent.
"""

from __future__ import annotations

import msgspec

MISSED_BEATS = 3
"""Beats without a single frame after which a peer is gone."""


class Heard(msgspec.Struct, frozen=True):
    """What one end has heard of the other, at one moment."""

    head: int | None
    """The peer's last sequence, as its last beat named it; None before the first."""
    seen: int
    """Our last sequence."""
    credit: int
    """Events that may still come; 0 while we do not read."""
    at: float
    """When the last frame of any kind came, on the clock of `now`."""


class Pulse:
    """The beats of one end of one link. Idle until `begin`."""

    __slots__ = ("_beat_s", "_heard", "_next_beat", "_paused", "_started")

    def __init__(self) -> None:
        self._beat_s = 0.0
        self._heard = 0.0
        self._next_beat = 0.0
        self._paused = False
        self._started = False

    @property
    def beat_s(self) -> float:
        """Seconds between beats; 0 before `begin`."""
        return self._beat_s

    @property
    def last(self) -> float:
        """When the last frame came."""
        return self._heard

    def begin(self, beat_s: float, now: float) -> None:
        """Start beating: the first beat is due after one interval."""
        self._beat_s = beat_s
        self._heard = now
        self._next_beat = now + beat_s
        self._started = True

    def heard(self, now: float) -> None:
        """Note that a frame of any kind has arrived."""
        self._heard = now

    def pause(self, paused: bool, now: float) -> None:
        """Note that reading stopped or went on; silence counts from the resumption."""
        if self._paused and not paused:
            self._heard = now
        self._paused = paused

    def beat_due(self, now: float) -> bool:
        """Tell whether a beat is due."""
        return self._started and now >= self._next_beat

    def beaten(self, now: float) -> None:
        """Note that a beat leaves now."""
        self._next_beat = now + self._beat_s

    def silent(self, now: float) -> bool:
        """Tell whether the peer missed its beats."""
        return self._started and not self._paused and now >= self._silence

    def deadline(self) -> float | None:
        """Return when `beat_due` or `silent` turns true; None before `begin`."""
        if not self._started:
            return None
        return self._next_beat if self._paused else min(self._next_beat, self._silence)

    @property
    def _silence(self) -> float:
        return self._heard + MISSED_BEATS * self._beat_s


class DeafEar:
    """Notices a conductor that beats and moves on while none of its events arrives."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def events_came(self) -> None:
        """Note that events arrived, or that reading was paused: start over."""
        self._since = None

    def beat_came(self, *, behind: bool, beat_s: float, now: float) -> bool:
        """Judge one beat of the conductor; True: the link is deaf.

        Args:
            behind: Whether the beat names a later sequence than ours while we have credit left.
            beat_s: Seconds between beats. Beats that arrive closer than half of it count once:
                they waited together in a buffer.
            now: The time.
        """
        if not behind:
            self._since = None
        elif self._since is None:
            self._since = now
        else:
            return now - self._since >= beat_s / 2
        return False
