"""How often a service manager wants to hear that this process moves.

Promise: its own words decide, and another process's are not taken for ours. Refusal: whether the
process moves is `health.progress`'s to say; nothing is sent here.
"""

from __future__ import annotations


def feed_every_s(watchdog_usec: str | None, watchdog_pid: str | None, pid: int) -> float | None:
    """Return how often to feed the manager's watchdog, in seconds; None: it has none for us.

    Args:
        watchdog_usec: `WATCHDOG_USEC` of the environment.
        watchdog_pid: `WATCHDOG_PID` of the environment; another process's is not ours to feed.
        pid: Ours.
    """
    if watchdog_usec is None or not watchdog_usec.isascii() or not watchdog_usec.isdecimal():
        return None
    if watchdog_pid is not None and watchdog_pid != str(pid):
        return None
    # Three times in its interval: one late turn of the loop is not the end.
    return int(watchdog_usec) / 3_000_000 or None
