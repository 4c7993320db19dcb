"""How long to wait before the next connection.

Promise: for ever, never in a hot loop, and never all sidecars at the same moment. Refusal: it
does not sleep and has no randomness of its own; the shell waits and hands the dice in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum

import msgspec

from conductor_protocol.effects import CloseCode


class Ended(StrEnum):
    """How the last attempt to be connected ended."""

    CLOSED = "closed"
    """A link was open, and is not any more."""
    FAILED = "failed"
    """No link came about."""
    RESUME = "resume"
    """We closed it to resume: RESUME or DEAF."""
    REFUSED = "refused"
    """The credential was refused: no haste, but whoever mends it sees that within a minute."""


class BackoffPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings under `reconnect`."""

    first_spread_s: float = 30.0
    """The first wait is anything from 0 to this."""
    base_s: float = 1.0
    """The least first ceiling that doubles, so that a spread of 0 still backs off."""
    cap_s: float = 300.0
    refused_s: float = 60.0
    """After a refused credential, or `cap_s` if that is less. The conductor may be the one in the
    wrong, and comes round."""
    stable_s: float = 60.0
    """A link that lasted this long forgets the attempts before it."""
    resumes: int = 3
    """Immediate reconnections within `resume_window_s`; after that, resuming waits as well."""
    resume_window_s: float = 60.0
    retry_after_cap_s: float = 3600.0
    """The longest wait that a conductor can ask for."""


class Backoff:
    """The reconnection schedule of one sidecar, for all its links.

    Call `connected` when a session opens, and `delay` each time one ends or fails.
    """

    __slots__ = ("_attempt", "_connected_at", "_policy", "_random", "_resumed")

    def __init__(self, policy: BackoffPolicy, random: Callable[[], float]) -> None:
        """Build a schedule.

        Args:
            policy: The settings.
            random: Returns a number in [0, 1), evenly spread.
        """
        self._policy = policy
        self._random = random
        self._attempt = 0
        self._connected_at: float | None = None
        self._resumed: deque[float] = deque()

    @property
    def attempt(self) -> int:
        """Waits since the last stable link."""
        return self._attempt

    def connected(self, now: float) -> None:
        """Note that a session opened."""
        self._connected_at = now

    def delay(self, ended: Ended, now: float, *, retry_after_s: float | None = None) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            ended: How the last attempt ended.
            now: Monotonic seconds.
            retry_after_s: What the conductor asked for, by `drain` or `Retry-After`: never
                sooner than this, and spread behind it.
        """
        policy = self._policy
        since, self._connected_at = self._connected_at, None
        if since is not None and now - since >= policy.stable_s:
            self._attempt = 0
        if retry_after_s is not None:
            asked = min(max(0.0, retry_after_s), policy.retry_after_cap_s)
            return asked + self._random() * policy.first_spread_s
        if ended is Ended.REFUSED:
            return min(policy.cap_s, policy.refused_s)
        if ended is Ended.RESUME and self._may_resume(now):
            return 0.0
        wait = self._random() * self._ceiling()
        self._attempt += 1
        return wait

    def _ceiling(self) -> float:
        policy = self._policy
        if self._attempt == 0:
            return min(policy.cap_s, policy.first_spread_s)
        doublings = min(self._attempt, 32)  # 2^32 s is past every cap, and still a float
        return min(policy.cap_s, max(policy.first_spread_s, policy.base_s) * 2.0**doublings)

    def _may_resume(self, now: float) -> bool:
        while self._resumed and now - self._resumed[0] >= self._policy.resume_window_s:
            self._resumed.popleft()
        if len(self._resumed) >= self._policy.resumes:
            return False
        self._resumed.append(now)
        return True


def ended_by(close_code: str) -> Ended:
    """Classify the code of a `Close` effect."""
    return Ended.RESUME if close_code in {CloseCode.RESUME, CloseCode.DEAF} else Ended.CLOSED
