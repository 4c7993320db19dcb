"""The ids that a sidecar has pushed and not yet heard of.

Promise: an id is in flight from its push until its first result, once. Refusal: no body is kept
here; what is unanswered when a link ends is still in the outbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conductor_protocol.messages import PushResult


class PushWindow:
    """Pushed ids without a result, and how long nothing has been heard of any."""

    __slots__ = ("_ids", "_since", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ids: set[str] = set()
        self._since: float | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    def sent(self, event_ids: Iterable[str], now: float) -> None:
        """Note that these ids leave now."""
        self._ids.update(event_ids)
        if self._since is None and self._ids:
            self._since = now

    def settle(self, results: Sequence[PushResult], now: float) -> list[PushResult]:
        """Take results; return those of ids that were in flight, each id at most once."""
        known: list[PushResult] = []
        for result in results:
            if result.event_id in self._ids:
                self._ids.remove(result.event_id)
                known.append(result)
        if known:
            self.restart(now)
        return known

    def restart(self, now: float) -> None:
        """Begin the wait anew: a result came, or reading went on after a pause."""
        self._since = now if self._ids else None

    def deadline(self) -> float | None:
        """Return when a push has gone unanswered for too long; None with nothing in flight."""
        return None if self._since is None else self._since + self._timeout_s
