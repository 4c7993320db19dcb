"""When a credential is renewed, and when a rotation that failed is tried again.

Promise: a renewal is asked for between half and two thirds of a credential's life, spread over all
sidecars; a try that failed is repeated ever later, and for ever. Refusal: no clock is read here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from conductor_sidecar.credentials import Identity

EARLIEST = 1 / 2
LATEST = 2 / 3
RETRY_FIRST_S = 5.0
RETRY_CAP_S = 600.0


def renewal_s(identity: Identity, now: datetime, since: datetime, roll: float) -> float | None:
    """Return the seconds from now until a credential should be renewed; 0 or less: it is due.

    Args:
        identity: Whose credential.
        now: The time.
        since: When its life began, where the enrollment does not say.
        roll: A number in [0, 1), for the spread.

    Returns:
        None: it does not end by itself.
    """
    if identity.expires_at is None:
        return None
    begun = identity.issued_at or since
    life_s = (identity.expires_at - begun).total_seconds()
    share = EARLIEST + roll * (LATEST - EARLIEST)
    return share * life_s - (now - begun).total_seconds()


class Retries:
    """The pauses between tries that failed."""

    def __init__(self, random: Callable[[], float], first_s: float = RETRY_FIRST_S) -> None:
        self._random = random
        self._first_s = first_s
        self._failed = 0

    def next_s(self) -> float:
        """Return the seconds until the next try; each is longer, up to ten minutes."""
        ceiling = min(RETRY_CAP_S, self._first_s * 2.0 ** min(self._failed, 32))
        self._failed += 1
        return ceiling * (0.5 + 0.5 * self._random())

    def over(self) -> None:
        """Begin anew: a try succeeded."""
        self._failed = 0
