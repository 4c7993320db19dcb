"""Health that does not lie: live, ready and deaf, each with its reasons.

Promise: `live` knows local progress only, so a conductor that is gone makes nothing restart;
`ready` names everything that keeps events from flowing; `deaf` is a link on which beats pass and
events do not. Refusal: no I/O, no clock, and no state without a reason for a program to read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from conductor_sidecar.health.answers import Code, Health, HealthReport, LinkState, Reason
from conductor_sidecar.health.progress import DISPATCHER, Verdict

DEAF_AFTER_S = 30.0
"""Seconds behind a beating conductor, with credit, without an event."""
SILENT_AFTER_S = 90.0
"""Seconds without a frame on an open link; the session gives such a link up by itself."""

Phase = Literal["starting", "running", "draining", "stopped"]
"""A reload is no phase: the link stays, events are stored, and handlers wait for a moment."""


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """The link, as health sees it."""

    state: LinkState
    for_s: float
    """Seconds in this state."""
    reason: str = ""
    """Why it is not open; a code, then words."""
    heard_s: float | None = None
    """Seconds since the last frame, a beat being one; None before the first."""
    behind_s: float | None = None
    """See `Hearing.behind_s`."""
    head: int = 0
    """The conductor's last sequence, as its last beat named it."""
    seen: int = 0
    """Ours."""


class StoreView(msgspec.Struct, frozen=True):
    """One store, as health sees it."""

    name: str
    refuses: str | None = None
    """The code of the error with which it refuses writes now, as STORE_FULL; None: it does not."""


class LanesView(msgspec.Struct, frozen=True):
    """The dispatcher, as health sees it."""

    jobs: int
    """Events stored and not settled."""
    window: int
    """How many there may be before the conductor is held back."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that health is judged by, taken at one moment."""

    phase: Phase
    progress: Verdict
    link: LinkView
    stores: tuple[StoreView, ...]
    lanes: LanesView


class Hearing:
    """Since when a beating conductor is ahead of us while nothing comes.

    Credit that is used up is our own doing, and whatever arrives starts over.
    """

    __slots__ = ("_seen", "_since", "head")

    def __init__(self) -> None:
        self._since: float | None = None
        self._seen = -1
        self.head = 0
        """The conductor's last sequence, as far as we know."""

    def beat(self, *, head: int | None, seen: int, credit: int, now: float) -> None:
        """Note one beat of the conductor, or one look at what the last one said.

        Args:
            head: The conductor's last sequence; None: it has not said one on this link yet.
            seen: Our last sequence.
            credit: Events that it may still send.
            now: Seconds of a monotonic clock.
        """
        moved, self._seen = seen != self._seen, seen
        self.head = self.head if head is None else head
        if self.head <= seen or credit <= 0:
            self._since = None
        elif moved or self._since is None:
            self._since = now

    def closed(self) -> None:
        """Note that the link ended: the next one starts over.

        Not called for a link that was given up as deaf: the next one goes on from there, or a
        conductor that no new link mends would never be called deaf.
        """
        self._since, self._seen, self.head = None, -1, 0

    def behind_s(self, now: float) -> float | None:
        """Return for how long; None while it is not so."""
        return None if self._since is None else now - self._since


def live(snapshot: Snapshot) -> Health:
    """Say whether the process makes progress. When it does not, only a restart helps."""
    reasons = tuple(
        Reason(
            Code.DISPATCHER_STUCK if stuck.part == DISPATCHER else Code.STORE_STUCK,
            f"{stuck.part} has not moved",
            round(stuck.for_s, 1),
        )
        for stuck in snapshot.progress.stuck
    )
    return Health(not reasons, "stuck" if reasons else "live", reasons)


def deaf(snapshot: Snapshot) -> Health:
    """Say whether beats pass while events do not; `ok` is that they do, or that no link is open."""
    link = snapshot.link
    behind_s = link.behind_s if link.state == "open" else None
    if behind_s is None or behind_s < DEAF_AFTER_S:
        return Health(ok=True, state="hearing")
    detail = f"the conductor is at #{link.head} and we stay at #{link.seen}"
    return Health(False, "deaf", (Reason(Code.DEAF, detail, round(behind_s, 1)),))


def ready(snapshot: Snapshot) -> Health:
    """Say whether events flow: running, live, linked, hearing, stores that write, lanes with room.

    Reasons stand in the order in which they should be mended.
    """
    reasons = (
        *_phase(snapshot.phase),
        *live(snapshot).reasons,
        *(_store(store.name, store.refuses) for store in snapshot.stores if store.refuses),
        *_link(snapshot.link),
        *deaf(snapshot).reasons,
        *_lanes(snapshot.lanes),
    )
    return Health(not reasons, "not_ready" if reasons else "ready", reasons)


def judge(snapshot: Snapshot) -> HealthReport:
    """Give all three answers."""
    return HealthReport(live(snapshot), ready(snapshot), deaf(snapshot))


def _phase(phase: Phase) -> tuple[Reason, ...]:
    match phase:
        case "starting":
            return (Reason(Code.STARTING, "the daemon has not begun to handle events"),)
        case "draining":
            return (Reason(Code.DRAINING, "the daemon stops"),)
        case "stopped":
            return (Reason(Code.STOPPED, "the daemon has stopped"),)
        case "running":
            return ()


def _store(name: str, refuses: str) -> Reason:
    full = refuses == "STORE_FULL"
    return Reason(Code.DISK_FULL if full else Code.STORE_FAILING, f"{name}: {refuses}")


def _link(link: LinkView) -> tuple[Reason, ...]:
    if link.state != "open":
        words = f"{link.state}: {link.reason}" if link.reason else link.state
        return (Reason(Code.LINK_DOWN, words, round(link.for_s, 1)),)
    if link.heard_s is not None and link.heard_s >= SILENT_AFTER_S:
        return (Reason(Code.LINK_SILENT, "open, and nothing comes", round(link.heard_s, 1)),)
    return ()


def _lanes(lanes: LanesView) -> tuple[Reason, ...]:
    if lanes.jobs < lanes.window:
        return ()
    detail = f"{lanes.jobs} events wait for handlers; the conductor is held back"
    return (Reason(Code.LANES_FULL, detail),)
